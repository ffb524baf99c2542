// A weight matrix as it is stored and multiplied.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lowbit/format/format.h"

namespace lowbit {

// y = W x with W (rows, cols) = (out, in). Plain formats are row-major, perhaps unaligned (a mapped foreign
// file); packed formats are the layout of PackedLayout, 64-byte aligned.
struct Matrix {
  Format format = DType::kF32;
  int64_t rows = 0, cols = 0;
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  std::vector<int32_t> order;         // not empty: stored column j multiplies input order[j]
  std::shared_ptr<const void> owner;  // keeps `bytes` alive

  bool packed() const { return std::holds_alternative<PackedFormat>(format); }
};

// A matrix that owns f32 values, (rows, cols) row-major.
Matrix OwnFloats(std::vector<float> values, int64_t rows, int64_t cols);
// A matrix that owns the packed form of `codes`.
Matrix OwnPacked(const QuantizedMatrix& codes);
// All values in f32, columns in input order.
std::vector<float> ToFloats(const Matrix& matrix);

}  // namespace lowbit
