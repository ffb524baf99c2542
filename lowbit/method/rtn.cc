#include "lowbit/method/rtn.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/quantize/affine_groups.h"
#include "lowbit/quantize/column_order.h"
#include "lowbit/quantize/round_groups.h"

namespace lowbit {

template <typename T>
void CheckFinite(MatrixView<const T> w) {
  for (int64_t r = 0; r < w.rows; ++r) {
    T sum = 0;  // x - x is zero for finite x and NaN otherwise
    for (int64_t c = 0; c < w.cols; ++c) sum += w(r, c) - w(r, c);
    if (sum == T(0)) continue;
    for (int64_t c = 0; c < w.cols; ++c) {
      if (!std::isfinite(w(r, c))) Fail("the weight at row {}, column {} is {}", r, c, w(r, c));
    }
  }
}

template <typename T>
AffineCodes RoundToNearest(MatrixView<const T> w, const RtnOptions& options, std::span<const T> importance,
                           ThreadPool& pool) {
  if (options.group < 0) FailUsage("group = {}: must be positive, or 0 for whole rows", options.group);
  if (!importance.empty() && static_cast<int64_t>(importance.size()) != w.cols) {
    Fail("importance of {} columns for a layer of {}", importance.size(), w.cols);
  }
  CheckFinite(w);
  const int64_t group = options.group == 0 ? std::max<int64_t>(1, w.cols) : options.group;
  const int64_t groups = (w.cols + group - 1) / group;
  AffineCodes result;
  result.cols = w.cols;
  result.codes.resize(static_cast<size_t>(w.rows * w.cols));
  for (int64_t c = 0; c < w.cols; ++c) result.g_idx.push_back(static_cast<int32_t>(c / group));

  AffineGroups<T> quantizer(options.grid, w.rows, groups, result.g_idx,
                            {importance.begin(), importance.end()});
  RoundGroups<T>(w, GroupRuns(w.cols, group), quantizer, result.codes.data(), pool);
  quantizer.Store(result);
  return result;
}

template void CheckFinite(MatrixView<const float>);
template void CheckFinite(MatrixView<const double>);
template AffineCodes RoundToNearest(MatrixView<const float>, const RtnOptions&, std::span<const float>,
                                    ThreadPool&);
template AffineCodes RoundToNearest(MatrixView<const double>, const RtnOptions&, std::span<const double>,
                                    ThreadPool&);

}  // namespace lowbit
