// Random rotations Pi of R^d from a seed, and Gaussian sketches: the same bits on every platform.
//
//   kHadamard  rounds of (H / sqrt n) D, D a diagonal of random signs (bits of Philox words), H a Hadamard
//              matrix (kernel/hadamard.h). Where d has no Hadamard matrix of ours, a round turns the first
//              and then the last p entries, p = LargestHadamard(d) > d / 2, each with signs of its own. O(d
//              log d).
//   kHaar      uniform on the orthogonal group: Stewart's product of Householder reflections of Gaussian
//              vectors, which is the Q of the QR factorisation of a Gaussian matrix with the signs of R's
//              diagonal. Double precision without libm, stored as d x d floats. O(d^2).
//   kNone      the identity.
//
// One round of the Hadamard rotation maps a unit vector e_i to entries of one magnitude; three make every
// input look Gaussian (TurboQuant, "fast variant").
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

enum class RotationKind : uint8_t { kNone, kHadamard, kHaar };

std::string_view NameOf(RotationKind kind);

struct RotationOptions {
  RotationKind kind = RotationKind::kHadamard;
  uint64_t seed = 0;
  int rounds = 3;  // of the Hadamard rotation, at least 1
};

class Rotation {
 public:
  // dim >= 1. Throws Error for a dimension or a number of rounds below 1.
  Rotation(int64_t dim, const RotationOptions& options);

  int64_t dim() const { return dim_; }
  const RotationOptions& options() const { return options_; }

  // y = Pi x and x = Pi^T y, d entries each. x and y may be the same array for the Hadamard rotation and the
  // identity, not for Haar.
  void Apply(const float* x, float* y) const { Apply(x, 1, y); }
  // Of n vectors one after another.
  void Apply(const float* x, int64_t n, float* y) const;
  void Inverse(const float* y, float* x) const;

  // Of the Hadamard rotation: p, and +-p^(-1/2) (transform, p) for the transforms in the order of Apply.
  int64_t block() const { return block_; }
  const std::vector<float>& factors() const { return factor_; }

 private:
  int64_t dim_;
  RotationOptions options_;
  int64_t block_ = 0;                       // p, d where d itself has a Hadamard matrix
  std::vector<float> factor_;               // +-p^(-1/2) (transform, p), transforms in the order of Apply
  std::vector<float> matrix_, transposed_;  // Pi and Pi^T (d, d), Haar
};

// Haar matrix (d, d), row-major, orthonormal to 1e-12.
std::vector<double> HaarMatrix(int64_t dim, uint64_t seed);
// (rows, cols) of independent N(0, 1) draws, row-major: QJL's S.
std::vector<float> GaussianSketch(int64_t rows, int64_t cols, uint64_t seed);

}  // namespace lowbit
