#include "lowbit/index/index_spec.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/quantize/vector_code.h"

namespace lowbit {
namespace {

constexpr int64_t kMostLists = int64_t{1} << 24, kMostCodebooks = 1 << 16;

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// "rabitq4" as the field writes it.
std::string Cased(const std::string& name) {
  for (const char* family : {"RaBitQ", "Trellis", "TQ", "QJL"}) {
    const std::string lower = Lower(family);
    if (name.starts_with(lower)) return family + name.substr(lower.size());
  }
  return name;
}

// All of `text` as digits; nothing for anything else.
std::optional<int64_t> Number(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  return value;
}

std::optional<CodecSpec> ReadCodec(std::string_view text) {
  const std::string name = Lower(text);
  const std::string_view rest = std::string_view(name).substr(std::min<size_t>(2, name.size()));
  if (name == "flat" || name == "f32") return PlainCode{.half = false};
  if (name == "f16") return PlainCode{.half = true};
  if (name.starts_with("sq")) {
    const auto bits = Number(rest);
    if (!bits || *bits < 1 || *bits > 8) return std::nullopt;
    return ScalarCode{.bits = static_cast<int>(*bits)};
  }
  if (name.starts_with("pq") || name.starts_with("rq")) {
    const size_t x = rest.find('x');
    const auto count = Number(rest.substr(0, x));
    const auto bits = x == std::string_view::npos ? std::optional<int64_t>(8) : Number(rest.substr(x + 1));
    if (!count || *count < 1 || *count > kMostCodebooks || !bits || *bits < 1 || *bits > 16)
      return std::nullopt;
    return CodebookCode{.residual = name[0] == 'r', .codebooks = *count, .bits = static_cast<int>(*bits)};
  }
  const std::vector<std::string> known = VectorCodeNames();
  if (std::find(known.begin(), known.end(), name) != known.end()) return RotatedCode{name};
  return std::nullopt;
}

// The codec inside "Refine(...)" or after "Rerank"; nothing when the text is neither.
std::optional<std::string_view> RefineOf(std::string_view text) {
  const std::string lower = Lower(text);
  if (lower.starts_with("refine(") && lower.ends_with(")")) return text.substr(7, text.size() - 8);
  if (lower.starts_with("rerank")) return text.substr(6);
  return std::nullopt;
}

std::optional<int64_t> ListsOf(std::string_view text) {
  if (!Lower(text).starts_with("ivf")) return std::nullopt;
  const auto lists = Number(text.substr(3));
  if (!lists || *lists < 1 || *lists > kMostLists) return std::nullopt;
  return lists;
}

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string_view::npos) return parts;
    begin = comma + 1;
  }
}

// The nearest codec name to `text`, whatever its letters' case: of equally near ones one that begins alike,
// and of those the widest.
std::string Nearest(std::string_view text) {
  if (text.empty()) return "TQ4";
  const std::string wanted = Lower(text);
  std::string best;
  size_t least = 0, alike = 0;
  for (const std::string& name : CodecNames()) {
    const std::string lower = Lower(name);
    const size_t distance = EditDistance(lower, wanted);
    const auto begins = static_cast<size_t>(
        std::mismatch(lower.begin(), lower.end(), wanted.begin(), wanted.end()).first - lower.begin());
    const bool nearer = best.empty() || distance < least || (distance == least && begins >= alike);
    if (!nearer) continue;
    best = name, least = distance, alike = begins;
  }
  return best;
}

std::string NearestSpec(const std::vector<std::string_view>& parts) {
  std::string spec;
  size_t at = 0;
  if (parts.size() > 1 && Lower(parts[0]).starts_with("i")) {
    spec = ListsOf(parts[0]) ? std::string(parts[0]) : "IVF256";
    spec += ",";
    at = 1;
  }
  const auto named = [](std::string_view text) {
    const auto codec = ReadCodec(text);
    return codec ? NameOf(*codec) : Nearest(text);
  };
  spec += named(parts[at]);
  if (at + 1 < parts.size())
    spec += ",Refine(" + named(RefineOf(parts[at + 1]).value_or(parts[at + 1])) + ")";
  return spec;
}

}  // namespace

IndexSpec ParseIndexSpec(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text);
  const auto wrong = [&](std::string_view what, std::string_view part) {
    FailUsage("\"{}\": {} \"{}\"; did you mean \"{}\"? (lowbit list indexes)", text, what, part,
              NearestSpec(parts));
  };
  IndexSpec spec;
  size_t at = 0;
  if (const auto lists = ListsOf(parts[0])) {
    spec.lists = *lists;
    ++at;
  } else if (Lower(parts[0]).starts_with("hnsw")) {
    FailUsage("\"{}\": graph indexes (HNSW) are not built yet; use IVF, for example \"IVF256,TQ4\"", text);
  } else if (Lower(parts[0]).starts_with("ivf")) {
    wrong("1 to 16777216 lists are possible, no", parts[0]);
  }
  if (at == parts.size()) FailUsage("\"{}\": a codec must follow, for example \"{},TQ4\"", text, text);
  const auto codec = ReadCodec(parts[at]);
  if (!codec) wrong("there is no codec", parts[at]);
  spec.codec = *codec;
  if (++at < parts.size()) {
    const auto inner = RefineOf(parts[at]);
    if (!inner) wrong("Refine(CODEC) may follow, no", parts[at]);
    const auto fine = ReadCodec(*inner);
    if (!fine) wrong("there is no codec", *inner);
    spec.refine.push_back(*fine);
    if (++at < parts.size()) wrong("nothing may follow the refinement, no", parts[at]);
  }
  return spec;
}

std::string NameOf(const CodecSpec& codec) {
  struct Namer {
    std::string operator()(const PlainCode& c) const { return c.half ? "F16" : "Flat"; }
    std::string operator()(const ScalarCode& c) const { return fmt::format("SQ{}", c.bits); }
    std::string operator()(const CodebookCode& c) const {
      return fmt::format("{}{}x{}", c.residual ? "RQ" : "PQ", c.codebooks, c.bits);
    }
    std::string operator()(const RotatedCode& c) const { return Cased(c.name); }
  };
  return std::visit(Namer{}, codec);
}

std::string NameOf(const IndexSpec& spec) {
  std::string name = spec.lists > 1 ? fmt::format("IVF{},", spec.lists) : "";
  name += NameOf(spec.codec);
  for (const CodecSpec& fine : spec.refine) name += ",Refine(" + NameOf(fine) + ")";
  return name;
}

std::vector<std::string> CodecNames() {
  std::vector<std::string> names = {"Flat", "F16"};
  for (int bits = 1; bits <= 8; ++bits) names.push_back(fmt::format("SQ{}", bits));
  for (const int parts : {32, 8, 16, 64, 128}) {
    for (const int bits : {8, 4}) names.push_back(fmt::format("PQ{}x{}", parts, bits));
  }
  for (const int stages : {4, 8, 2, 16}) names.push_back(fmt::format("RQ{}x8", stages));
  for (const std::string& code : VectorCodeNames()) names.push_back(Cased(code));
  return names;
}

}  // namespace lowbit
