#include "lowbit/format/block_float.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

constexpr uint8_t kNanE8M0 = 255, kNanE4M3 = 127;

struct Element {
  Table table;
  float unit, greatest;  // greatest level times unit
  int emax, mantissa;

  explicit Element(const Alphabet& alphabet)
      : table(TableOf(alphabet)),
        unit(ElementUnit(alphabet)),
        greatest(table.MaxMagnitude() * unit),
        emax(FloorLog2(greatest)),
        mantissa(alphabet.kind == AlphabetKind::kFloat ? alphabet.grid.mantissa : alphabet.bits - 2) {}
};

void Check(const ScalarFormat& format) {
  if (format.group == 0 || (format.scale != ScaleFormat::kE8M0 && format.scale != ScaleFormat::kE4M3)) {
    Fail("{} is not a block format; a group and a scale of e8m0 or e4m3 make one", NameOf(format));
  }
}

const Table& E4M3() {
  static const Table table = FloatTable(FloatGrid::Standard(4, 3));
  return table;
}

uint8_t SharedScale(const Element& element, float most, SharedExponent rule) {
  if (most == 0) return 0;
  switch (rule) {
    case SharedExponent::kFloor:
      break;
    case SharedExponent::kCeil: {
      // ceil(log2(most / greatest)) without a division: the least e with greatest 2^e >= most.
      int e = FloorLog2(most) - element.emax - 1;
      while (std::ldexp(static_cast<double>(element.greatest), e) < most) ++e;
      return E8M0OfExponent(e);
    }
    case SharedExponent::kEven: {
      const int e = FloorLog2(most);
      const double step = std::ldexp(1.0, e - element.mantissa);
      most = static_cast<float>(std::nearbyint(most / step) * step);
      if (std::isinf(most)) return E8M0OfExponent(128 - element.emax);
      break;
    }
  }
  return E8M0OfExponent(FloorLog2(most) - element.emax);
}

float Magnitude(std::span<const float> x) {
  float most = 0;
  for (float v : x) {
    if (!std::isfinite(v)) return std::numeric_limits<float>::infinity();
    most = std::max(most, std::abs(v));
  }
  return most;
}

// The part of a tensor's magnitude that blocks with finite values have.
float FiniteMagnitude(std::span<const float> x) {
  float most = 0;
  for (float v : x) {
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  }
  return most;
}

}  // namespace

float ElementUnit(const Alphabet& alphabet) {
  return alphabet.kind == AlphabetKind::kTwosComplement ? std::ldexp(1.0f, 2 - alphabet.bits) : 1.0f;
}

BlockCodes EncodeBlocks(const ScalarFormat& format, std::span<const float> x, int64_t rows, int64_t cols,
                        const BlockOptions& options) {
  Check(format);
  if (rows < 0 || cols < 0 || static_cast<int64_t>(x.size()) != rows * cols) {
    Fail("{} values are not {} rows of {}", x.size(), rows, cols);
  }
  const Element element(format.alphabet);
  const bool two_level = format.scale == ScaleFormat::kE4M3;
  BlockCodes result{.rows = rows, .cols = cols, .blocks = (cols + format.group - 1) / format.group};
  result.codes.resize(x.size());
  result.scales.resize(static_cast<size_t>(rows * result.blocks));
  if (two_level) {
    const float most = FiniteMagnitude(x);
    result.tensor_scale = options.tensor_scale > 0 ? options.tensor_scale
                          : most == 0              ? 1
                                                   : most / (E4M3().MaxMagnitude() * element.greatest);
    // The quotient of a tiny maximum may vanish.
    result.tensor_scale = std::max(result.tensor_scale, std::numeric_limits<float>::min());
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t b = 0; b < result.blocks; ++b) {
      const int64_t begin = b * format.group, count = std::min<int64_t>(format.group, cols - begin);
      const auto at = static_cast<size_t>(r * cols + begin);
      const auto values = x.subspan(at, static_cast<size_t>(count));
      const float most = Magnitude(values);
      uint8_t& scale = result.scales[static_cast<size_t>(r * result.blocks + b)];
      if (std::isinf(most)) {
        scale = two_level ? kNanE4M3 : kNanE8M0;
        std::fill_n(result.codes.begin() + static_cast<std::ptrdiff_t>(at), count, element.table.nan);
        continue;
      }
      float divisor;
      if (two_level) {
        const float wanted = most / element.greatest / result.tensor_scale;
        scale = RoundToCode(E4M3(), std::clamp(wanted, options.least_scale, E4M3().MaxMagnitude()));
        divisor = E4M3().value[scale] * result.tensor_scale * element.unit;
      } else {
        scale = SharedScale(element, most, options.exponent);
        divisor = E8M0ToFloat(scale) * element.unit;
      }
      RoundToCodes(element.table, values, divisor, std::span(result.codes).subspan(at, values.size()));
    }
  }
  return result;
}

std::vector<float> DecodeBlocks(const ScalarFormat& format, const BlockCodes& blocks) {
  Check(format);
  const Element element(format.alphabet);
  if (static_cast<int64_t>(blocks.codes.size()) != blocks.rows * blocks.cols ||
      blocks.blocks != (blocks.cols + format.group - 1) / format.group ||
      static_cast<int64_t>(blocks.scales.size()) != blocks.rows * blocks.blocks) {
    Fail("block codes of {} x {} do not have {} codes and {} scales", blocks.rows, blocks.cols,
         blocks.codes.size(), blocks.scales.size());
  }
  std::vector<float> values(blocks.codes.size());
  for (int64_t r = 0; r < blocks.rows; ++r) {
    for (int64_t b = 0; b < blocks.blocks; ++b) {
      const int64_t begin = b * format.group, count = std::min<int64_t>(format.group, blocks.cols - begin);
      const uint8_t code = blocks.scales[static_cast<size_t>(r * blocks.blocks + b)];
      const float scale =
          format.scale == ScaleFormat::kE4M3 ? E4M3().value[code] * blocks.tensor_scale : E8M0ToFloat(code);
      const auto at = static_cast<size_t>(r * blocks.cols + begin);
      DecodeCodes(element.table, std::span(blocks.codes).subspan(at, static_cast<size_t>(count)),
                  scale * element.unit, std::span(values).subspan(at, static_cast<size_t>(count)));
    }
  }
  return values;
}

}  // namespace lowbit
