#include "lowbit/format/matrix.h"

#include <cstring>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

namespace lowbit {

Matrix OwnFloats(std::vector<float> values, int64_t rows, int64_t cols) {
  auto owner = std::make_shared<std::vector<float>>(std::move(values));
  Matrix matrix{.format = DType::kF32, .rows = rows, .cols = cols};
  matrix.bytes = reinterpret_cast<const uint8_t*>(owner->data());
  matrix.size = owner->size() * sizeof(float);
  matrix.owner = owner;
  return matrix;
}

Matrix OwnPacked(const QuantizedMatrix& codes) {
  const std::vector<uint8_t> bytes = Pack(codes);
  auto owner = std::make_shared<Buffer<uint8_t>>(bytes.size());
  std::memcpy(owner->data(), bytes.data(), bytes.size());
  Matrix matrix{.format = codes.format, .rows = codes.rows, .cols = codes.cols};
  matrix.bytes = owner->data();
  matrix.size = bytes.size();
  matrix.order = codes.order;
  matrix.owner = owner;
  return matrix;
}

std::vector<float> ToFloats(const Matrix& m) {
  std::vector<float> values(static_cast<size_t>(m.rows * m.cols));
  if (const auto* format = std::get_if<PackedFormat>(&m.format)) {
    const QuantizedMatrix codes = Unpack(*format, m.rows, m.cols, m.bytes, m.size);
    std::vector<float> row(static_cast<size_t>(m.cols));
    for (int64_t r = 0; r < m.rows; ++r) {
      codes.DequantizeRow(r, row.data());
      for (int64_t c = 0; c < m.cols; ++c) values[r * m.cols + (m.order.empty() ? c : m.order[c])] = row[c];
    }
    return values;
  }
  const DType type = std::get<DType>(m.format);
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == DType::kF32) {
      std::memcpy(&values[i], m.bytes + 4 * i, 4);
    } else {
      uint16_t half;
      std::memcpy(&half, m.bytes + 2 * i, 2);
      values[i] = type == DType::kF16 ? F16ToFloat(half) : BF16ToFloat(half);
    }
  }
  return values;
}

}  // namespace lowbit
