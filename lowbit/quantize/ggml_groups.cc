#include "lowbit/quantize/ggml_groups.h"

#include <cmath>
#include <utility>

#include "lowbit/base/error.h"
#include "lowbit/quantize/column_order.h"
#include "lowbit/quantize/ggml_fit.h"
#include "lowbit/quantize/round_groups.h"

namespace lowbit {

void CheckGgmlColumns(const GgmlGrid& grid, int64_t cols) {
  if (cols % grid.block != 0) {
    Fail("rows of {} columns are not whole blocks of {} ({} columns): choose another type for this tensor",
         cols, grid.name, grid.block);
  }
}

template <typename T>
GgmlGroups<T>::GgmlGroups(GgmlGridType type, int64_t rows, int64_t cols, std::span<const float> importance,
                          GgmlEmphasis emphasis, std::vector<int32_t> order)
    : grid_(GridOf(type)),
      rows_(rows),
      padded_rows_((rows + kLanes - 1) / kLanes * kLanes),
      cols_(cols),
      importance_(importance.begin(), importance.end()),
      emphasis_(emphasis),
      order_(std::move(order)) {
  CheckGgmlColumns(grid_, cols);
  if (!importance_.empty()) {
    if (static_cast<int64_t>(importance_.size()) != cols) {
      Fail("importance of {} columns for a layer of {}", importance_.size(), cols);
    }
    double sum = 0;
    for (size_t c = 0; c < importance_.size(); ++c) {
      if (!(importance_[c] >= 0) || !std::isfinite(importance_[c]))
        Fail("importance of column {} is {}", c, importance_[c]);
      sum += importance_[c];
    }
    // Relative to the mean, so that sums of products stay in range.
    const double mean = sum / static_cast<double>(cols);
    for (float& i : importance_) i = mean > 0 ? std::max(1e-6f, static_cast<float>(i / mean)) : 1.0f;
  } else {
    importance_.assign(static_cast<size_t>(cols), 1.0f);
  }
  const size_t blocks = static_cast<size_t>(cols / grid_.block * padded_rows_),
               subs = static_cast<size_t>(cols / grid_.sub * padded_rows_);
  d_.assign(blocks, 0.0f);
  dmin_.assign(blocks, 0.0f);
  scale_.assign(subs, 0.0f);
  min_.assign(subs, 0.0f);
  step_.assign(subs, T(0));
  offset_.assign(subs, T(0));
}

template <typename T>
void GgmlGroups<T>::BeginGroup(const LiveColumns<T>& live) {
  const int64_t width = grid_.block, first = ColumnOf(live.begin) / width * width;
  if (live.end - live.begin != width)
    Fail("a group of {} columns for blocks of {}", live.end - live.begin, width);
  alignas(64) float x[256 * kLanes], w[256 * kLanes];
  for (int64_t k = 0; k < width; ++k) {
    const int64_t column = ColumnOf(live.begin + k) - first;
    for (int r = 0; r < kLanes; ++r) {
      x[column * kLanes + r] = static_cast<float>(live.data[k * live.stride + r]);
      w[column * kLanes + r] = importance_[static_cast<size_t>(first + column)];
    }
  }
  if (emphasis_ == GgmlEmphasis::kImportanceAndMagnitude) {
    float sigma2[kLanes] = {};
    for (int64_t k = 0; k < width; ++k) {
      for (int r = 0; r < kLanes; ++r)
        sigma2[r] += x[k * kLanes + r] * x[k * kLanes + r] / static_cast<float>(width);
    }
    for (int64_t k = 0; k < width; ++k) {
      for (int r = 0; r < kLanes; ++r)
        w[k * kLanes + r] *= std::sqrt(sigma2[r] + x[k * kLanes + r] * x[k * kLanes + r]);
    }
  }
  GgmlLaneFit fit;
  FitGgmlBlock(grid_, x, w, fit);

  const size_t block = static_cast<size_t>(first / width * padded_rows_ + live.row);
  std::copy_n(fit.d, kLanes, d_.data() + block);
  std::copy_n(fit.dmin, kLanes, dmin_.data() + block);
  for (int64_t j = 0; j < width / grid_.sub; ++j) {
    const size_t sub = static_cast<size_t>((first / grid_.sub + j) * padded_rows_ + live.row);
    for (size_t r = 0; r < kLanes; ++r) {
      scale_[sub + r] = fit.scale[j][r];
      min_[sub + r] = fit.min[j][r];
      step_[sub + r] = static_cast<T>(fit.d[r] * fit.scale[j][r]);
      offset_[sub + r] = static_cast<T>(fit.dmin[r] * fit.min[j][r]);
    }
  }
}

template <typename T>
void GgmlGroups<T>::Quantize(int64_t column, int64_t row, const T* w, T* value, T* code) const {
  const size_t sub = static_cast<size_t>(ColumnOf(column) / grid_.sub * padded_rows_ + row);
  Lanes<T>().quantize_offset(w, step_.data() + sub, offset_.data() + sub, static_cast<T>(grid_.code_zero),
                             static_cast<T>(grid_.code_max), value, code);
}

template <typename T>
void GgmlGroups<T>::Store(GgmlCodes& m) const {
  m.type = grid_.type;
  m.rows = rows_;
  m.cols = cols_;
  m.codes.resize(static_cast<size_t>(rows_ * cols_));
  const int64_t blocks = cols_ / grid_.block, subs = cols_ / grid_.sub;
  m.d.resize(static_cast<size_t>(rows_ * blocks));
  m.dmin.resize(m.d.size());
  m.scale.resize(static_cast<size_t>(rows_ * subs));
  m.min.resize(m.scale.size());
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t b = 0; b < blocks; ++b) {
      m.d[static_cast<size_t>(r * blocks + b)] = d_[static_cast<size_t>(b * padded_rows_ + r)];
      m.dmin[static_cast<size_t>(r * blocks + b)] = dmin_[static_cast<size_t>(b * padded_rows_ + r)];
    }
    for (int64_t s = 0; s < subs; ++s) {
      m.scale[static_cast<size_t>(r * subs + s)] =
          static_cast<int8_t>(scale_[static_cast<size_t>(s * padded_rows_ + r)]);
      m.min[static_cast<size_t>(r * subs + s)] =
          static_cast<uint8_t>(min_[static_cast<size_t>(s * padded_rows_ + r)]);
    }
  }
}

template <typename T>
GgmlCodes RoundToGgml(MatrixView<const T> w, GgmlGridType type, std::span<const float> importance,
                      GgmlEmphasis emphasis, ThreadPool& pool) {
  const GgmlGrid& grid = GridOf(type);
  GgmlGroups<T> quantizer(type, w.rows, w.cols, importance, emphasis);
  GgmlCodes result;
  result.codes.resize(static_cast<size_t>(w.rows * w.cols));
  RoundGroups<T>(w, GroupRuns(w.cols, grid.block), quantizer, result.codes.data(), pool);
  quantizer.Store(result);
  return result;
}

template class GgmlGroups<float>;
template class GgmlGroups<double>;
template GgmlCodes RoundToGgml(MatrixView<const float>, GgmlGridType, std::span<const float>, GgmlEmphasis,
                               ThreadPool&);
template GgmlCodes RoundToGgml(MatrixView<const double>, GgmlGridType, std::span<const float>, GgmlEmphasis,
                               ThreadPool&);

}  // namespace lowbit
