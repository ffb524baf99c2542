#include "lowbit/quantize/affine_groups.h"

#include <utility>

#include "lowbit/base/buffer.h"

namespace lowbit {

template <typename T>
AffineGroups<T>::AffineGroups(const GridOptions& options, int64_t rows, int64_t groups,
                              std::vector<int32_t> group_of_column, std::vector<T> column_weight)
    : options_(options),
      rows_(rows),
      padded_rows_((rows + kLanes - 1) / kLanes * kLanes),
      groups_(groups),
      group_of_column_(std::move(group_of_column)),
      column_weight_(std::move(column_weight)),
      scale_(static_cast<size_t>(groups * padded_rows_), T(1)),
      zero_(scale_.size(), T(0)),
      max_code_(static_cast<T>((1 << options.bits) - 1)) {
  CheckGridOptions(options);
}

template <typename T>
void AffineGroups<T>::BeginGroup(const LiveColumns<T>& live) {
  if (frozen_) return;
  const size_t at = Index(live.begin, live.row);
  const T* weight = column_weight_.empty() ? nullptr : column_weight_.data() + live.begin;
  FitGrids(options_, live.data, live.end - live.begin, live.stride, weight, scale_.data() + at,
           zero_.data() + at);
}

template <typename T>
void AffineGroups<T>::Store(AffineCodes& matrix) const {
  matrix.rows = rows_;
  matrix.groups = groups_;
  matrix.bits = options_.bits;
  matrix.scales.resize(static_cast<size_t>(rows_ * groups_));
  matrix.zeros.resize(matrix.scales.size());
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t g = 0; g < groups_; ++g) {
      matrix.scales[static_cast<size_t>(r * groups_ + g)] =
          static_cast<float>(scale_[static_cast<size_t>(g * padded_rows_ + r)]);
      matrix.zeros[static_cast<size_t>(r * groups_ + g)] =
          static_cast<uint8_t>(zero_[static_cast<size_t>(g * padded_rows_ + r)]);
    }
  }
}

template class AffineGroups<float>;
template class AffineGroups<double>;

}  // namespace lowbit
