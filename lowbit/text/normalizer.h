// Normalizers of tokenizer.json: what happens to a text before it is cut into words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lowbit/text/regex.h"
#include "lowbit/text/unicode.h"

namespace lowbit {

// What a Replace or Split looks for: a literal string or a regular expression.
using TextPattern = std::variant<std::string, Regex>;

struct UnicodeNormalizer {
  NormalForm form = NormalForm::kNfc;
};
struct LowercaseNormalizer {};
struct StripNormalizer {
  bool left = true, right = true;
};
struct StripAccentsNormalizer {};  // drops category Mn
struct PrependNormalizer {         // before every non-empty text
  std::string prepend;
};
struct ReplaceNormalizer {
  TextPattern pattern;
  std::string content;
};
// sentencepiece's rule table: a Darts double array over UTF-8 keys whose values are offsets into a string of
// zero-terminated replacements. `charsmap` is the file's bytes: u32 size of the trie, the trie, the
// replacements. Strings of `keep` stay as they are (sentencepiece: user-defined pieces).
struct PrecompiledNormalizer {
  std::string charsmap;
  std::vector<std::string> keep;
};
// sentencepiece's remove_extra_whitespaces: no space at either end (nor U+2581 at the last), runs
// become one.
struct CollapseSpacesNormalizer {};

using NormalizerStep =
    std::variant<UnicodeNormalizer, LowercaseNormalizer, StripNormalizer, StripAccentsNormalizer,
                 PrependNormalizer, ReplaceNormalizer, PrecompiledNormalizer, CollapseSpacesNormalizer>;
using Normalizer = std::vector<NormalizerStep>;  // applied in order

// Whether a tokenizer's leading space is added: as its files say, or never (scoring a model trained without
// it).
enum class PrefixSpace : uint8_t { kAsTokenizer, kNever };

// `text` must be well-formed UTF-8.
std::string ApplyNormalizer(const Normalizer& normalizer, std::string_view text, PrefixSpace prefix);

// Throws Error when the table is cut or its sizes do not fit; afterwards look-ups cannot leave it.
void CheckCharsmap(std::string_view charsmap);

// Calls visit(begin, end) for each match of `pattern` in `text`.
void ForEachMatch(const TextPattern& pattern, std::string_view text,
                  const std::function<void(size_t, size_t)>& visit);

}  // namespace lowbit
