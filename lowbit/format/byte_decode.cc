#include "lowbit/format/byte_decode.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lowbit/base/float16.h"

namespace lowbit {
namespace {

constexpr int64_t kOne = 127, kPair = 127 * 128 + 63;

// The greatest unit of which every level is a multiple, when the multiples stay within `most`; else 0. Levels
// are dyadic: the significands of their floats over one power of two have a greatest common divisor.
double ExactUnit(const Table& table, int64_t most) {
  int lowest = 1000;
  for (float level : table.level) {
    if (level == 0) continue;
    int exponent;
    std::frexp(level, &exponent);
    lowest = std::min(lowest, exponent - 24);
  }
  if (lowest == 1000) return 1;
  int64_t divisor = 0;
  for (float level : table.level) {
    const double multiple = std::ldexp(static_cast<double>(level), -lowest);
    if (std::abs(multiple) > 0x1p62) return 0;
    divisor = std::gcd(divisor, static_cast<int64_t>(multiple));
  }
  const double unit = std::ldexp(static_cast<double>(divisor), lowest);
  const bool fits = table.level.front() / unit >= static_cast<double>(-most - 1) &&
                    table.level.back() / unit <= static_cast<double>(most);
  return fits ? unit : 0;
}

double ErrorOf(const Table& table, double unit) {
  double most = 0;
  for (float level : table.level)
    most = std::max(most, std::abs(level - unit * std::nearbyint(level / unit)));
  return most / table.MaxMagnitude();
}

ByteDecode Decode(const Table& table, int64_t most, bool pair) {
  ByteDecode result{.unit = ExactUnit(table, most)};
  if (result.unit == 0) {
    const double greatest = table.MaxMagnitude();
    result.error = 1;
    for (int64_t n = most; n > most / 2; --n) {
      const double unit = greatest / static_cast<double>(n), error = ErrorOf(table, unit);
      if (error < result.error) {
        result.unit = unit;
        result.error = error;
      }
    }
  }
  for (float value : table.value) {
    const int64_t multiple = std::isfinite(value) ? std::llrint(value / result.unit) : 0;
    // Round up at half of 128 so that `low` fills -64 ... 63.
    const int64_t high = pair ? (multiple + 64) >> 7 : multiple;
    result.high.push_back(static_cast<int8_t>(high));
    if (pair) result.low.push_back(static_cast<int8_t>(multiple - high * 128));
  }
  return result;
}

}  // namespace

double ByteDecode::Value(uint8_t code) const {
  return unit * (low.empty() ? high[code] : 128 * high[code] + low[code]);
}

ByteDecode DecodeToBytes(const Table& table) {
  return Decode(table, kOne, false);
}

ByteDecode DecodeToBytePairs(const Table& table) {
  return Decode(table, kPair, true);
}

bool IsExactInBF16(const Table& table) {
  return std::all_of(table.level.begin(), table.level.end(),
                     [](float level) { return BF16ToFloat(FloatToBF16(level)) == level; });
}

Arithmetic ExactArithmetic(const Table& table) {
  if (DecodeToBytes(table).exact()) return Arithmetic::kInt8;
  if (DecodeToBytePairs(table).exact()) return Arithmetic::kInt8Pair;
  return IsExactInBF16(table) ? Arithmetic::kBF16 : Arithmetic::kF32;
}

std::string_view NameOf(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kInt8:
      return "int8";
    case Arithmetic::kInt8Pair:
      return "int8 pair";
    case Arithmetic::kBF16:
      return "bf16";
    case Arithmetic::kF32:
      return "f32";
  }
  return "";
}

}  // namespace lowbit
