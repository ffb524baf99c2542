#include "lowbit/method/gptq.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "lowbit/base/error.h"
#include "lowbit/method/rtn.h"
#include "lowbit/quantize/affine_groups.h"
#include "lowbit/quantize/output_error.h"

namespace lowbit {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The order of quantization and the groups along it.
struct Schedule {
  std::vector<int32_t> order;            // sweep position -> column
  std::vector<int32_t> group_of_column;  // sweep position -> group
  std::vector<int64_t> group_begin;      // sweep position at which each group starts, ascending
};

std::vector<int64_t> Runs(int64_t columns, int64_t group) {
  std::vector<int64_t> begin;
  for (int64_t c = 0; c < columns; c += group) begin.push_back(c);
  return begin;
}

Schedule MakeSchedule(ColumnOrder kind, const std::vector<double>& importance, int64_t group) {
  const int64_t columns = static_cast<int64_t>(importance.size());
  Schedule s{std::vector<int32_t>(importance.size()), std::vector<int32_t>(importance.size()),
             Runs(columns, group)};
  std::iota(s.order.begin(), s.order.end(), 0);
  const auto more_important = [&](int32_t a, int32_t b) {
    return importance[static_cast<size_t>(a)] > importance[static_cast<size_t>(b)];
  };
  switch (kind) {
    case ColumnOrder::kNone:
      break;
    case ColumnOrder::kActivation:
      std::stable_sort(s.order.begin(), s.order.end(), more_important);
      for (size_t i = 0; i < s.order.size(); ++i)
        s.group_of_column[i] = static_cast<int32_t>(i / static_cast<size_t>(group));
      return s;
    case ColumnOrder::kStaticGroups:
      std::stable_sort(s.order.begin(), s.order.end(), more_important);
      s.group_begin = {0};  // nothing is fitted on the way
      break;
    case ColumnOrder::kGroupAware: {
      std::vector<std::vector<int32_t>> groups;
      for (const int64_t begin : s.group_begin) {
        groups.emplace_back(s.order.begin() + begin, s.order.begin() + std::min(columns, begin + group));
        std::stable_sort(groups.back().begin(), groups.back().end(), more_important);
      }
      std::stable_sort(groups.begin(), groups.end(),
                       [&](const auto& a, const auto& b) { return more_important(a[0], b[0]); });
      int64_t at = 0;
      for (size_t g = 0; g < groups.size(); ++g) {
        s.group_begin[g] = at;
        for (const int32_t column : groups[g]) s.order[static_cast<size_t>(at++)] = column;
      }
      break;
    }
  }
  for (size_t i = 0; i < s.order.size(); ++i) s.group_of_column[i] = s.order[i] / static_cast<int32_t>(group);
  return s;
}

template <typename T>
GptqResult FallBack(MatrixView<const T> w, MatrixView<const T> h, const GptqOptions& options,
                    std::string reason, ThreadPool& pool) {
  GptqResult result;
  result.fell_back = true;
  result.reason = std::move(reason);
  result.matrix = RoundToNearest<T>(w, {options.grid, options.group}, {}, pool);
  result.permutation.resize(static_cast<size_t>(w.cols));
  std::iota(result.permutation.begin(), result.permutation.end(), 0);
  const std::vector<float> q = Dequantize(result.matrix);
  std::vector<T> difference(q.size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c)
      difference[static_cast<size_t>(r * w.cols + c)] =
          w(r, c) - static_cast<T>(q[static_cast<size_t>(r * w.cols + c)]);
  }
  result.row_loss = OutputError<T>({difference.data(), w.rows, w.cols}, h, pool);
  for (double& loss : result.row_loss) {
    loss /= 2;
    result.loss += loss;
  }
  return result;
}

}  // namespace

template <typename T>
GptqResult SolveGptq(MatrixView<const T> w, MatrixView<const T> h, const GptqOptions& options,
                     ThreadPool& pool, GptqTimes* times) {
  const int64_t columns = w.cols;
  if (h.rows != columns || h.cols != columns) {
    Fail("Hessian of ({}, {}) for a layer of {} columns", h.rows, h.cols, columns);
  }
  if (options.group < 0) FailUsage("group = {}: must be positive, or 0 for whole rows", options.group);
  if (!(options.damping.relative >= 0))
    FailUsage("damping = {}: must not be negative", options.damping.relative);
  CheckGridOptions(options.grid);
  CheckFinite(w);
  const int64_t group = options.group == 0 ? std::max<int64_t>(1, columns) : options.group;
  const int64_t groups = (columns + group - 1) / group;

  std::vector<double> importance(static_cast<size_t>(columns));
  int64_t dead = 0;
  for (int64_t c = 0; c < columns; ++c) {
    const double d = static_cast<double>(h(c, c));
    if (!std::isfinite(d)) {
      return FallBack(w, h, options, fmt::format("the Hessian's diagonal is {} at column {}", d, c), pool);
    }
    importance[static_cast<size_t>(c)] = d;
    dead += d == 0;
  }
  Schedule schedule = MakeSchedule(options.order, importance, group);
  const std::span<const int32_t> order = options.order == ColumnOrder::kNone
                                             ? std::span<const int32_t>()
                                             : std::span<const int32_t>(schedule.order);

  double start = Seconds();
  const InverseFactor<T> factor = FactorInverse<T>(h, order, options.damping, pool);
  if (times != nullptr) times->factor = Seconds() - start;
  if (!factor.ok) {
    GptqResult result = FallBack(w, h, options, factor.failure, pool);
    result.dead_columns = dead;
    result.tries = factor.tries;
    return result;
  }

  start = Seconds();
  std::vector<int32_t> natural(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c) natural[static_cast<size_t>(c)] = static_cast<int32_t>(c / group);
  const bool is_static = options.order == ColumnOrder::kStaticGroups;
  std::vector<T> weight;
  if (options.search_weight == SearchWeight::kHessianDiagonal) {
    // Relative to the mean, so that sums stay in range; a static fit sees columns in natural order.
    for (int64_t i = 0; i < columns; ++i) {
      const double d =
          importance[static_cast<size_t>(is_static ? i : schedule.order[static_cast<size_t>(i)])];
      weight.push_back(static_cast<T>(d / factor.mean_diagonal));
    }
  }
  AffineGroups<T> quantizer(options.grid, w.rows, groups, is_static ? natural : schedule.group_of_column,
                            std::move(weight));
  if (is_static) {
    FitAll<T>(w, {}, Runs(columns, group), quantizer, pool);
    quantizer.Freeze(schedule.group_of_column);
  }

  GptqResult result;
  result.matrix.cols = columns;
  result.matrix.codes.resize(static_cast<size_t>(w.rows * columns));
  SweepResult sweep = ColumnSweep<T>(w, {factor.u.data(), columns, columns}, order, schedule.group_begin,
                                     {options.block}, quantizer, result.matrix.codes, {}, pool);
  quantizer.Store(result.matrix);
  result.matrix.g_idx.resize(static_cast<size_t>(columns));
  for (size_t i = 0; i < schedule.order.size(); ++i) {
    result.matrix.g_idx[static_cast<size_t>(schedule.order[i])] = schedule.group_of_column[i];
  }
  if (times != nullptr) times->sweep = Seconds() - start;
  result.permutation = std::move(schedule.order);
  result.loss = sweep.loss;
  result.row_loss = std::move(sweep.row_loss);
  result.damping = factor.damping;
  result.tries = factor.tries;
  result.dead_columns = dead;
  return result;
}

template GptqResult SolveGptq(MatrixView<const float>, MatrixView<const float>, const GptqOptions&,
                              ThreadPool&, GptqTimes*);
template GptqResult SolveGptq(MatrixView<const double>, MatrixView<const double>, const GptqOptions&,
                              ThreadPool&, GptqTimes*);

}  // namespace lowbit
