// Standard normal draws that are the same doubles on every platform: Marsaglia's polar method with a
// logarithm of our own. Only + - * / and square root are used, all of them correctly rounded by IEEE 754, and
// nothing is contracted (the engine is compiled with -ffp-contract=off).
#pragma once

#include <cstdint>

#include "lowbit/base/random.h"

namespace lowbit {

// ln x for finite x > 0, within 1e-15 relative to max(1, |ln x|): x = 2^e f, f in [sqrt(1/2), sqrt(2)), and
// ln f = 2 atanh((f - 1) / (f + 1)) by its series.
double PortableLog(double x);

// A sequence of independent N(0, 1) draws over one (seed, stream).
class NormalSequence {
 public:
  explicit NormalSequence(uint64_t seed, uint64_t stream = 0) : random_(seed, stream) {}
  double Next();

 private:
  Random random_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace lowbit
