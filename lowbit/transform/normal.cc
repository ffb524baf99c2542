#include "lowbit/transform/normal.h"

#include <bit>
#include <cmath>

namespace lowbit {

double PortableLog(double x) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  if (exponent == -1023) {  // subnormal: scaled into the normal range, exactly
    bits = std::bit_cast<uint64_t>(x * 0x1p54);
    exponent = static_cast<int>(bits >> 52) - 1023 - 54;
  }
  double f = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (f > 1.4142135623730951) {
    f *= 0.5;
    ++exponent;
  }
  const double z = (f - 1) / (f + 1), z2 = z * z;  // |z| <= 0.1716: 12 terms reach 2^-60
  double sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = sum * z2 + 1.0 / k;
  return exponent * 0.6931471805599453 + 2 * z * sum;
}

double NormalSequence::Next() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  double u, v, s;
  do {
    u = static_cast<double>(random_.Next64() >> 11) * 0x1p-52 - 1;
    v = static_cast<double>(random_.Next64() >> 11) * 0x1p-52 - 1;
    s = u * u + v * v;
  } while (s >= 1 || s == 0);
  const double factor = std::sqrt(-2 * PortableLog(s) / s);
  spare_ = v * factor;
  has_spare_ = true;
  return u * factor;
}

}  // namespace lowbit
