#include "lowbit/text/normalizer.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

std::string Strip(std::string_view text, const StripNormalizer& strip) {
  size_t begin = 0, end = text.size();
  if (strip.left) {
    while (begin < end) {
      const Utf8Step step = NextUtf8(text.substr(begin));
      if (!IsWhiteSpace(step.point)) break;
      begin += step.length;
    }
  }
  if (strip.right) {
    while (end > begin) {
      size_t start = end - 1;
      while (start > begin && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
      if (!IsWhiteSpace(NextUtf8(text.substr(start)).point)) break;
      end = start;
    }
  }
  return std::string(text.substr(begin, end - begin));
}

std::string Replace(std::string_view text, const ReplaceNormalizer& replace) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t last = 0;
  ForEachMatch(replace.pattern, text, [&](size_t begin, size_t end) {
    out.append(text.substr(last, begin - last));
    out.append(replace.content);
    last = end;
  });
  out.append(text.substr(last));
  return out;
}

uint32_t ReadU32(std::string_view bytes, size_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, 4);
  return value;
}

// The longest prefix of `text` that is a key, and its value: a walk through a Darts-clone double array.
struct TrieHit {
  size_t length = 0;
  uint32_t value = 0;
};
TrieHit LongestKey(std::string_view trie, std::string_view text) {
  const size_t units = trie.size() / 4;
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  TrieHit hit;
  size_t node = 0;
  uint32_t unit = ReadU32(trie, 0);
  node ^= offset(unit);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto label = static_cast<uint8_t>(text[i]);
    node ^= label;
    if (label == 0 || node >= units) break;
    unit = ReadU32(trie, 4 * node);
    if ((unit & ((1u << 31) | 0xFF)) != label) break;
    node ^= offset(unit);
    if (node >= units) break;
    if ((unit >> 8) & 1) hit = {i + 1, ReadU32(trie, 4 * node) & ((1u << 31) - 1)};
  }
  return hit;
}

size_t LongestKept(const std::vector<std::string>& keep, std::string_view text) {
  size_t length = 0;
  for (const std::string& kept : keep) {
    if (text.starts_with(kept)) length = std::max(length, kept.size());
  }
  return length;
}

std::string ApplyCharsmap(std::string_view text, const PrecompiledNormalizer& step) {
  const std::string_view charsmap = step.charsmap;
  if (charsmap.empty()) return std::string(text);
  const uint32_t size = ReadU32(charsmap, 0);
  const std::string_view trie = charsmap.substr(4, size), replacements = charsmap.substr(4 + size);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t kept = LongestKept(step.keep, text);
    const TrieHit hit = kept > 0 ? TrieHit() : LongestKey(trie, text.substr(0, 64));
    if (hit.length > 0 && hit.value < replacements.size()) {
      out.append(replacements.data() + hit.value);  // the table ends with a zero
      text.remove_prefix(hit.length);
    } else {
      const size_t length = kept > 0 ? kept : NextUtf8(text).length;
      out.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return RepairUtf8(out);
}

std::string CollapseSpaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out.push_back(c);
  }
  // At the end sentencepiece no longer tells spaces from the symbol that stands for them.
  constexpr std::string_view kSymbol = "\xE2\x96\x81";
  for (;;) {
    if (out.ends_with(' ')) {
      out.pop_back();
    } else if (out.ends_with(kSymbol)) {
      out.resize(out.size() - kSymbol.size());
    } else {
      return out;
    }
  }
}

std::string StripAccents(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (!IsMark(step.point)) out.append(text.substr(0, step.length));
    text.remove_prefix(step.length);
  }
  return out;
}

struct Apply {
  std::string_view text;
  PrefixSpace prefix;
  std::string operator()(const UnicodeNormalizer& step) const { return Normalize(text, step.form); }
  std::string operator()(const LowercaseNormalizer&) const { return LowerCase(text); }
  std::string operator()(const StripNormalizer& step) const { return Strip(text, step); }
  std::string operator()(const StripAccentsNormalizer&) const { return StripAccents(text); }
  std::string operator()(const PrependNormalizer& step) const {
    if (text.empty() || prefix == PrefixSpace::kNever) return std::string(text);
    return step.prepend + std::string(text);
  }
  std::string operator()(const ReplaceNormalizer& step) const { return Replace(text, step); }
  std::string operator()(const PrecompiledNormalizer& step) const { return ApplyCharsmap(text, step); }
  std::string operator()(const CollapseSpacesNormalizer&) const { return CollapseSpaces(text); }
};

}  // namespace

void ForEachMatch(const TextPattern& pattern, std::string_view text,
                  const std::function<void(size_t, size_t)>& visit) {
  if (const auto* regex = std::get_if<Regex>(&pattern)) return regex->ForEachMatch(text, visit);
  const std::string& needle = std::get<std::string>(pattern);
  if (needle.empty()) return;
  for (size_t at = text.find(needle); at != std::string_view::npos;
       at = text.find(needle, at + needle.size())) {
    visit(at, at + needle.size());
  }
}

void CheckCharsmap(std::string_view charsmap) {
  if (charsmap.empty()) return;
  if (charsmap.size() < 8) Fail("precompiled_charsmap: {} bytes are too few", charsmap.size());
  const uint32_t size = ReadU32(charsmap, 0);
  if (size < 4 || size % 4 != 0 || size > charsmap.size() - 5) {
    Fail("precompiled_charsmap: a trie of {} bytes does not fit into {}", size, charsmap.size());
  }
  if (charsmap.back() != '\0') Fail("precompiled_charsmap: the replacements do not end with a zero byte");
}

std::string ApplyNormalizer(const Normalizer& normalizer, std::string_view text, PrefixSpace prefix) {
  std::string out(text);
  for (const NormalizerStep& step : normalizer) out = std::visit(Apply{out, prefix}, step);
  return out;
}

}  // namespace lowbit
