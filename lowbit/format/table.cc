#include "lowbit/format/table.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

// Integers in the total order of floats.
int32_t OrderOf(float x) {
  const int32_t bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float NextUp(float x) {
  return std::nextafter(x, std::numeric_limits<float>::infinity());
}

// Sign of 2 x - (a + b), exactly: the sum of two floats may need more than 53 bits, so what rounding took
// away is kept beside it (two-sum). 2 x is within an ulp of the sum, so their difference is exact.
double TwiceBeyondMidpoint(float x, float a, float b) {
  const double u = a, v = b, sum = u + v, part = sum - u, lost = (u - (sum - part)) + (v - part);
  return (2.0 * x - sum) - lost;
}

// The smallest float at or above (strictly above) the midpoint of a and b.
float Midpoint(float a, float b, bool inclusive) {
  float x = static_cast<float>((static_cast<double>(a) + b) / 2);
  const auto beyond = [&](float y) {
    const double d = TwiceBeyondMidpoint(y, a, b);
    return inclusive ? d >= 0 : d > 0;
  };
  while (beyond(x)) x = -NextUp(-x);
  while (!beyond(x)) x = NextUp(x);
  return x == 0 ? -0.0f : x;
}

bool UpperTakesTie(const CodedLevel& low, const CodedLevel& high, Ties ties) {
  const float a = std::abs(low.level), b = std::abs(high.level);
  switch (ties) {
    case Ties::kEvenCode:
      return high.code % 2 == 0;
    case Ties::kAway:
      return b >= a;
    case Ties::kToZero:
      return b < a;
    case Ties::kUp:
      return true;
    case Ties::kDown:
      return false;
  }
  return true;
}

bool IsZeroPair(float low, float high) {
  return low == 0 && high == 0;
}

// Everything but the thresholds.
Table Sorted(int bits, std::vector<CodedLevel>& levels) {
  if (bits < 1 || bits > 8) Fail("a table of {}-bit codes; 1 to 8 bits are possible", bits);
  const size_t codes = size_t{1} << bits;
  if (levels.empty() || levels.size() > codes) {
    Fail("a table of {} levels with {}-bit codes; 1 to {} are possible", levels.size(), bits, codes);
  }
  std::sort(levels.begin(), levels.end(),
            [](const CodedLevel& a, const CodedLevel& b) { return OrderOf(a.level) < OrderOf(b.level); });
  Table table{.bits = bits, .value = std::vector<float>(codes, std::numeric_limits<float>::quiet_NaN())};
  for (size_t r = 0; r < levels.size(); ++r) {
    const auto [level, code] = levels[r];
    if (!std::isfinite(level)) Fail("a level of a table is not finite");
    if (code >= codes) Fail("code {} does not fit {} bits", code, bits);
    if (!std::isnan(table.value[code])) Fail("code {} stands for two levels", code);
    if (r > 0 && OrderOf(level) == OrderOf(levels[r - 1].level)) Fail("level {} appears twice", level);
    table.value[code] = level;
    table.level.push_back(level);
    table.code.push_back(code);
  }
  // +0 rather than -0 where both exist.
  size_t nearest = 0;
  for (size_t r = 1; r < levels.size(); ++r) {
    if (std::abs(levels[r].level) <= std::abs(levels[nearest].level)) nearest = r;
  }
  table.nan = levels[nearest].code;
  return table;
}

}  // namespace

float ThresholdAt(double at, bool inclusive) {
  auto x = static_cast<float>(at);
  if (static_cast<double>(x) < at || (!inclusive && static_cast<double>(x) == at)) x = NextUp(x);
  return x == 0 ? -0.0f : x;
}

float Table::MaxMagnitude() const {
  float most = 0;
  for (float v : level) {
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  }
  return most;
}

Table NearestTable(int bits, std::vector<CodedLevel> levels, Ties ties) {
  Table table = Sorted(bits, levels);
  for (size_t r = 0; r + 1 < levels.size(); ++r) {
    const CodedLevel &low = levels[r], &high = levels[r + 1];
    table.threshold.push_back(IsZeroPair(low.level, high.level)
                                  ? 0.0f
                                  : Midpoint(low.level, high.level, UpperTakesTie(low, high, ties)));
  }
  return table;
}

Table BoundedTable(int bits, std::vector<CodedLevel> levels, std::span<const Boundary> boundaries) {
  Table table = Sorted(bits, levels);
  if (boundaries.size() + 1 != levels.size()) {
    Fail("{} boundaries for {} levels; there is one between two neighbours", boundaries.size(),
         levels.size());
  }
  for (size_t r = 0; r < boundaries.size(); ++r) {
    const auto [at, inclusive] = boundaries[r];
    if (!(at >= levels[r].level && at <= levels[r + 1].level)) {
      Fail("the boundary {} does not lie between the levels {} and {}", at, levels[r].level,
           levels[r + 1].level);
    }
    table.threshold.push_back(IsZeroPair(levels[r].level, levels[r + 1].level) ? 0.0f
                                                                               : ThresholdAt(at, inclusive));
  }
  return table;
}

void AddAlias(Table& table, uint8_t code, float level) {
  if (code >= table.value.size()) Fail("code {} does not fit {} bits", code, table.bits);
  if (!std::isnan(table.value[code])) Fail("code {} stands for two levels", code);
  table.value[code] = level;
}

int RankOf(const Table& table, float x) {
  const int32_t order = OrderOf(x);
  return static_cast<int>(std::partition_point(table.threshold.begin(), table.threshold.end(),
                                               [&](float threshold) { return order >= OrderOf(threshold); }) -
                          table.threshold.begin());
}

uint8_t RoundToCode(const Table& table, float x) {
  return std::isnan(x) ? table.nan : table.code[static_cast<size_t>(RankOf(table, x))];
}

void RoundToCodes(const Table& table, std::span<const float> x, float scale, std::span<uint8_t> codes) {
  if (x.size() != codes.size()) Fail("{} codes for {} values", codes.size(), x.size());
  for (size_t i = 0; i < x.size(); ++i) codes[i] = RoundToCode(table, x[i] / scale);
}

void DecodeCodes(const Table& table, std::span<const uint8_t> codes, float scale, std::span<float> values) {
  if (values.size() != codes.size()) Fail("{} values for {} codes", values.size(), codes.size());
  const uint8_t mask = static_cast<uint8_t>(table.value.size() - 1);
  for (size_t i = 0; i < codes.size(); ++i) values[i] = table.value[codes[i] & mask] * scale;
}

void RoundStochastically(const Table& table, std::span<const float> x, float scale, const Draws& draws,
                         std::span<uint8_t> codes) {
  if (x.size() != codes.size()) Fail("{} codes for {} values", codes.size(), x.size());
  std::array<uint32_t, 4> words{};
  for (size_t i = 0; i < x.size(); ++i) {
    const uint64_t draw = draws.first + i;
    if (i == 0 || draw % 4 == 0) words = Philox4x32(draws.seed, draws.stream, draw / 4);
    const float t = x[i] / scale;
    if (std::isnan(t)) {
      codes[i] = table.nan;
      continue;
    }
    const auto above = std::upper_bound(table.level.begin(), table.level.end(), t);
    size_t rank = above == table.level.begin() ? 0 : static_cast<size_t>(above - table.level.begin() - 1);
    if (above != table.level.begin() && above != table.level.end()) {
      const double low = table.level[rank], high = *above;
      const double probability = (t - low) / (high - low);
      if (static_cast<double>(words[draw % 4]) * 0x1p-32 < probability) ++rank;
    }
    codes[i] = table.code[rank];
  }
}

}  // namespace lowbit
