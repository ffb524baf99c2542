#include "lowbit/format/format.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/code_table.h"
#include "lowbit/format/float_grid.h"

namespace lowbit {
namespace {

struct Named {
  std::string_view name;
  PackedFormat format;
};

// The block types of GGUF that have a packed form. Group and levels are those of llama.cpp's blocks.
constexpr std::array<Named, 10> kGgml = {{
    {"q4_0", {4, 32, ScaleKind::kF16, OffsetKind::kCentre}},
    {"q4_1", {4, 32, ScaleKind::kF16, OffsetKind::kMinF16}},
    {"q5_0", {5, 32, ScaleKind::kF16, OffsetKind::kCentre}},
    {"q5_1", {5, 32, ScaleKind::kF16, OffsetKind::kMinF16}},
    {"q8_0", {8, 32, ScaleKind::kF16, OffsetKind::kCentre}},
    {"q2_k", {2, 16, ScaleKind::kSuper, OffsetKind::kSuperMin}},
    {"q3_k", {3, 16, ScaleKind::kSuper, OffsetKind::kCentre}},
    {"q4_k", {4, 32, ScaleKind::kSuper, OffsetKind::kSuperMin}},
    {"q5_k", {5, 32, ScaleKind::kSuper, OffsetKind::kSuperMin}},
    {"q6_k", {6, 16, ScaleKind::kSuper, OffsetKind::kCentre}},
}};

constexpr std::array<int, 6> kBits = {2, 3, 4, 5, 6, 8};

bool Valid(const PackedFormat& f) {
  if (f.offset == OffsetKind::kTable) {
    const bool wide_enough = f.bits == 1 || std::find(kBits.begin(), kBits.end(), f.bits) != kBits.end();
    return wide_enough && f.alphabet.has_value() && f.scale != ScaleKind::kSuper && f.group >= 0 &&
           (f.group % 32 == 0 || f.group == 16);
  }
  if (f.alphabet || f.scale == ScaleKind::kE8M0 || f.scale == ScaleKind::kE4M3) return false;
  if (std::find(kBits.begin(), kBits.end(), f.bits) == kBits.end()) return false;
  if (f.scale == ScaleKind::kSuper) {
    // Groups of 16 are those of Q2_K, Q3_K and Q6_K: the kernels are compiled for these.
    if (f.group == 16)
      return f.bits == 2 ? f.offset == OffsetKind::kSuperMin
                         : (f.bits == 3 || f.bits == 6) && f.offset == OffsetKind::kCentre;
    return f.group == 32 || f.group == 64;
  }
  if (f.offset == OffsetKind::kSuperMin) return false;
  return f.group >= 0 && f.group % 32 == 0;
}

// "int4-g32-asym" -> format; nullopt when it is not of that shape.
std::optional<PackedFormat> ParseInteger(std::string_view text) {
  if (!text.starts_with("int")) return std::nullopt;
  PackedFormat format{.bits = 0, .group = 0};
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data() + 3, end, format.bits);
  if (error != std::errc{}) return std::nullopt;
  while (at != end) {
    if (*at++ != '-') return std::nullopt;
    const std::string_view rest(at, static_cast<size_t>(end - at));
    const std::string_view part = rest.substr(0, rest.find('-'));
    if (part == "asym") {
      format.offset = OffsetKind::kZeroPoint;
    } else if (part.starts_with("g")) {
      const auto group = std::from_chars(part.data() + 1, part.data() + part.size(), format.group);
      if (group.ec != std::errc{} || group.ptr != part.data() + part.size() || format.group < 32)
        return std::nullopt;
    } else if (part != "row" && part != "sym") {
      return std::nullopt;
    }
    at += part.size();
  }
  return Valid(format) ? std::optional(format) : std::nullopt;
}

// A table format as it is stored.
PackedFormat Stored(const ScalarFormat& f, std::string_view text) {
  if (f.zero_point)
    FailUsage("\"{}\": stored zero points are those of int2|3|4|5|6|8 with groups of a multiple of 32", text);
  if (f.scale == ScaleFormat::kF32)
    FailUsage("\"{}\": scales are stored as f16, e8m0 or e4m3, not as f32", text);
  if (f.group % 32 != 0 && f.group != 16)
    FailUsage("\"{}\": groups of {} have no packed form; use 16 or a multiple of 32", text, f.group);
  const int bits = TableOf(f.alphabet).bits;
  return {.bits = bits == 7 ? 8 : bits,
          .group = f.group,
          .scale = f.scale == ScaleFormat::kE8M0   ? ScaleKind::kE8M0
                   : f.scale == ScaleFormat::kE4M3 ? ScaleKind::kE4M3
                                                   : ScaleKind::kF16,
          .offset = OffsetKind::kTable,
          .alphabet = f.alphabet,
          .rule = f.rule};
}

std::vector<std::string> AllNames() {
  std::vector<std::string> names = {"f32", "f16", "bf16"};
  for (const Named& named : kGgml) names.emplace_back(named.name);
  for (int bits : kBits) {
    for (const char* group : {"", "-g32", "-g64", "-g128", "-g256"}) {
      for (const char* offset : {"", "-asym"}) names.push_back(fmt::format("int{}{}{}", bits, group, offset));
    }
  }
  return names;
}

constexpr size_t Round64(size_t n) {
  return (n + 63) / 64 * 64;
}

}  // namespace

Format ParseFormat(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  if (lower == "f32") return DType::kF32;
  if (lower == "f16") return DType::kF16;
  if (lower == "bf16") return DType::kBF16;
  for (const Named& named : kGgml) {
    if (named.name == lower) return named.format;
  }
  if (const auto format = ParseInteger(lower)) return *format;
  if (const auto format = FindScalarFormat(lower)) return Stored(*format, text);
  std::vector<std::string> names = AllNames();
  for (const std::string& name : ScalarFormatSuggestions()) names.push_back(name);
  FailUsage(
      "\"{}\" is not a format; did you mean {}? A format is int2|3|4|5|6|8, then -gN (N a multiple of 32) or "
      "nothing for one scale a row, then -asym for zero points; or q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k "
      "q5_k "
      "q6_k; or f32 f16 bf16; or a table of levels such as e2m1-g32, mxfp4, nvfp4, nf4-g64, apot4-g64, "
      "ternary-g64 (lowbit list alphabets)",
      text, NearestName(names, lower));
}

std::string NameOf(const PackedFormat& format) {
  if (format.offset == OffsetKind::kTable && format.alphabet) return NameOf(ScalarFormatOf(format));
  for (const Named& named : kGgml) {
    // q4_0, q5_0 and q8_0 are int4-g32, int5-g32 and int8-g32: the plain name wins.
    if (named.format == format &&
        !(format.scale == ScaleKind::kF16 && format.offset == OffsetKind::kCentre)) {
      return std::string(named.name);
    }
  }
  std::string name = fmt::format("int{}", format.bits);
  if (format.group != 0) name += fmt::format("-g{}", format.group);
  if (format.offset == OffsetKind::kZeroPoint) name += "-asym";
  if (format.offset == OffsetKind::kMinF16) name += "-min";
  if (format.scale == ScaleKind::kSuper)
    name += format.offset == OffsetKind::kSuperMin ? "-super-min" : "-super";
  return name;
}

std::string NameOf(const Format& format) {
  if (const auto* integer = std::get_if<PackedFormat>(&format)) return NameOf(*integer);
  std::string name(NameOf(std::get<DType>(format)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return name;
}

ScalarFormat ScalarFormatOf(const PackedFormat& format) {
  if (!format.alphabet) Fail("an integer format is not a table");
  return {.alphabet = *format.alphabet,
          .group = format.group,
          .scale = format.scale == ScaleKind::kE8M0   ? ScaleFormat::kE8M0
                   : format.scale == ScaleKind::kE4M3 ? ScaleFormat::kE4M3
                                                      : ScaleFormat::kF16,
          .rule = format.rule};
}

float ScaleOfByte(ScaleKind kind, uint8_t byte, float tensor_scale) {
  if (kind == ScaleKind::kE8M0) return E8M0ToFloat(byte);
  static const Table e4m3 = FloatTable(FloatGrid::Standard(4, 3));
  return tensor_scale * e4m3.value[byte];
}

PackedLayout::PackedLayout(const PackedFormat& format, int64_t rows, int64_t cols) {
  if (!Valid(format)) Fail("packed matrix: {} is not a valid format", NameOf(format));
  if (rows <= 0 || cols <= 0 || rows > (int64_t{1} << 31) || cols > (int64_t{1} << 31)) {
    Fail("packed matrix: a shape of {} x {} is not possible", rows, cols);
  }
  panels = (rows + kPanelRows - 1) / kPanelRows;
  tiles = (cols + kTileColumns - 1) / kTileColumns;
  groups = format.group == 0 ? 1 : (cols + format.group - 1) / format.group;
  supers = (cols + kSuperColumns - 1) / kSuperColumns;
  const auto per_group = static_cast<size_t>(panels * groups * kPanelRows);
  const auto per_super = static_cast<size_t>(panels * supers * kPanelRows);
  const bool two_level = format.scale == ScaleKind::kSuper, by_matrix = format.scale == ScaleKind::kE4M3;
  size_t at = 0;
  const auto section = [&](size_t size) {
    const size_t start = at;
    at += Round64(size);
    return start;
  };
  codes = section(static_cast<size_t>(panels * tiles) * 64 * format.bits);
  scale = section(per_group * (format.scale == ScaleKind::kF16 ? 2 : 1));
  const bool no_offset =
      format.offset == OffsetKind::kCentre || format.offset == OffsetKind::kTable || NumbersShareByte(format);
  offset = section(no_offset ? 0 : per_group * (format.offset == OffsetKind::kMinF16 ? 2 : 1));
  super = section(two_level ? per_super * 2 : 0);
  super_min = section(format.offset == OffsetKind::kSuperMin ? per_super * 2 : 0);
  tensor = section(by_matrix ? sizeof(float) : 0);
  bytes = at;
}

void QuantizedMatrix::DequantizeRow(int64_t r, float* out) const {
  const int64_t n_groups = groups(), width = format.group == 0 ? cols : format.group;
  for (int64_t g = 0; g < n_groups; ++g) {
    const int64_t at = r * n_groups + g, begin = g * width, stop = std::min(cols, begin + width);
    const int64_t s = r * supers() + begin / kSuperColumns;
    const float a = format.scale == ScaleKind::kF16 ? F16ToFloat(scale[at])
                    : format.scale == ScaleKind::kSuper
                        ? F16ToFloat(super[s]) * sub_scale[at]
                        : ScaleOfByte(format.scale, scale_code[at], tensor_scale);
    const uint8_t* code = codes.data() + r * cols;
    switch (format.offset) {
      case OffsetKind::kTable: {
        const auto& value = CodeTableOf(*format.alphabet).value;
        for (int64_t c = begin; c < stop; ++c) out[c] = a * value[code[c]];
        break;
      }
      case OffsetKind::kCentre:
      case OffsetKind::kZeroPoint: {
        const int z = format.offset == OffsetKind::kCentre ? 1 << (format.bits - 1) : zero[at];
        for (int64_t c = begin; c < stop; ++c) out[c] = a * static_cast<float>(code[c] - z);
        break;
      }
      case OffsetKind::kMinF16:
      case OffsetKind::kSuperMin: {
        const float m = format.offset == OffsetKind::kMinF16 ? F16ToFloat(min[at])
                                                             : -(F16ToFloat(super_min[s]) * zero[at]);
        for (int64_t c = begin; c < stop; ++c) out[c] = a * static_cast<float>(code[c]) + m;
        break;
      }
    }
  }
}

}  // namespace lowbit
