// Hadamard transforms of rows of f32: y = H x with H of entries +-1, H H^T = n I, not normalised.
//
// n = m 2^k with m one of 1, 12, 20: H = P_m (x) S_{2^k}, the Kronecker product of Paley's matrix (first
// construction: q = m - 1 prime, q = 3 mod 4; 1 for m = 1) and Sylvester's, entry (i, j) of which is
// (-1)^popcount(i & j). So 64, 96, 128, 160, 192, 320, 384, 768, 1024, 1280, 1536 ... are all plain Hadamard
// matrices. P_m is not symmetric; the transposed transform is there for inverses.
//
// Every output is the same tree of additions on every target: results are equal to the last bit.
#pragma once

#include <cstdint>

namespace lowbit {

// True when there is a transform of this length.
bool HasHadamard(int64_t n);
// The largest length with a transform, at most n (n >= 1).
int64_t LargestHadamard(int64_t n);

// Entry (row, col) of H: the definition, for tests and for documents.
int HadamardEntry(int64_t n, int64_t row, int64_t col);

// x (n) = H (x with the signs of `flip`), in place. flip[i] is 0 or 0x80000000, xored onto x[i]; null: no
// flips. Throws when there is no transform of length n.
void Hadamard(float* x, const uint32_t* flip, int64_t n);
// x (n) = (H^T x) with the signs of `flip`: with Hadamard, a multiplication by n.
void HadamardTransposed(float* x, const uint32_t* flip, int64_t n);

}  // namespace lowbit
