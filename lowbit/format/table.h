// A scalar alphabet as a table: at most 256 levels, the thresholds between them, and the codes that stand for
// them in files.
//
// Two orders live side by side. `value` is in the order of the codes, whatever order a foreign format chose
// (E2M1 puts the sign in the top bit, ternary counts from 0); it decodes. `level`, `threshold` and `code` are
// in the order of the levels, ascending, and round:
//
//   rank(x) = #{ i : x >= threshold[i] },   code(x) = code[rank(x)],   value[code[r]] = level[r].
//
// This is the one rounding rule. Where halfway cases go, and every rule that is not nearest in value (powers
// and logarithms round in their own domain), is fixed by the thresholds: threshold[i] is the smallest float
// that rounds to level i + 1. Floats are compared in IEEE's total order, so that -0 lies below +0: a grid
// with a -0 code has the threshold +0 between the two, a grid with one zero has both zeros on the same side.
// NaN takes the code `nan`; infinities go to the outermost levels.
//
// Several codes may stand for one level (the -0 of sign-magnitude grids, unused codes); rounding gives the
// one in `code`, decoding knows them all. A code with no value decodes to NaN.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace lowbit {

struct CodedLevel {
  float level;
  uint8_t code;
};

// Which of two neighbours takes a value exactly halfway.
enum class Ties : uint8_t {
  kEvenCode,  // the level whose code is even: IEEE floats, integers in offset binary
  kAway,      // the level of larger magnitude; up between levels of equal magnitude
  kToZero,    // the level of smaller magnitude; down between levels of equal magnitude
  kUp,
  kDown,  // the greater, the lesser level
};

struct Table {
  int bits = 0;                  // width of a code
  std::vector<float> value;      // (2^bits) code -> level
  std::vector<float> level;      // (n) ascending
  std::vector<float> threshold;  // (n - 1) ascending
  std::vector<uint8_t> code;     // (n) rank -> code
  uint8_t nan = 0;               // the code of NaN; where the format has none, that of the level nearest to 0

  int size() const { return static_cast<int>(level.size()); }
  // The finite level of largest magnitude.
  float MaxMagnitude() const;
  bool operator==(const Table&) const = default;
};

// A boundary between two levels at a real number: the upper level takes it, or the lower one.
struct Boundary {
  double at;
  bool upper_takes_it;
};

// Rounds to the nearest level. `levels` in any order; equal levels are allowed only as the pair -0, +0. Codes
// must be different and below 2^bits. Throws Error for no levels, more than 2^bits, or levels that are not
// finite. Midpoints are computed exactly.
Table NearestTable(int bits, std::vector<CodedLevel> levels, Ties ties);

// The same levels with boundaries[i] between the i-th and (i+1)-th in ascending order. Throws Error when a
// boundary lies outside its two levels.
Table BoundedTable(int bits, std::vector<CodedLevel> levels, std::span<const Boundary> boundaries);

// Further codes that decode to a level of the table but are never chosen by rounding.
void AddAlias(Table& table, uint8_t code, float level);

// The smallest float at or above (`inclusive`) or strictly above `at`, in total order: 0 gives -0 when
// inclusive, the least positive float when not.
float ThresholdAt(double at, bool inclusive);

// The plain reference; lowbit/kernel/table_rounding.h does arrays.
int RankOf(const Table& table, float x);
uint8_t RoundToCode(const Table& table, float x);

// Codes of x / scale, n entries (a true division: what is deployed divides too).
void RoundToCodes(const Table& table, std::span<const float> x, float scale, std::span<uint8_t> codes);

// values[i] = value[codes[i]] * scale.
void DecodeCodes(const Table& table, std::span<const uint8_t> codes, float scale, std::span<float> values);

// Stochastic rounding of x / scale: between neighbours a <= t < b the upper one is taken with probability
// (t - a) / (b - a), so that the expectation is t inside the range; outside, the outermost level. Entry i
// uses the draw `first + i` of (seed, stream): a pure function, whatever the order or the threads.
struct Draws {
  uint64_t seed = 0, stream = 0, first = 0;
};
void RoundStochastically(const Table& table, std::span<const float> x, float scale, const Draws& draws,
                         std::span<uint8_t> codes);

}  // namespace lowbit
