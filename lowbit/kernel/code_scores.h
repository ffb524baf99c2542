// Scores of packed codes (code_scan.h) against a batch of queries: the exact integer sums, and from them
//
//   score[r n + i] = factor_r scale_i (sum_ri - middle_r) + weight_r bias_i + constant_r,
//
// which is a squared distance or a negative inner product for the right factors (quantize/grid_code.h). Each
// code is decoded once for all queries. A score does not depend on the batch it is computed in. Where only
// the scores within a limit are wanted they are compared while they are in registers, and no others are
// stored.
#pragma once

#include <cstdint>

#include "lowbit/kernel/code_scan.h"
#include "lowbit/kernel/row_scores.h"

namespace lowbit {

struct ByteQueries {
  int64_t count;
  const int8_t* bytes;                               // (count, 32 blocks), in [-127, 127]
  const float *factor, *middle, *weight, *constant;  // (count)
};

// scale and bias (n), scores (count, n).
void ScoreCodes(const CodeAlphabet& alphabet, const ByteQueries& queries, int64_t blocks,
                const uint8_t* packed, int64_t stride, int64_t n, const float* scale, const float* bias,
                float* scores);

// Those of the same scores that pass the limits of queries.count queries.
void SelectCodes(const CodeAlphabet& alphabet, const ByteQueries& queries, int64_t blocks,
                 const uint8_t* packed, int64_t stride, int64_t n, const float* scale, const float* bias,
                 const PassedRows& passed);

// bytes[j] = q[j] / step to nearest, step = max |q_j| / 127; *sum is that of the bytes. Returns step, 0 for a
// query of zeros. Throws nothing: entries that are not finite are the caller's to refuse.
float RoundToBytes(const float* q, int64_t n, int8_t* bytes, int32_t* sum);

// factors[i] = multiplier * the f16 at from + i stride, or the square of that.
void LoadFactors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared,
                 float* factors);

// Of two f16 side by side: first[i] = multiplier * the one at from + i stride, second[i] = the one after it,
// or the square of that.
void LoadTwoFactors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared,
                    float* first, float* second);

}  // namespace lowbit
