// A view of a matrix in the packed layout of lowbit/format/format.h: what the kernels multiply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lowbit/format/code_table.h"
#include "lowbit/format/format.h"

namespace lowbit {

struct PackedMatrix {
  // `bytes` must stay alive and hold PackedLayout(format, rows, cols).bytes bytes; aligned to 64 for speed.
  // Throws Error when `size` is too small or the shape is impossible.
  PackedMatrix(const PackedFormat& format, int64_t rows, int64_t cols, const uint8_t* bytes, size_t size);

  PackedFormat format;
  int64_t rows, cols;  // (out, in)
  const uint8_t* bytes;
  PackedLayout layout;
  const CodeTable* table = nullptr;  // of kTable
  float tensor_scale = 1;            // of kE4M3

  // False for tables that only floats multiply well: MatMul refuses them, MatMulF32 takes all.
  bool in_bytes() const { return table == nullptr || table->in_bytes; }
};

// Rows [row_begin, row_end) as f32, (row_end - row_begin, cols), bit-identical to
// QuantizedMatrix::DequantizeRow.
void DequantizeRows(const PackedMatrix& matrix, int64_t row_begin, int64_t row_end, float* out);

}  // namespace lowbit
