// Rows of floats cut into two parts by columns: the chosen ones, in order, and all others, in order.
#pragma once

#include <cstdint>

#include "lowbit/base/matrix.h"

namespace lowbit {

// Floats behind a part's last row that SplitColumns may overwrite.
inline constexpr int64_t kSplitSlack = 16;

// x (rows, cols); column j is chosen where bit j mod 8 of mask[j / 8] is 1, (cols + 7) / 8 bytes. `chosen`
// (rows, number of ones) and `rest` (rows, number of zeros) without gaps between rows; both have room for
// kSplitSlack floats more. Asks for the memory of as many rows behind the last, which need not exist: what is
// split next, while the caller works on these.
void SplitColumns(MatrixView<const float> x, const uint8_t* mask, float* chosen, float* rest);

}  // namespace lowbit
