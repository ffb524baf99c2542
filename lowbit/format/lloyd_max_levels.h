// The laws that alphabets are named after, and the levels that minimise their squared error in f32
// (lloyd_max.h has the method).
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
