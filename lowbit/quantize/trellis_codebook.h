// Alphabets of the trellis codes (kernel/code_scan.h) for Gaussian sequences, and how they were made.
#pragma once

#include <span>

#include "lowbit/quantize/grid_code.h"

namespace lowbit {

// The alphabet of 1 to 4 bits for unit variance, with its mean squared error on rings of 128 coordinates. At
// 1, 2, 3, 4 bits that is 0.79, 0.69, 0.66 and 0.78 of the Lloyd-Max quantizer's.
Grid TrellisGrid(int bits);

// Mean squared error of a trellis grid on x, cut into rings of 128 (a multiple of 128 of them).
double TrellisDistortion(const Grid& grid, std::span<const float> x);

// Lloyd's iteration with the Viterbi search in place of the nearest level: each level becomes the mean of
// what was coded with it, rounded to a byte. Deterministic. Returns the grid with the distortion of its last
// round.
Grid TrainTrellis(Grid start, std::span<const float> x, int iterations);
// Levels drawn from N(0, 1): a start. `step` in units of the standard deviation.
Grid RandomTrellis(int bits, double step, uint64_t seed);

}  // namespace lowbit
