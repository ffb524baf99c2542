#include "lowbit/format/float_grid.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// Codes of the positive half that are finite numbers, ascending from +0.
int FiniteCodes(const FloatGrid& grid) {
  const int half = 1 << (grid.exponent + grid.mantissa);
  switch (grid.specials) {
    case Specials::kNone:
      return half;
    case Specials::kNanOnly:
      return half - 1;
    case Specials::kInfAndNan:
      return half - (1 << grid.mantissa);
  }
  return half;
}

float Magnitude(const FloatGrid& grid, int code) {
  const int e = code >> grid.mantissa, m = code & ((1 << grid.mantissa) - 1);
  const int significand = e == 0 ? m : m + (1 << grid.mantissa);
  return std::ldexp(static_cast<float>(significand), std::max(e, 1) - grid.bias - grid.mantissa);
}

void Check(const FloatGrid& grid) {
  if (grid.exponent < 1 || grid.mantissa < 0 || grid.bits() > 8) {
    Fail(
        "e{}m{} is not a small float: the exponent has 1 bit or more, and 1 + exponent + mantissa is at most "
        "8",
        grid.exponent, grid.mantissa);
  }
  const int top = (1 << grid.exponent) - 1 - grid.bias, low = 1 - grid.bias - grid.mantissa;
  if (top > 127 || low < -126) {
    Fail("e{}m{} with bias {} has values outside the range of f32", grid.exponent, grid.mantissa, grid.bias);
  }
  if (FiniteCodes(grid) < 2 || (grid.specials == Specials::kInfAndNan && grid.mantissa == 0))
    Fail("e{}m{} has no room for specials", grid.exponent, grid.mantissa);
}

}  // namespace

FloatGrid FloatGrid::Standard(int exponent, int mantissa) {
  FloatGrid grid{.exponent = exponent, .mantissa = mantissa, .bias = (1 << (exponent - 1)) - 1};
  if (exponent == 4 && mantissa == 3) grid.specials = Specials::kNanOnly;
  if (exponent == 5 && mantissa == 2) grid.specials = Specials::kInfAndNan;
  return grid;
}

Table FloatTable(const FloatGrid& grid) {
  Check(grid);
  const int half = 1 << (grid.exponent + grid.mantissa);
  std::vector<CodedLevel> levels;
  for (int c = 0; c < FiniteCodes(grid); ++c) {
    const float magnitude = Magnitude(grid, c);
    levels.push_back({magnitude, static_cast<uint8_t>(c)});
    levels.push_back({-magnitude, static_cast<uint8_t>(c + half)});
  }
  Table table = NearestTable(grid.bits(), std::move(levels), Ties::kEvenCode);
  if (grid.specials == Specials::kNone) return table;
  table.nan = static_cast<uint8_t>(half - 1);
  if (grid.specials == Specials::kInfAndNan) {
    const auto infinity = static_cast<uint8_t>(FiniteCodes(grid));
    // The quiet NaN: the greatest bit of the mantissa alone.
    table.nan = static_cast<uint8_t>(infinity | 1 << (grid.mantissa - 1));
    AddAlias(table, infinity, std::numeric_limits<float>::infinity());
    AddAlias(table, static_cast<uint8_t>(infinity + half), -std::numeric_limits<float>::infinity());
  }
  return table;
}

uint8_t EncodeFloat(const FloatGrid& grid, const Table& table, float x, Overflow overflow) {
  const int half = 1 << (grid.exponent + grid.mantissa), sign = std::signbit(x) ? half : 0;
  if (std::isnan(x))
    return static_cast<uint8_t>(grid.specials == Specials::kNone ? table.nan : table.nan | sign);
  if (overflow == Overflow::kSpecial && grid.specials != Specials::kNone) {
    const int finite = FiniteCodes(grid);
    // The level that would follow the greatest one decides, the tie going to the even code.
    const double top = Magnitude(grid, finite - 1), next = Magnitude(grid, finite), middle = (top + next) / 2;
    const double magnitude = std::abs(x);
    if (magnitude > middle || (magnitude == middle && finite % 2 == 0)) {
      return static_cast<uint8_t>(sign + finite);
    }
  }
  return RoundToCode(table, x);
}

float E8M0ToFloat(uint8_t code) {
  if (code == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, code - 127);
}

uint8_t E8M0OfExponent(int exponent) {
  return static_cast<uint8_t>(std::clamp(exponent, -127, 127) + 127);
}

int FloorLog2(float x) {
  return std::ilogb(x);
}

}  // namespace lowbit
