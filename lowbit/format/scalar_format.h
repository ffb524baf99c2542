// A scalar number format by name: an alphabet, the group that shares a scale, the scale's own format, and how
// the scale is chosen. One grammar for the command line, lower or upper case:
//
//   FORMAT   = ALPHABET [-gN | -row] [-f32 | -f16 | -e8m0 | -e4m3] [-mse | -absmax | -mean | -median]
//   ALPHABET = int4  int4-narrow  int4-asym  uint4    integers of 1 to 8 bits: full range, restricted, with
//              int8-twos                              a zero point, unsigned; two's complement codes
//            | e2m1 [-biasN] [-finite]                floats ExMy to 8 bits, without infinities and NaN
//            | nf4 | iq4nl                            sixteen published levels
//            | lloyd4-gauss  -laplace  -beta128       levels that minimise the error of a law
//            | apot4  uapot4                          additive powers of two, signed and unsigned
//            | pot4 [-base1.5] | post4                powers of two, of a base, of sqrt 2
//            | nupes4-p0.7                            powers, |x|^0.7 rounded to integers
//            | log2-4  logsqrt2-4                     logarithmic, unsigned
//            | nested8-4                              8-bit integers rounded again to 4 bits
//            | ternary | binary
//   and, whole formats: mxfp4  mxfp6-e3m2  mxfp6-e2m3  mxfp8-e4m3  mxfp8-e5m2  mxint8  nvfp4 (block_float.h)
//
// Without a group a row shares one scale; without more, the scale is f16 and minimises the squared error.
// "mxfp4" is e2m1-g32-e8m0-absmax, "nvfp4" e2m1-g16-e4m3-absmax: with -mse the same bytes in other hands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/format/float_grid.h"
#include "lowbit/format/lloyd_max_levels.h"
#include "lowbit/format/table.h"

namespace lowbit {

enum class AlphabetKind : uint8_t {
  kInteger,
  kNarrowInteger,
  kTwosComplement,
  kUnsignedInteger,
  kFloat,
  kPower,
  kAdditivePower,
  kUnsignedAdditivePower,
  kPowers,
  kLog,
  kNestedInteger,
  kNormalFloat,
  kLloydMax,
  kTernary,
  kBinary,
  kIq4,
};

// What alphabets.h, float_grid.h and lloyd_max_levels.h build; fields that a kind does not use keep their
// defaults.
struct Alphabet {
  AlphabetKind kind = AlphabetKind::kInteger;
  int bits = 4;          // all but kFloat, kNormalFloat, kIq4, kTernary, kBinary
  FloatGrid grid = {};   // kFloat
  double parameter = 0;  // the exponent of kPower; the base of kPowers and kLog
  int high_bits = 0;     // kNestedInteger
  Law law = {};          // kLloydMax
  bool operator==(const Alphabet&) const = default;
};

// Throws Error when there is no such table.
Table TableOf(const Alphabet& alphabet);
// "e2m1", "nupes4-p0.7"; ParseScalarFormat(NameOf(a)).alphabet == a.
std::string NameOf(const Alphabet& alphabet);
// Bits of a stored code: 1.6 for ternary (five in a byte), otherwise the table's width.
double StoredBits(const Alphabet& alphabet);

enum class ScaleFormat : uint8_t {
  kF32,
  kF16,
  kE8M0,  // powers of two (microscaling)
  kE4M3,  // unsigned use of E4M3 under one f32 scale a tensor (NVFP4)
};
enum class ScaleRule : uint8_t {
  kSquaredError,  // searched on the deployed grid
  kAbsMax,        // the greatest magnitude meets the greatest level, or what the block format specifies
  kMean,          // mean |x| (ternary, binary)
  kMedian,        // median |x|, the lower of two (ternary)
};

struct ScalarFormat {
  Alphabet alphabet;
  bool zero_point = false;  // with kUnsignedInteger: value = scale (code - zero)
  int group = 0;            // values that share a scale; 0: a row
  ScaleFormat scale = ScaleFormat::kF16;
  ScaleRule rule = ScaleRule::kSquaredError;
  bool operator==(const ScalarFormat&) const = default;
};

// Nothing when `text` is no name.
std::optional<ScalarFormat> FindScalarFormat(std::string_view text);
// Throws UsageError with the nearest valid name when `text` is none.
ScalarFormat ParseScalarFormat(std::string_view text);
// The shortest name; ParseScalarFormat(NameOf(f)) == f.
std::string NameOf(const ScalarFormat& format);

// Bits a value: the code, and scale and zero point over a group of `group` values (the row's length where the
// format has none). The f32 scale of a tensor is not in it.
double BitsPerValue(const ScalarFormat& format, double group);

// One name for each kind of alphabet and whole format, for lists.
std::vector<std::string> ScalarFormatNames();
// The same and with common groups, for suggestions.
const std::vector<std::string>& ScalarFormatSuggestions();

}  // namespace lowbit
