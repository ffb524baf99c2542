// Hadamard transforms of rows of f32: y = H x with H of entries +-1, H H^T = n I, not normalised.
//
// n = m 2^k with m one of 1, 12, 20: H = B_m (x) S_{2^k}, the Kronecker product of Sylvester's matrix, entry
// (i, j) of which is (-1)^popcount(i & j), with a base matrix: 1; Williamson's array of order 12; Paley's
// matrix of order 20 (first construction, q = 19). So 64, 96, 128, 160, 192, 320, 384, 768, 1024, 1280, 1536
// ... are all plain Hadamard matrices. The base matrices are not symmetric; the transposed transform is there
// for inverses.
//
// Every output is the same tree of additions on every target: results are equal to the last bit.
#pragma once

#include <cstdint>

namespace lowbit {

// m of n = m 2^k, 0 where there is no transform of length n.
int HadamardBase(int64_t n);
// True when there is a transform of this length.
bool HasHadamard(int64_t n);
// The largest length with a transform, at most n (n >= 1).
int64_t LargestHadamard(int64_t n);

// Entry (row, col) of H: the definition, for tests and for documents.
int HadamardEntry(int64_t n, int64_t row, int64_t col);

// x (n) = H (factor_i x_i), in place; factor null: ones. Throws when there is no transform of length n.
void Hadamard(float* x, const float* factor, int64_t n);
// x_i (n) = factor_i (H^T x)_i: undoes Hadamard where every factor is +-n^(-1/2).
void HadamardTransposed(float* x, const float* factor, int64_t n);

}  // namespace lowbit
