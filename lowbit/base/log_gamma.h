// The logarithm of the gamma function.
#pragma once

#include <math.h>

namespace lowbit {

// ln Γ(x), x > 0. std::lgamma writes the sign to `signgam`, one variable for all threads.
inline double LogGamma(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

}  // namespace lowbit
