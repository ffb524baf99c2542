// Matrices as the kernels want them.
#pragma once

#include "lowbit/format/matrix.h"
#include "lowbit/kernel/float_matmul.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

// `matrix.packed()` must hold.
PackedMatrix ViewPacked(const Matrix& matrix);
// `matrix.packed()` must not hold.
FloatMatrix ViewFloat(const Matrix& matrix);

// Row `row` in f32, columns in input order.
void DecodeRow(const Matrix& matrix, int64_t row, float* out);

}  // namespace lowbit
