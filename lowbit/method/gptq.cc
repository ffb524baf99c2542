#include "lowbit/method/gptq.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "lowbit/base/error.h"
#include "lowbit/method/rtn.h"
#include "lowbit/quantize/affine_groups.h"
#include "lowbit/quantize/output_error.h"
#include "lowbit/quantize/round_groups.h"

namespace lowbit {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Steps 1 and 2, the same for every grid.
template <typename T>
struct Prepared {
  std::vector<double> diagonal;  // (C) of H
  int64_t dead = 0;
  Schedule schedule;
  InverseFactor<T> factor;
  std::string failure;  // empty when the sweep can go ahead

  std::span<const int32_t> Order(ColumnOrder kind) const {
    return kind == ColumnOrder::kNone ? std::span<const int32_t>() : std::span<const int32_t>(schedule.order);
  }
};

template <typename T>
Prepared<T> Prepare(MatrixView<const T> w, MatrixView<const T> h, ColumnOrder order, int64_t group,
                    const DampingOptions& damping, ThreadPool& pool) {
  const int64_t columns = w.cols;
  if (h.rows != columns || h.cols != columns) {
    Fail("Hessian of ({}, {}) for a layer of {} columns", h.rows, h.cols, columns);
  }
  if (!(damping.relative >= 0)) FailUsage("damping = {}: must not be negative", damping.relative);
  CheckFinite(w);
  Prepared<T> p;
  for (int64_t c = 0; c < columns; ++c) {
    const double d = static_cast<double>(h(c, c));
    if (!std::isfinite(d) && p.failure.empty())
      p.failure = fmt::format("the Hessian's diagonal is {} at column {}", d, c);
    p.diagonal.push_back(d);
    p.dead += d == 0;
  }
  if (!p.failure.empty()) return p;
  p.schedule = MakeSchedule(order, p.diagonal, group);
  p.factor = FactorInverse<T>(h, p.Order(order), damping, pool);
  p.failure = p.factor.failure;
  return p;
}

// The importance of each column (C, the layer's order) in a grid's search; empty when uniform.
template <typename T>
std::vector<float> Importance(SearchWeight kind, const Prepared<T>& p) {
  const size_t columns = p.diagonal.size();
  std::vector<double> weight(columns);
  switch (kind) {
    case SearchWeight::kUniform:
      return {};
    case SearchWeight::kHessianDiagonal:
      weight = p.diagonal;
      break;
    case SearchWeight::kPivot:
      for (size_t i = 0; i < columns; ++i) {
        const double u = static_cast<double>(p.factor.u[i * columns + i]);
        weight[static_cast<size_t>(p.schedule.order[i])] = 1 / (u * u);
      }
      break;
  }
  // Relative to the mean, so that sums stay in range.
  const double mean = std::accumulate(weight.begin(), weight.end(), 0.0) / static_cast<double>(columns);
  std::vector<float> relative(columns);
  for (size_t c = 0; c < columns; ++c) relative[c] = static_cast<float>(mean > 0 ? weight[c] / mean : 1.0);
  return relative;
}

template <typename T>
void Report(Prepared<T>& p, SweepResult& sweep, GptqReport& report) {
  report.permutation = std::move(p.schedule.order);
  report.loss = sweep.loss;
  report.row_loss = std::move(sweep.row_loss);
  report.damping = p.factor.damping;
  report.tries = p.factor.tries;
  report.dead_columns = p.dead;
}

// The report of a layer that was rounded to `values` instead.
template <typename T>
void ReportFallBack(MatrixView<const T> w, MatrixView<const T> h, const Prepared<T>& p,
                    const std::vector<float>& values, GptqReport& report, ThreadPool& pool) {
  report.fell_back = true;
  report.reason = p.failure;
  report.tries = p.factor.tries;
  report.dead_columns = p.dead;
  report.permutation.resize(static_cast<size_t>(w.cols));
  std::iota(report.permutation.begin(), report.permutation.end(), 0);
  std::vector<T> difference(values.size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      const size_t i = static_cast<size_t>(r * w.cols + c);
      difference[i] = w(r, c) - static_cast<T>(values[i]);
    }
  }
  report.row_loss = OutputError<T>({difference.data(), w.rows, w.cols}, h, pool);
  for (double& loss : report.row_loss) {
    loss /= 2;
    report.loss += loss;
  }
}

// Step 3 on grids that belong to groups of columns: affine ones and tables. `make` gives the quantizer for
// (groups, group of every column in sweep order, weight of every column in sweep order).
template <typename T, class Make, class Result>
void SweepGroups(MatrixView<const T> w, const Prepared<T>& p, ColumnOrder order, SearchWeight search_weight,
                 int64_t group, int64_t block, const Make& make, Result& result, SweepResult& sweep,
                 ThreadPool& pool) {
  const int64_t columns = w.cols, groups = (columns + group - 1) / group;
  const bool fitted_before = order == ColumnOrder::kStaticGroups;  // in natural order
  std::vector<int32_t> natural(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c) natural[static_cast<size_t>(c)] = static_cast<int32_t>(c / group);
  std::vector<float> weight;
  const std::vector<float> importance = Importance(search_weight, p);
  for (size_t i = 0; i < importance.size(); ++i) {
    weight.push_back(importance[fitted_before ? i : static_cast<size_t>(p.schedule.order[i])]);
  }
  auto quantizer = make(groups, fitted_before ? natural : p.schedule.group_of_column, std::move(weight));
  if (fitted_before) {
    RoundGroups<T>(w, GroupRuns(columns, group), *quantizer, nullptr, pool);
    quantizer->Freeze(p.schedule.group_of_column);
  }
  result.matrix.cols = columns;
  result.matrix.codes.resize(static_cast<size_t>(w.rows * columns));
  sweep = ColumnSweep<T>(w, {p.factor.u.data(), columns, columns}, p.Order(order), p.schedule.group_begin,
                         {block}, *quantizer, result.matrix.codes, {}, pool);
  quantizer->Store(result.matrix);
  result.matrix.g_idx.resize(static_cast<size_t>(columns));
  for (size_t i = 0; i < p.schedule.order.size(); ++i) {
    result.matrix.g_idx[static_cast<size_t>(p.schedule.order[i])] = p.schedule.group_of_column[i];
  }
}

// Columns of a group; 0 stands for whole rows.
int64_t GroupColumns(int64_t group, int64_t columns) {
  if (group < 0) FailUsage("group = {}: must be positive, or 0 for whole rows", group);
  return group == 0 ? std::max<int64_t>(1, columns) : group;
}

}  // namespace

template <typename T>
GptqResult SolveGptq(MatrixView<const T> w, MatrixView<const T> h, const GptqOptions& options,
                     ThreadPool& pool, GptqTimes* times) {
  CheckGridOptions(options.grid);
  const int64_t group = GroupColumns(options.group, w.cols);
  double start = Seconds();
  Prepared<T> p = Prepare(w, h, options.order, group, options.damping, pool);
  if (times != nullptr) times->factor = Seconds() - start;
  GptqResult result;
  if (!p.failure.empty()) {
    result.matrix = RoundToNearest<T>(w, {options.grid, options.group}, {}, pool);
    ReportFallBack(w, h, p, Dequantize(result.matrix), result, pool);
    return result;
  }

  start = Seconds();
  const auto make = [&](int64_t groups, std::vector<int32_t> group_of_column, std::vector<float> weight) {
    return std::make_unique<AffineGroups<T>>(options.grid, w.rows, groups, std::move(group_of_column),
                                             std::vector<T>(weight.begin(), weight.end()));
  };
  SweepResult sweep;
  SweepGroups(w, p, options.order, options.search_weight, group, options.block, make, result, sweep, pool);
  if (times != nullptr) times->sweep = Seconds() - start;
  Report(p, sweep, result);
  return result;
}

GptqTableResult SolveGptqTable(MatrixView<const float> w, MatrixView<const float> h,
                               const GptqTableOptions& options, ThreadPool& pool, GptqTimes* times) {
  const int64_t group = GroupColumns(options.format.group, w.cols);
  double start = Seconds();
  Prepared<float> p = Prepare(w, h, options.order, group, options.damping, pool);
  if (times != nullptr) times->factor = Seconds() - start;
  GptqTableResult result;
  if (!p.failure.empty()) {
    result.matrix = RoundToTable(w, options.format, {}, pool);
    ReportFallBack(w, h, p, Dequantize(result.matrix, TableOf(options.format.alphabet)), result, pool);
    return result;
  }

  start = Seconds();
  const auto make = [&](int64_t groups, std::vector<int32_t> group_of_column, std::vector<float> weight) {
    return std::make_unique<TableGroups<float>>(options.format, TensorScaleOf(options.format, w), w.rows,
                                                groups, std::move(group_of_column), std::move(weight));
  };
  SweepResult sweep;
  SweepGroups(w, p, options.order, options.search_weight, group, options.block, make, result, sweep, pool);
  if (times != nullptr) times->sweep = Seconds() - start;
  Report(p, sweep, result);
  return result;
}

template <typename T>
GptqGgmlResult SolveGptqGgml(MatrixView<const T> w, MatrixView<const T> h, const GptqGgmlOptions& options,
                             ThreadPool& pool, GptqTimes* times) {
  const int64_t columns = w.cols;
  const GgmlGrid& grid = GridOf(options.type);
  CheckGgmlColumns(grid, columns);
  if (options.order != ColumnOrder::kNone && options.order != ColumnOrder::kGroupAware) {
    FailUsage("column order for {}: only none and group-aware keep its blocks together", grid.name);
  }
  double start = Seconds();
  Prepared<T> p = Prepare(w, h, options.order, grid.block, options.damping, pool);
  if (times != nullptr) times->factor = Seconds() - start;
  GptqGgmlResult result;
  if (!p.failure.empty()) {
    result.matrix = RoundToGgml<T>(w, options.type, {}, options.emphasis, pool);
    ReportFallBack(w, h, p, Dequantize(result.matrix), result, pool);
    return result;
  }

  start = Seconds();
  const std::span<const int32_t> order = p.Order(options.order);
  GgmlGroups<T> quantizer(options.type, w.rows, columns, Importance(options.search_weight, p),
                          options.emphasis, {order.begin(), order.end()});
  result.matrix.codes.resize(static_cast<size_t>(w.rows * columns));
  SweepResult sweep = ColumnSweep<T>(w, {p.factor.u.data(), columns, columns}, order, p.schedule.group_begin,
                                     {options.block}, quantizer, result.matrix.codes, {}, pool);
  quantizer.Store(result.matrix);
  if (times != nullptr) times->sweep = Seconds() - start;
  Report(p, sweep, result);
  return result;
}

#define LOWBIT_INSTANTIATE(T)                                                                              \
  template GptqResult SolveGptq(MatrixView<const T>, MatrixView<const T>, const GptqOptions&, ThreadPool&, \
                                GptqTimes*);                                                               \
  template GptqGgmlResult SolveGptqGgml(MatrixView<const T>, MatrixView<const T>, const GptqGgmlOptions&,  \
                                        ThreadPool&, GptqTimes*);
LOWBIT_INSTANTIATE(float)
LOWBIT_INSTANTIATE(double)
#undef LOWBIT_INSTANTIATE

}  // namespace lowbit
