// What a quantizer asks of a line of values before it chooses their scale.
//
// Sums are taken in f64, entry i in the (i mod 8)-th of eight sums, which are added as (i) + (i + 4), + 2,
// + 1: the same bits on every target.
#pragma once

#include <cstdint>

namespace lowbit {

struct LineExtent {
  float low = 0, high = 0;  // never -0
  double magnitude = 0;     // sum |x|; not finite where one of the values is not
  double square = 0;        // sum x^2
};

// n >= 1.
LineExtent ExtentOf(const float* x, int64_t n);

}  // namespace lowbit
