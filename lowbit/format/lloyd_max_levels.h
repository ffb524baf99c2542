// The levels that minimise the squared error of a known law (Lloyd 1957/82, Max 1960), of unit variance:
//
//   level_i = E[x | x in cell i],   thresholds at the midpoints.
//
// For log-concave densities (all below) this point is unique. Found by Newton's method on the tridiagonal
// system, from Lloyd's iteration on the compander's levels.
#pragma once

#include <cstdint>
#include <vector>

namespace lowbit {

enum class LawKind : uint8_t {
  kGaussian,
  kLaplace,
  kBeta,  // one coordinate of a uniform point on the sphere in `dimension` dimensions, times sqrt(dimension):
          // density proportional to (1 - x^2/d)^((d-3)/2) on |x| <= sqrt(d). Weights after a rotation.
};

struct Law {
  LawKind kind = LawKind::kGaussian;
  int dimension = 128;  // of kBeta, 3 or more
  bool operator==(const Law&) const = default;
};

// 2^bits levels, ascending and antisymmetric; bits 1 ... 8. Throws Error otherwise.
std::vector<float> LloydMaxLevels(const Law& law, int bits);

}  // namespace lowbit
