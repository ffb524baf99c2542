// Pre-tokenizers of tokenizer.json: how a normalized text is cut into the words that the model works on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lowbit/text/normalizer.h"

namespace lowbit {

// What becomes of a delimiter found by a splitter.
enum class SplitBehavior : uint8_t { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitPreTokenizer {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the matches are the words, the rest the delimiters
};
struct DigitsPreTokenizer {
  bool individual = false;
};
// GPT-2: optional leading space, GPT-2's pattern, then every byte as a printable character (MapBytes).
struct ByteLevelPreTokenizer {
  bool add_prefix_space = true, trim_offsets = true, use_regex = true;
};
// sentencepiece: spaces become `replacement`, which begins words.
struct MetaspacePreTokenizer {
  enum class Prepend : uint8_t { kAlways, kFirst, kNever };
  std::string replacement = "\xE2\x96\x81";
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};
struct WhitespacePreTokenizer {};       // \w+|[^\w\s]+
struct WhitespaceSplitPreTokenizer {};  // on White_Space
struct PunctuationPreTokenizer {
  SplitBehavior behavior = SplitBehavior::kIsolated;
};
struct BertPreTokenizer {};  // white space removed, punctuation alone

using PreTokenizerStep = std::variant<SplitPreTokenizer, DigitsPreTokenizer, ByteLevelPreTokenizer,
                                      MetaspacePreTokenizer, WhitespacePreTokenizer,
                                      WhitespaceSplitPreTokenizer, PunctuationPreTokenizer, BertPreTokenizer>;
using PreTokenizer = std::vector<PreTokenizerStep>;  // applied in order

struct TextRange {
  size_t begin = 0, end = 0;
};
// A text and the words in it, in order. Steps that only cut keep the text; the others rewrite it.
struct Words {
  std::string text;
  std::vector<TextRange> ranges;
  std::string_view word(size_t i) const {
    return std::string_view(text).substr(ranges[i].begin, ranges[i].end - ranges[i].begin);
  }
};

struct PreTokenizeOptions {
  bool at_start = true;  // the text begins the document (Metaspace's "first")
  PrefixSpace prefix = PrefixSpace::kAsTokenizer;
};
Words ApplyPreTokenizer(const PreTokenizer& steps, std::string text, const PreTokenizeOptions& options);

// The pattern inside ByteLevel with use_regex.
std::string_view Gpt2Pattern();

// GPT-2's map between bytes and printable characters: "!".."~", "¡".."¬", "®".."ÿ" stand for themselves, the
// other 68 bytes become U+0100 onwards in order.
const std::array<char32_t, 256>& ByteCharacters();
int CharacterByte(char32_t point);  // -1: not a byte character
std::string MapBytes(std::string_view bytes);
// Undoes MapBytes; a string with a character outside the map is returned unchanged.
std::string UnmapBytes(std::string_view text);

}  // namespace lowbit
