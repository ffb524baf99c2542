// Rows of floats to plain packed codes, in one go: rotation, ranks among thresholds, packing, and the sums
// that a row's factors are made of. A row stays in registers, or in the first-level cache, from its first
// read to its last code.
//
//   y = Pi x,   u_j = y_j * (sqrt(d) / ||x||),   code_j = #{ i : u_j >= threshold_i }
//
// with x padded by zeros to d = 32 blocks entries and Pi the rounds of a Hadamard rotation
// (transform/rotation.h). Every target gives the same bits.
#pragma once

#include <cstdint>

#include "lowbit/base/matrix.h"

namespace lowbit {

// Pi: a round is one transform of length d, or transforms of the first and then of the last `length` < d
// entries.
struct RowRotation {
  int64_t length = 0;
  int rounds = 0;                 // none: Pi is the identity
  const float* factor = nullptr;  // (transform, length), in the order of their use
};

struct RowAlphabet {
  int bits = 4;                      // 1 to 4
  const float* threshold = nullptr;  // 2^bits - 1, ascending
  const float* value = nullptr;      // v of a code, 2^bits of them; null where RowSums stops at `square`
};

struct RowSums {
  float square;           // sum x_j^2, as SumOfSquares gives it
  double rotated_square;  // sum y_j^2, in eight running sums and a fixed tree
  double product;         // sum y_j v_j, likewise
};

// packed: rows of codes at packed + i stride; sums (x.rows). Whatever x holds, memory is safe: codes of rows
// whose square is no number mean nothing.
void RankRows(MatrixView<const float> x, int64_t blocks, const RowRotation& rotation,
              const RowAlphabet& alphabet, uint8_t* packed, int64_t stride, RowSums* sums);

// codes[j] = #{ i : x_j * scale >= threshold[i] }, thresholds ascending, `count` of them (2^b - 1, b <= 8).
void RankCodes(const float* x, int64_t n, float scale, const float* threshold, int count, uint8_t* codes);

// RankCodes and PackCodes of 32 blocks entries in one pass, for 1 to 4 bits and 2^bits - 1 thresholds.
void RankAndPack(const float* x, int64_t blocks, float scale, const float* threshold, int bits,
                 uint8_t* packed);

// sum_j x_j^2 with eight running sums and a fixed tree: the same bits on every target.
float SumOfSquares(const float* x, int64_t n);

}  // namespace lowbit
