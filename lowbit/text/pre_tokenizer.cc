#include "lowbit/text/pre_tokenizer.h"

#include <algorithm>

#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

struct Part {
  size_t begin, end;
  bool match;
};

// Resolves the delimiters of one word as the behaviour says and appends the parts that remain.
void Resolve(std::vector<Part>& parts, SplitBehavior behavior, std::vector<TextRange>& out) {
  const auto emit = [&](const Part& part) {
    if (part.end > part.begin) out.push_back({part.begin, part.end});
  };
  switch (behavior) {
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.match) emit(part);
      }
      return;
    case SplitBehavior::kIsolated:
      for (const Part& part : parts) emit(part);
      return;
    case SplitBehavior::kContiguous: {
      size_t kept = 0;
      for (const Part& part : parts) {
        if (kept > 0 && parts[kept - 1].match == part.match) {
          parts[kept - 1].end = part.end;
        } else {
          parts[kept++] = part;
        }
      }
      for (size_t i = 0; i < kept; ++i) emit(parts[i]);
      return;
    }
    case SplitBehavior::kMergedWithPrevious: {
      bool previous = false;
      size_t kept = 0;
      for (const Part part : parts) {
        if (part.match && !previous && kept > 0) {
          parts[kept - 1].end = part.end;
        } else {
          parts[kept++] = part;
        }
        previous = part.match;
      }
      for (size_t i = 0; i < kept; ++i) emit(parts[i]);
      return;
    }
    case SplitBehavior::kMergedWithNext: {
      bool previous = false;
      std::vector<Part> kept;
      for (size_t i = parts.size(); i-- > 0;) {
        if (parts[i].match && !previous && !kept.empty()) {
          kept.back().begin = parts[i].begin;
        } else {
          kept.push_back(parts[i]);
        }
        previous = parts[i].match;
      }
      for (size_t i = kept.size(); i-- > 0;) emit(kept[i]);
      return;
    }
  }
}

// Cuts every word at the matches that find(word, visit) reports.
template <typename Find>
void SplitWords(Words& words, SplitBehavior behavior, bool invert, Find find) {
  std::vector<TextRange> out;
  out.reserve(words.ranges.size());
  std::vector<Part> parts;
  for (size_t i = 0; i < words.ranges.size(); ++i) {
    const std::string_view word = words.word(i);
    const size_t base = words.ranges[i].begin;
    size_t last = 0;
    parts.clear();
    find(word, [&](size_t begin, size_t end) {
      if (begin > last) parts.push_back({base + last, base + begin, invert});
      parts.push_back({base + begin, base + end, !invert});
      last = end;
    });
    if (last < word.size()) parts.push_back({base + last, base + word.size(), invert});
    Resolve(parts, behavior, out);
  }
  words.ranges = std::move(out);
}

// Every character that `is` accepts is a match of its own.
template <typename Is>
void SplitCharacters(Words& words, SplitBehavior behavior, Is is) {
  SplitWords(words, behavior, false, [&](std::string_view word, const auto& visit) {
    for (size_t at = 0; at < word.size();) {
      const Utf8Step step = NextUtf8(word.substr(at));
      if (is(step.point)) visit(at, at + step.length);
      at += step.length;
    }
  });
}

const Regex& Gpt2Regex() {
  static const Regex pattern{std::string(Gpt2Pattern())};
  return pattern;
}

// Replaces the text: rewrite(word, index, out) appends the new form of each word.
template <typename Rewrite>
void RewriteWords(Words& words, Rewrite rewrite) {
  std::string text;
  text.reserve(words.text.size() * 2);
  for (size_t i = 0; i < words.ranges.size(); ++i) {
    const size_t begin = text.size();
    rewrite(words.word(i), i, text);
    words.ranges[i] = {begin, text.size()};
  }
  words.text = std::move(text);
}

struct Apply {
  Words& words;
  const PreTokenizeOptions& options;

  void operator()(const SplitPreTokenizer& step) const {
    SplitWords(words, step.behavior, step.invert,
               [&](std::string_view word, const auto& visit) { ForEachMatch(step.pattern, word, visit); });
  }
  void operator()(const DigitsPreTokenizer& step) const {
    SplitCharacters(words, step.individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                    IsNumeric);
  }
  void operator()(const ByteLevelPreTokenizer& step) const {
    if (step.add_prefix_space && options.prefix == PrefixSpace::kAsTokenizer) {
      RewriteWords(words, [](std::string_view word, size_t, std::string& out) {
        if (!word.starts_with(' ')) out += ' ';
        out += word;
      });
    }
    if (step.use_regex) {
      SplitWords(words, SplitBehavior::kIsolated, false,
                 [](std::string_view word, const auto& visit) { Gpt2Regex().ForEachMatch(word, visit); });
    }
    RewriteWords(words, [](std::string_view word, size_t, std::string& out) {
      for (const char c : word) AppendUtf8(out, ByteCharacters()[static_cast<uint8_t>(c)]);
    });
  }
  void operator()(const MetaspacePreTokenizer& step) const {
    RewriteWords(words, [&](std::string_view word, size_t i, std::string& out) {
      const bool wanted =
          step.prepend == MetaspacePreTokenizer::Prepend::kAlways ||
          (step.prepend == MetaspacePreTokenizer::Prepend::kFirst && i == 0 && options.at_start);
      if (wanted && options.prefix == PrefixSpace::kAsTokenizer && !word.starts_with(' ') &&
          !word.starts_with(step.replacement)) {
        out += step.replacement;
      }
      for (const char c : word) {
        if (c == ' ') {
          out += step.replacement;
        } else {
          out += c;
        }
      }
    });
    if (step.split) {
      SplitWords(words, SplitBehavior::kMergedWithNext, false, [&](std::string_view word, const auto& visit) {
        ForEachMatch(TextPattern(step.replacement), word, visit);
      });
    }
  }
  void operator()(const WhitespacePreTokenizer&) const {
    SplitWords(words, SplitBehavior::kRemoved, true, [](std::string_view word, const auto& visit) {
      static const Regex pattern("\\w+|[^\\w\\s]+");
      pattern.ForEachMatch(word, visit);
    });
  }
  void operator()(const WhitespaceSplitPreTokenizer&) const {
    SplitCharacters(words, SplitBehavior::kRemoved, IsWhiteSpace);
  }
  void operator()(const PunctuationPreTokenizer& step) const {
    SplitCharacters(words, step.behavior, IsPunctuation);
  }
  void operator()(const BertPreTokenizer&) const {
    SplitCharacters(words, SplitBehavior::kRemoved, IsWhiteSpace);
    SplitCharacters(words, SplitBehavior::kIsolated, IsPunctuation);
  }
};

}  // namespace

Words ApplyPreTokenizer(const PreTokenizer& steps, std::string text, const PreTokenizeOptions& options) {
  Words words;
  words.text = std::move(text);
  if (!words.text.empty()) words.ranges.push_back({0, words.text.size()});
  for (const PreTokenizerStep& step : steps) std::visit(Apply{words, options}, step);
  return words;
}

std::string_view Gpt2Pattern() {
  return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
}

const std::array<char32_t, 256>& ByteCharacters() {
  static const std::array<char32_t, 256> map = [] {
    std::array<char32_t, 256> out{};
    char32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      out[byte] = printable ? byte : next++;
    }
    return out;
  }();
  return map;
}

int CharacterByte(char32_t point) {
  static const std::array<int16_t, 0x144> map = [] {
    std::array<int16_t, 0x144> out;
    out.fill(-1);
    for (int byte = 0; byte < 256; ++byte)
      out[ByteCharacters()[static_cast<size_t>(byte)]] = static_cast<int16_t>(byte);
    return out;
  }();
  return point < map.size() ? map[point] : -1;
}

std::string MapBytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) AppendUtf8(out, ByteCharacters()[static_cast<uint8_t>(c)]);
  return out;
}

std::string UnmapBytes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = NextUtf8(rest);
    const int byte = CharacterByte(step.point);
    if (byte < 0) return std::string(text);
    out.push_back(static_cast<char>(byte));
    rest.remove_prefix(step.length);
  }
  return out;
}

}  // namespace lowbit
