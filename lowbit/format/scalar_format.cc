#include "lowbit/format/scalar_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numbers>
#include <optional>

#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/format/alphabets.h"

namespace lowbit {
namespace {

struct Whole {
  std::string_view name;
  std::string_view meaning;
};
// The second of two names with one meaning is only read.
constexpr std::array<Whole, 9> kWhole = {{
    {"mxfp4", "e2m1-g32-e8m0"},
    {"mxfp6-e3m2", "e3m2-g32-e8m0"},
    {"mxfp6-e2m3", "e2m3-g32-e8m0"},
    {"mxfp8-e4m3", "e4m3-g32-e8m0"},
    {"mxfp8-e5m2", "e5m2-g32-e8m0"},
    {"mxint8", "int8-twos-g32-e8m0"},
    {"nvfp4", "e2m1-g16-e4m3"},
    {"mxfp6", "e3m2-g32-e8m0"},
    {"mxfp8", "e4m3-g32-e8m0"},
}};

constexpr std::array<std::string_view, 4> kScales = {"f32", "f16", "e8m0", "e4m3"};
constexpr std::array<std::string_view, 4> kRules = {"mse", "absmax", "mean", "median"};

template <typename T>
std::optional<T> Number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || at != end) return std::nullopt;
  return value;
}

template <typename T>
std::optional<T> NumberAfter(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return Number<T>(text.substr(prefix.size()));
}

template <size_t N>
std::optional<size_t> IndexIn(const std::array<std::string_view, N>& names, std::string_view text) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return std::nullopt;
  return static_cast<size_t>(found - names.begin());
}

// The parts between dashes, taken one after the other.
class Parts {
 public:
  explicit Parts(std::string_view text) : rest_(text), done_(false) { Advance(); }
  bool done() const { return done_; }
  std::string_view part() const { return done_ ? std::string_view() : part_; }
  void Advance() {
    if (last_) {
      done_ = true;
      return;
    }
    const size_t dash = rest_.find('-');
    part_ = rest_.substr(0, dash);
    last_ = dash == std::string_view::npos;
    if (!last_) rest_ = rest_.substr(dash + 1);
  }
  // True, and past it, when the next part is `text`.
  bool Take(std::string_view text) {
    if (done_ || part_ != text) return false;
    Advance();
    return true;
  }
  template <typename T>
  std::optional<T> TakeNumber(std::string_view prefix) {
    const std::optional<T> number = done_ ? std::nullopt : NumberAfter<T>(prefix, part_);
    if (number) Advance();
    return number;
  }

 private:
  std::string_view rest_, part_;
  bool last_ = false, done_;
};

std::optional<FloatGrid> ParseFloat(Parts& parts) {
  const std::string_view part = parts.part();
  if (part.size() != 4 || part[0] != 'e' || part[2] != 'm') return std::nullopt;
  const auto exponent = Number<int>(part.substr(1, 1)), mantissa = Number<int>(part.substr(3, 1));
  if (!exponent || !mantissa || *exponent < 1 || *exponent + *mantissa > 7) return std::nullopt;
  parts.Advance();
  FloatGrid grid = FloatGrid::Standard(*exponent, *mantissa);
  if (const auto bias = parts.TakeNumber<int>("bias")) {
    grid.bias = *bias;
  } else if (parts.Take("bias")) {  // "bias-3"
    const auto below = parts.TakeNumber<int>("");
    if (!below || *below < 0) return std::nullopt;
    grid.bias = -*below;
  }
  if (parts.Take("finite")) grid.specials = Specials::kNone;
  return grid;
}

std::optional<Law> ParseLaw(Parts& parts) {
  if (parts.Take("gauss")) return Law{LawKind::kGaussian};
  if (parts.Take("laplace")) return Law{LawKind::kLaplace};
  if (const auto dimension = parts.TakeNumber<int>("beta")) return Law{LawKind::kBeta, *dimension};
  return std::nullopt;
}

// Reads the alphabet off the front. `zero_point` is set by "-asym".
std::optional<Alphabet> ParseAlphabet(Parts& parts, bool& zero_point) {
  using enum AlphabetKind;
  if (const auto grid = ParseFloat(parts)) return Alphabet{.kind = kFloat, .grid = *grid};
  if (parts.Take("nf4")) return Alphabet{.kind = kNormalFloat};
  if (parts.Take("iq4nl")) return Alphabet{.kind = kIq4};
  if (parts.Take("ternary")) return Alphabet{.kind = kTernary};
  if (parts.Take("binary")) return Alphabet{.kind = kBinary};
  if (const auto bits = parts.TakeNumber<int>("int")) {
    if (parts.Take("narrow")) return Alphabet{.kind = kNarrowInteger, .bits = *bits};
    if (parts.Take("twos")) return Alphabet{.kind = kTwosComplement, .bits = *bits};
    zero_point = parts.Take("asym");
    return Alphabet{.kind = zero_point ? kUnsignedInteger : kInteger, .bits = *bits};
  }
  if (const auto bits = parts.TakeNumber<int>("uint"))
    return Alphabet{.kind = kUnsignedInteger, .bits = *bits};
  if (const auto bits = parts.TakeNumber<int>("nupes")) {
    const auto exponent = parts.TakeNumber<double>("p");
    if (!exponent) return std::nullopt;
    return Alphabet{.kind = kPower, .bits = *bits, .parameter = *exponent};
  }
  if (const auto bits = parts.TakeNumber<int>("apot")) return Alphabet{.kind = kAdditivePower, .bits = *bits};
  if (const auto bits = parts.TakeNumber<int>("uapot")) {
    return Alphabet{.kind = kUnsignedAdditivePower, .bits = *bits};
  }
  if (const auto bits = parts.TakeNumber<int>("post")) {
    return Alphabet{.kind = kPowers, .bits = *bits, .parameter = std::numbers::sqrt2};
  }
  if (const auto bits = parts.TakeNumber<int>("pot")) {
    return Alphabet{
        .kind = kPowers, .bits = *bits, .parameter = parts.TakeNumber<double>("base").value_or(2.0)};
  }
  for (const auto& [name, base] : {std::pair{"log2", 2.0}, {"logsqrt2", std::numbers::sqrt2}}) {
    if (!parts.Take(name)) continue;
    const auto bits = parts.TakeNumber<int>("");
    if (!bits) return std::nullopt;
    return Alphabet{.kind = kLog, .bits = *bits, .parameter = base};
  }
  if (const auto high = parts.TakeNumber<int>("nested")) {
    const auto bits = parts.TakeNumber<int>("");
    if (!bits) return std::nullopt;
    return Alphabet{.kind = kNestedInteger, .bits = *bits, .high_bits = *high};
  }
  if (const auto bits = parts.TakeNumber<int>("lloyd")) {
    const auto law = ParseLaw(parts);
    if (!law) return std::nullopt;
    return Alphabet{.kind = kLloydMax, .bits = *bits, .law = *law};
  }
  return std::nullopt;
}

// The part after the alphabet: each of group, scale and rule at most once, in any order.
bool ParseScaling(Parts& parts, ScalarFormat& format) {
  bool group = false, scale = false, rule = false;
  for (; !parts.done(); parts.Advance()) {
    const std::string_view part = parts.part();
    if (const auto n = NumberAfter<int>("g", part); n || part == "row") {
      if (group || (n && (*n < 1 || *n > 1 << 20))) return false;
      group = true;
      format.group = n.value_or(0);
    } else if (const auto s = IndexIn(kScales, part)) {
      if (scale) return false;
      scale = true;
      format.scale = static_cast<ScaleFormat>(*s);
    } else if (const auto r = IndexIn(kRules, part)) {
      if (rule) return false;
      rule = true;
      format.rule = static_cast<ScaleRule>(*r);
    } else {
      return false;
    }
  }
  const bool signs =
      format.alphabet.kind == AlphabetKind::kTernary || format.alphabet.kind == AlphabetKind::kBinary;
  const bool statistic = format.rule == ScaleRule::kMean || format.rule == ScaleRule::kMedian;
  return signs || !statistic;
}

std::optional<ScalarFormat> ParseParts(std::string_view text) {
  Parts parts(text);
  ScalarFormat format;
  const auto alphabet = ParseAlphabet(parts, format.zero_point);
  if (!alphabet) return std::nullopt;
  format.alphabet = *alphabet;
  if (!ParseScaling(parts, format)) return std::nullopt;
  return format;
}

std::optional<ScalarFormat> ParseWhole(std::string_view text) {
  for (const Whole& whole : kWhole) {
    if (!text.starts_with(whole.name)) continue;
    const std::string_view rest = text.substr(whole.name.size());
    if (!rest.empty() && rest != "-mse" && rest != "-absmax") continue;
    auto format = ParseParts(whole.meaning);
    format->rule = rest == "-mse" ? ScaleRule::kSquaredError : ScaleRule::kAbsMax;
    return format;
  }
  return std::nullopt;
}

bool BuildsATable(const Alphabet& alphabet) {
  try {
    TableOf(alphabet);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Table TableOf(const Alphabet& a) {
  switch (a.kind) {
    case AlphabetKind::kInteger:
      return IntegerTable(a.bits);
    case AlphabetKind::kNarrowInteger:
      return NarrowIntegerTable(a.bits);
    case AlphabetKind::kTwosComplement:
      return TwosComplementTable(a.bits);
    case AlphabetKind::kUnsignedInteger:
      return UnsignedIntegerTable(a.bits);
    case AlphabetKind::kFloat:
      return FloatTable(a.grid);
    case AlphabetKind::kPower:
      return PowerTable(a.bits, a.parameter);
    case AlphabetKind::kAdditivePower:
      return AdditivePowerTable(a.bits);
    case AlphabetKind::kUnsignedAdditivePower:
      return UnsignedAdditivePowerTable(a.bits);
    case AlphabetKind::kPowers:
      return PowersTable(a.bits, a.parameter);
    case AlphabetKind::kLog:
      return LogTable(a.bits, a.parameter);
    case AlphabetKind::kNestedInteger:
      return NestedIntegerTable(a.high_bits, a.bits);
    case AlphabetKind::kNormalFloat:
      return NormalFloatTable();
    case AlphabetKind::kLloydMax:
      return LearnedTable(LloydMaxLevels(a.law, a.bits));
    case AlphabetKind::kTernary:
      return TernaryTable();
    case AlphabetKind::kIq4:
      return Iq4Table();
    case AlphabetKind::kBinary:
      return BinaryTable();
  }
  Fail("an alphabet of no known kind");
}

std::string NameOf(const Alphabet& a) {
  switch (a.kind) {
    case AlphabetKind::kInteger:
      return fmt::format("int{}", a.bits);
    case AlphabetKind::kNarrowInteger:
      return fmt::format("int{}-narrow", a.bits);
    case AlphabetKind::kTwosComplement:
      return fmt::format("int{}-twos", a.bits);
    case AlphabetKind::kUnsignedInteger:
      return fmt::format("uint{}", a.bits);
    case AlphabetKind::kFloat: {
      const FloatGrid standard = FloatGrid::Standard(a.grid.exponent, a.grid.mantissa);
      return fmt::format("e{}m{}{}{}", a.grid.exponent, a.grid.mantissa,
                         a.grid.bias == standard.bias ? "" : fmt::format("-bias{}", a.grid.bias),
                         a.grid.specials == standard.specials ? "" : "-finite");
    }
    case AlphabetKind::kPower:
      return fmt::format("nupes{}-p{}", a.bits, a.parameter);
    case AlphabetKind::kAdditivePower:
      return fmt::format("apot{}", a.bits);
    case AlphabetKind::kUnsignedAdditivePower:
      return fmt::format("uapot{}", a.bits);
    case AlphabetKind::kPowers:
      if (a.parameter == 2) return fmt::format("pot{}", a.bits);
      if (a.parameter == std::numbers::sqrt2) return fmt::format("post{}", a.bits);
      return fmt::format("pot{}-base{}", a.bits, a.parameter);
    case AlphabetKind::kLog:
      return fmt::format("{}-{}", a.parameter == 2 ? "log2" : "logsqrt2", a.bits);
    case AlphabetKind::kNestedInteger:
      return fmt::format("nested{}-{}", a.high_bits, a.bits);
    case AlphabetKind::kNormalFloat:
      return "nf4";
    case AlphabetKind::kLloydMax:
      return fmt::format("lloyd{}-{}", a.bits,
                         a.law.kind == LawKind::kGaussian  ? "gauss"
                         : a.law.kind == LawKind::kLaplace ? "laplace"
                                                           : fmt::format("beta{}", a.law.dimension));
    case AlphabetKind::kTernary:
      return "ternary";
    case AlphabetKind::kIq4:
      return "iq4nl";
    case AlphabetKind::kBinary:
      return "binary";
  }
  return "";
}

double StoredBits(const Alphabet& a) {
  switch (a.kind) {
    case AlphabetKind::kFloat:
      return a.grid.bits();
    case AlphabetKind::kNormalFloat:
    case AlphabetKind::kIq4:
      return 4;
    case AlphabetKind::kTernary:
      return 1.6;
    case AlphabetKind::kBinary:
      return 1;
    default:
      return a.bits;
  }
}

std::optional<ScalarFormat> FindScalarFormat(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  auto format = ParseWhole(lower);
  if (!format) format = ParseParts(lower);
  return format && BuildsATable(format->alphabet) ? format : std::nullopt;
}

const std::vector<std::string>& ScalarFormatSuggestions() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = ScalarFormatNames();
    for (size_t i = 0, count = all.size(); i < count; ++i) {
      for (const char* group : {"-g32", "-g64", "-g128"}) {
        if (FindScalarFormat(all[i] + group)) all.push_back(all[i] + group);
      }
    }
    return all;
  }();
  return names;
}

ScalarFormat ParseScalarFormat(std::string_view text) {
  if (const auto format = FindScalarFormat(text)) return *format;
  std::string lower(text.substr(0, 32));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  FailUsage(
      "\"{}\" is not a number format; did you mean {}? An alphabet (int4, int4-asym, e2m1, nf4, iq4nl, "
      "apot4, pot4, "
      "post4, "
      "nupes4-p0.5, lloyd4-gauss, log2-4, nested8-4, ternary, binary), then -gN for one scale a group, then "
      "the "
      "scale's format (-f32, -f16, -e8m0, -e4m3) and how it is chosen (-mse, -absmax; ternary and binary "
      "also "
      "-mean, -median); or mxfp4, mxfp6, mxfp8, mxint8, nvfp4",
      text.substr(0, 80), NearestName(ScalarFormatSuggestions(), lower));
}

std::string NameOf(const ScalarFormat& format) {
  for (const Whole& whole : kWhole) {
    ScalarFormat same = *ParseParts(whole.meaning);
    if (format.rule == ScaleRule::kMean || format.rule == ScaleRule::kMedian) break;
    same.rule = format.rule;
    if (same == format) {
      return std::string(whole.name) + (format.rule == ScaleRule::kSquaredError ? "-mse" : "");
    }
  }
  std::string name =
      format.zero_point ? fmt::format("int{}-asym", format.alphabet.bits) : NameOf(format.alphabet);
  if (format.group != 0) name += fmt::format("-g{}", format.group);
  if (format.scale != ScaleFormat::kF16)
    name += fmt::format("-{}", kScales[static_cast<size_t>(format.scale)]);
  if (format.rule != ScaleRule::kSquaredError) {
    name += fmt::format("-{}", kRules[static_cast<size_t>(format.rule)]);
  }
  return name;
}

double BitsPerValue(const ScalarFormat& format, double group) {
  const double scale = format.scale == ScaleFormat::kF32 ? 32 : format.scale == ScaleFormat::kF16 ? 16 : 8;
  // A zero point is stored as a byte beside the scale, as packed matrices do.
  return StoredBits(format.alphabet) + (scale + (format.zero_point ? 8 : 0)) / group;
}

std::vector<std::string> ScalarFormatNames() {
  std::vector<std::string> names;
  for (int b = 1; b <= 8; ++b) {
    for (const char* name : {"int{}", "int{}-asym", "uint{}", "lloyd{}-gauss", "lloyd{}-laplace"}) {
      names.push_back(fmt::format(fmt::runtime(name), b));
    }
    if (b >= 2) names.push_back(fmt::format("int{}-narrow", b));
    if (b >= 2) names.push_back(fmt::format("int{}-twos", b));
    if (b >= 2) names.push_back(fmt::format("nupes{}-p0.5", b));
    if (b >= 2 && b <= 7) names.push_back(fmt::format("pot{}", b));
    if (b >= 2) names.push_back(fmt::format("post{}", b));
    if (b >= 3 && b <= 7) names.push_back(fmt::format("apot{}", b));
    if (b >= 2 && b <= 6) names.push_back(fmt::format("uapot{}", b));
    if (b >= 2 && b <= 6) names.push_back(fmt::format("log2-{}", b));
    if (b >= 2 && b <= 7) names.push_back(fmt::format("logsqrt2-{}", b));
    if (b < 8) names.push_back(fmt::format("nested8-{}", b));
  }
  for (int e = 1; e <= 5; ++e) {
    for (int m = 0; e + m <= 7; ++m) names.push_back(fmt::format("e{}m{}", e, m));
  }
  for (const char* name : {"nf4", "iq4nl", "lloyd4-beta128", "ternary", "ternary-mean", "ternary-median",
                           "binary", "binary-mean"}) {
    names.emplace_back(name);
  }
  for (const Whole& whole : kWhole) names.emplace_back(whole.name);
  return names;
}

}  // namespace lowbit
