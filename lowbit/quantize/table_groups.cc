#include "lowbit/quantize/table_groups.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "lowbit/base/error.h"
#include "lowbit/quantize/column_order.h"
#include "lowbit/quantize/round_groups.h"

namespace lowbit {
namespace {

// Floats in IEEE's total order as integers.
int32_t TotalOrder(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

constexpr int kFewThresholds = 32;

}  // namespace

template <typename T>
TableGroups<T>::TableGroups(const ScalarFormat& format, float tensor_scale, int64_t rows, int64_t groups,
                            std::vector<int32_t> group_of_column, std::vector<float> column_weight)
    : format_(format),
      tensor_scale_(tensor_scale),
      table_(TableOf(format.alphabet)),
      rows_(rows),
      padded_rows_((rows + kLanes - 1) / kLanes * kLanes),
      groups_(groups),
      group_of_column_(std::move(group_of_column)),
      column_weight_(std::move(column_weight)),
      scale_(static_cast<size_t>(groups * padded_rows_), 1.0f) {
  if (format.zero_point) Fail("{}: zero points belong to the integer grids", NameOf(format));
  for (const float t : table_.threshold) below_.push_back(TotalOrder(t) - 1);
}

template <typename T>
void TableGroups<T>::BeginGroup(const LiveColumns<T>& live) {
  if (frozen_) return;
  const auto columns = static_cast<size_t>(live.end - live.begin);
  std::unique_ptr<TableScaler> scaler = Borrow();
  std::vector<float> x(columns);
  const std::span<const float> weight =
      column_weight_.empty()
          ? std::span<const float>()
          : std::span<const float>(column_weight_).subspan(static_cast<size_t>(live.begin), columns);
  for (int r = 0; r < kLanes && live.row + r < rows_; ++r) {
    for (size_t c = 0; c < columns; ++c)
      x[c] = static_cast<float>(live.data[static_cast<int64_t>(c) * live.stride + r]);
    scale_[Index(live.begin, live.row + r)] = scaler->Fit(x, weight).scale;
  }
  Return(std::move(scaler));
}

template <typename T>
std::unique_ptr<TableScaler> TableGroups<T>::Borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!scalers_.empty()) {
      std::unique_ptr<TableScaler> scaler = std::move(scalers_.back());
      scalers_.pop_back();
      return scaler;
    }
  }
  return std::make_unique<TableScaler>(format_, tensor_scale_);
}

template <typename T>
void TableGroups<T>::Return(std::unique_ptr<TableScaler> scaler) {
  const std::lock_guard lock(mutex_);
  scalers_.push_back(std::move(scaler));
}

template <typename T>
void TableGroups<T>::Quantize(int64_t column, int64_t row, const T* w, T* value, T* code) const {
  const float* scale = scale_.data() + Index(column, row);
  int32_t key[kLanes], rank[kLanes] = {};
  for (int r = 0; r < kLanes; ++r) key[r] = TotalOrder(static_cast<float>(w[r]) / scale[r]);
  if (below_.size() <= kFewThresholds) {
    for (const int32_t below : below_) {
      for (int r = 0; r < kLanes; ++r) rank[r] += key[r] > below;
    }
  } else {
    for (int r = 0; r < kLanes; ++r) {
      rank[r] = static_cast<int32_t>(std::lower_bound(below_.begin(), below_.end(), key[r]) - below_.begin());
    }
  }
  for (int r = 0; r < kLanes; ++r) {
    value[r] = static_cast<T>(table_.level[static_cast<size_t>(rank[r])] * scale[r]);
    code[r] = static_cast<T>(table_.code[static_cast<size_t>(rank[r])]);
  }
}

template <typename T>
void TableGroups<T>::Freeze(std::vector<int32_t> group_of_column) {
  group_of_column_ = std::move(group_of_column);
  frozen_ = true;
}

template <typename T>
void TableGroups<T>::Store(TableCodes& m) const {
  m.rows = rows_;
  m.groups = groups_;
  m.tensor_scale = tensor_scale_;
  m.scales.resize(static_cast<size_t>(rows_ * groups_));
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t g = 0; g < groups_; ++g) {
      m.scales[static_cast<size_t>(r * groups_ + g)] = scale_[static_cast<size_t>(g * padded_rows_ + r)];
    }
  }
}

template class TableGroups<float>;
template class TableGroups<double>;

TableCodes RoundToTable(MatrixView<const float> w, const ScalarFormat& format,
                        std::span<const float> importance, ThreadPool& pool) {
  if (!importance.empty() && static_cast<int64_t>(importance.size()) != w.cols) {
    Fail("importance of {} columns for a layer of {}", importance.size(), w.cols);
  }
  const int64_t group = format.group == 0 ? std::max<int64_t>(1, w.cols) : format.group;
  const std::vector<int64_t> group_begin = GroupRuns(w.cols, group);
  TableCodes result{.cols = w.cols};
  result.codes.resize(static_cast<size_t>(w.rows * w.cols));
  for (int64_t c = 0; c < w.cols; ++c) result.g_idx.push_back(static_cast<int32_t>(c / group));
  TableGroups<float> quantizer(format, TensorScaleOf(format, w), w.rows,
                               static_cast<int64_t>(group_begin.size()), result.g_idx,
                               {importance.begin(), importance.end()});
  RoundGroups<float>(w, group_begin, quantizer, result.codes.data(), pool);
  quantizer.Store(result);
  return result;
}

std::vector<float> Dequantize(const TableCodes& m, const Table& table) {
  std::vector<float> values(m.codes.size());
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.cols; ++c) {
      const auto i = static_cast<size_t>(r * m.cols + c);
      values[i] = table.value[m.codes[i]] *
                  m.scales[static_cast<size_t>(r * m.groups + m.g_idx[static_cast<size_t>(c)])];
    }
  }
  return values;
}

float TensorScaleOf(const ScalarFormat& format, MatrixView<const float> w) {
  float extremes[2] = {0, 0};
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      extremes[0] = std::min(extremes[0], w(r, c));
      extremes[1] = std::max(extremes[1], w(r, c));
    }
  }
  return TensorScale(format, TableOf(format.alphabet), extremes);
}

}  // namespace lowbit
