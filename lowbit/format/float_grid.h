// Small floating-point grids ExMy: one sign bit, x exponent bits, y mantissa bits, 1 + x + y <= 8.
//
//   code = s | e (x bits) | m (y bits)
//   value = (-1)^s 2^(1 - bias) (m / 2^y)          e = 0 (subnormal)
//           (-1)^s 2^(e - bias) (1 + m / 2^y)      e > 0
//
// The element types of the OCP specifications (8-bit Floating Point 1.0, Microscaling Formats 1.0) are E4M3,
// E5M2, E3M2, E2M3 and E2M1 with the biases and special codes that FloatGrid::Standard gives. Any other split
// and any bias is possible: a bias one greater halves every level (LLM-FP4, Number format).
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/format/table.h"

namespace lowbit {

enum class Specials : uint8_t {
  kNone,       // every code is a number (E2M1, E3M2, E2M3)
  kNanOnly,    // the code of all ones, either sign, is NaN; no infinities (E4M3, "fn")
  kInfAndNan,  // the greatest exponent holds infinity (m = 0) and NaN, as in IEEE 754 (E5M2)
};

struct FloatGrid {
  int exponent = 2, mantissa = 1;
  int bias = 1;
  Specials specials = Specials::kNone;

  // Bias 2^(x-1) - 1; E4M3 with NaN, E5M2 with infinities and NaN, all others without specials.
  static FloatGrid Standard(int exponent, int mantissa);
  int bits() const { return 1 + exponent + mantissa; }
  bool operator==(const FloatGrid&) const = default;
};

// Rounds to nearest, ties to the even code; -0 has its own rank; too large values and infinities saturate;
// NaN becomes NaN where there is one, else +0 (the specifications leave that open). Throws Error when the
// split is impossible or the levels would leave the range of normal f32.
Table FloatTable(const FloatGrid& grid);

enum class Overflow : uint8_t {
  kSaturate,  // to the greatest finite value
  kSpecial,   // to infinity, or NaN where there is none, from half a step beyond the greatest value on
};
// One value under either rule of the specification for conversion. Grids without specials always saturate.
uint8_t EncodeFloat(const FloatGrid& grid, const Table& table, float x, Overflow overflow);

// E8M0, the power-of-two scales of the microscaling formats: 2^(code - 127), 255 is NaN. The value of code 0,
// 2^-127, is subnormal in f32.
float E8M0ToFloat(uint8_t code);
// The code of 2^exponent, clamped to 0 ... 254.
uint8_t E8M0OfExponent(int exponent);
// floor(log2 x) of a positive finite x, subnormals included.
int FloorLog2(float x);

}  // namespace lowbit
