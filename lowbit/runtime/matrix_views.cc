#include "lowbit/runtime/matrix_views.h"

#include <cstring>
#include <vector>

#include "lowbit/base/float16.h"

namespace lowbit {

PackedMatrix ViewPacked(const Matrix& m) {
  return PackedMatrix(std::get<PackedFormat>(m.format), m.rows, m.cols, m.bytes, m.size);
}

FloatMatrix ViewFloat(const Matrix& m) {
  return {std::get<DType>(m.format), m.rows, m.cols, m.bytes};
}

void DecodeRow(const Matrix& m, int64_t row, float* out) {
  if (m.packed()) {
    if (m.order.empty()) {
      DequantizeRows(ViewPacked(m), row, row + 1, out);
      return;
    }
    std::vector<float> stored(static_cast<size_t>(m.cols));
    DequantizeRows(ViewPacked(m), row, row + 1, stored.data());
    for (int64_t c = 0; c < m.cols; ++c) out[m.order[c]] = stored[c];
    return;
  }
  const DType type = std::get<DType>(m.format);
  const uint8_t* from = m.bytes + static_cast<size_t>(row * m.cols) * SizeOf(type);
  if (type == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(m.cols) * 4);
    return;
  }
  for (int64_t c = 0; c < m.cols; ++c) {
    uint16_t half;
    std::memcpy(&half, from + 2 * c, 2);
    out[c] = type == DType::kF16 ? F16ToFloat(half) : BF16ToFloat(half);
  }
}

}  // namespace lowbit
