// Products with a matrix whose sums run in one order everywhere: what codes are made from, so that they are
// the same bytes on every machine.
#pragma once

#include "lowbit/base/matrix.h"

namespace lowbit {

// y (n, m) = x (n, d) S^T of S^T (d, m): y_ri = sum_j x_rj s_ij in the order of j, each product rounded
// before it is added. Every target gives the same bits, for any n. y overlaps neither.
void OrderedProduct(MatrixView<const float> s_transposed, MatrixView<const float> x, MatrixView<float> y);

}  // namespace lowbit
