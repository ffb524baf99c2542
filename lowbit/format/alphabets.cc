#include "lowbit/format/alphabets.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/format/ggml_iq_grids.h"

namespace lowbit {
namespace {

void CheckBits(const char* what, int bits, int least, int most) {
  if (bits < least || bits > most) Fail("{} of {} bits; {} to {} are possible", what, bits, least, most);
}

// Sign and magnitude: code = sign << (b-1) | index. `magnitudes` ascends from 0; indices it does not reach
// are left without a value.
std::vector<CodedLevel> SignMagnitude(int bits, std::span<const float> magnitudes) {
  std::vector<CodedLevel> levels = {{0.0f, 0}};
  for (size_t i = 1; i < magnitudes.size(); ++i) {
    levels.push_back({magnitudes[i], static_cast<uint8_t>(i)});
    levels.push_back({-magnitudes[i], static_cast<uint8_t>(i | size_t{1} << (bits - 1))});
  }
  return levels;
}

std::vector<float> Sums(std::initializer_list<std::initializer_list<int>> terms) {
  std::vector<int> sums = {0};
  for (const auto& term : terms) {
    std::vector<int> next;
    for (int a : sums) {
      for (int b : term) next.push_back(a + b);
    }
    sums = std::move(next);
  }
  std::sort(sums.begin(), sums.end());
  return {sums.begin(), sums.end()};
}

std::vector<float> AdditivePowers(int magnitude_bits) {
  switch (magnitude_bits) {
    case 2:
      return {0, 1, 2, 4};
    case 3:
      return {0, 1, 2, 3, 4, 6, 8, 10};
    case 4:
      return Sums({{0, 32, 8, 2}, {0, 16, 4, 1}});
    case 5:
      return Sums({{0, 64, 16, 2}, {0, 32, 8, 1}, {0, 4}});
    default:
      return Sums({{0, 256, 32, 4}, {0, 128, 16, 2}, {0, 64, 8, 1}});
  }
}

std::vector<CodedLevel> InOrder(std::span<const float> values) {
  std::vector<CodedLevel> levels;
  for (size_t i = 0; i < values.size(); ++i) levels.push_back({values[i], static_cast<uint8_t>(i)});
  return levels;
}

std::vector<CodedLevel> Integers(int low, int high, int offset, int unit = 1) {
  std::vector<CodedLevel> levels;
  for (int q = low; q <= high; ++q) {
    levels.push_back({static_cast<float>(q * unit), static_cast<uint8_t>(q + offset)});
  }
  return levels;
}

int64_t RoundedHalfUp(int64_t q, int shift) {
  return (q + (int64_t{1} << (shift - 1))) >> shift;
}

void CheckNested(int high_bits, int low_bits) {
  if (high_bits < 2 || high_bits > 8 || low_bits < 1 || low_bits >= high_bits) {
    Fail("{}-bit integers nested in {}-bit ones; 1 <= low < high <= 8 is possible", low_bits, high_bits);
  }
}

}  // namespace

Table IntegerTable(int bits) {
  CheckBits("an integer grid", bits, 1, 8);
  const int half = 1 << (bits - 1);
  // {-1, 0}: the code of 0 is odd, yet 0 is the even one.
  return NearestTable(bits, Integers(-half, half - 1, half), bits == 1 ? Ties::kUp : Ties::kEvenCode);
}

Table NarrowIntegerTable(int bits) {
  CheckBits("an integer grid of restricted range", bits, 2, 8);
  const int half = 1 << (bits - 1);
  Table table = NearestTable(bits, Integers(1 - half, half - 1, half), Ties::kEvenCode);
  AddAlias(table, 0, static_cast<float>(1 - half));
  return table;
}

Table TwosComplementTable(int bits) {
  CheckBits("an integer grid of restricted range", bits, 2, 8);
  const int half = 1 << (bits - 1), mask = (1 << bits) - 1;
  std::vector<CodedLevel> levels;
  for (int q = 1 - half; q < half; ++q) {
    levels.push_back({static_cast<float>(q), static_cast<uint8_t>(q & mask)});
  }
  Table table = NearestTable(bits, std::move(levels), Ties::kEvenCode);
  AddAlias(table, static_cast<uint8_t>(half), static_cast<float>(-half));
  return table;
}

Table UnsignedIntegerTable(int bits) {
  CheckBits("an integer grid", bits, 1, 8);
  return NearestTable(bits, Integers(0, (1 << bits) - 1, 0), Ties::kEvenCode);
}

Table PowerTable(int bits, double exponent) {
  CheckBits("a power grid", bits, 2, 8);
  if (!(exponent >= 0.1 && exponent <= 4))
    Fail("a power grid with exponent {}; 0.1 to 4 are possible", exponent);
  const int half = 1 << (bits - 1), most = half - 1;
  const auto decoded = [&](double q) { return std::pow(q / most, 1 / exponent); };
  std::vector<CodedLevel> levels;
  std::vector<Boundary> boundaries;
  for (int q = -most; q <= most; ++q) {
    const double magnitude = decoded(std::abs(q));
    levels.push_back({static_cast<float>(q < 0 ? -magnitude : magnitude), static_cast<uint8_t>(q + half)});
    if (q == most) break;
    // Between q and q + 1 lies +-(k + 1/2), k the smaller magnitude; an even k keeps the tie.
    const int k = q < 0 ? -q - 1 : q;
    boundaries.push_back({(q < 0 ? -1 : 1) * decoded(k + 0.5), (k % 2 == 0) == (q < 0)});
  }
  Table table = BoundedTable(bits, std::move(levels), boundaries);
  AddAlias(table, 0, -1.0f);
  return table;
}

Table AdditivePowerTable(int bits) {
  CheckBits("an APoT grid (below 3 bits take ternary)", bits, 3, 7);
  Table table = NearestTable(bits, SignMagnitude(bits, AdditivePowers(bits - 1)), Ties::kToZero);
  AddAlias(table, static_cast<uint8_t>(1 << (bits - 1)), 0.0f);
  return table;
}

Table UnsignedAdditivePowerTable(int bits) {
  CheckBits("an unsigned APoT grid", bits, 2, 6);
  return NearestTable(bits, InOrder(AdditivePowers(bits)), Ties::kToZero);
}

Table PowersTable(int bits, double base) {
  CheckBits("a grid of powers", bits, 2, 8);
  if (!(base > 1 && base <= 16)) Fail("powers of base {}; more than 1, at most 16, is possible", base);
  const int count = (1 << (bits - 1)) - 1;
  if (std::pow(base, -count) < 0x1p-120) {
    Fail("{} bits of powers of {} reach below the range of f32; fewer bits or a smaller base are possible",
         bits, base);
  }
  std::vector<float> magnitudes = {0};
  for (int k = count - 1; k >= 0; --k) magnitudes.push_back(static_cast<float>(std::pow(base, -k)));
  Table table = NearestTable(bits, SignMagnitude(bits, magnitudes), Ties::kAway);
  AddAlias(table, static_cast<uint8_t>(1 << (bits - 1)), 0.0f);
  return table;
}

Table LogTable(int bits, double base) {
  CheckBits("a logarithmic grid", bits, 2, 8);
  const int zero = (1 << bits) - 1;
  if (!(base > 1 && base <= 16) || std::pow(base, -zero) < 0x1p-120) {
    Fail(
        "a logarithmic grid of {} bits with base {} leaves the range of f32; a base above 1 and fewer bits "
        "are "
        "possible",
        bits, base);
  }
  std::vector<CodedLevel> levels = {{0.0f, static_cast<uint8_t>(zero)}};
  std::vector<Boundary> boundaries;
  for (int k = zero - 1; k >= 0; --k) {
    levels.push_back({static_cast<float>(std::pow(base, -k)), static_cast<uint8_t>(k)});
    boundaries.push_back({std::pow(base, -(k + 0.5)), true});
  }
  return BoundedTable(bits, std::move(levels), boundaries);
}

Table NestedIntegerTable(int high_bits, int low_bits) {
  CheckNested(high_bits, low_bits);
  const int shift = high_bits - low_bits, half = 1 << (low_bits - 1), unit = 1 << shift;
  std::vector<Boundary> boundaries;
  for (int q = -half; q + 1 < half; ++q) {
    // The least stored integer that rounds to q + 1; reals become it from half a step below, inclusive when
    // it is even.
    const int first = (q + 1) * unit - unit / 2;
    boundaries.push_back({first - 0.5, first % 2 == 0});
  }
  return BoundedTable(low_bits, Integers(-half, half - 1, half, unit), boundaries);
}

int8_t Narrow(int8_t stored, int high_bits, int low_bits) {
  CheckNested(high_bits, low_bits);
  const int64_t half = int64_t{1} << (low_bits - 1);
  return static_cast<int8_t>(std::clamp(RoundedHalfUp(stored, high_bits - low_bits), -half, half - 1));
}

Table NormalFloatTable() {
  static constexpr std::array<float, 16> kValues = {
      -1.0f,
      -0.6961928009986877f,
      -0.5250730514526367f,
      -0.39491748809814453f,
      -0.28444138169288635f,
      -0.18477343022823334f,
      -0.09105003625154495f,
      0.0f,
      0.07958029955625534f,
      0.16093020141124725f,
      0.24611230194568634f,
      0.33791524171829224f,
      0.44070982933044434f,
      0.5626170039176941f,
      0.7229568362236023f,
      1.0f,
  };
  // The midpoints as bitsandbytes writes them, rounded to f32 before they are compared.
  static constexpr std::array<float, 15> kBetween = {
      -0.8480964004993439f,  -0.6106329262256622f,  -0.4599952697753906f,   -0.33967943489551544f,
      -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
      0.1202552504837513f,   0.2035212516784668f,   0.2920137718319893f,    0.3893125355243683f,
      0.5016634166240692f,   0.6427869200706482f,   0.8614784181118011f,
  };
  std::vector<Boundary> boundaries;
  for (float between : kBetween) boundaries.push_back({between, false});
  return BoundedTable(4, InOrder(kValues), boundaries);
}

Table Iq4Table() {
  return LearnedTable(kIq4Levels);
}

Table TernaryTable() {
  return NearestTable(2, Integers(-1, 1, 1), Ties::kToZero);
}

Table BinaryTable() {
  return NearestTable(1, {{-1.0f, 0}, {1.0f, 1}}, Ties::kUp);
}

Table LearnedTable(std::span<const float> levels) {
  int bits = 1;
  while (bits < 8 && (size_t{1} << bits) < levels.size()) ++bits;
  if (levels.size() > 256) Fail("{} learned levels; at most 256 are possible", levels.size());
  if (!std::is_sorted(levels.begin(), levels.end())) Fail("learned levels must ascend");
  return NearestTable(bits, InOrder(levels), Ties::kUp);
}

}  // namespace lowbit
