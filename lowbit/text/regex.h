// Regular expressions over UTF-8 text with Unicode properties (PCRE2, compiled to machine code).
//
// Patterns are those of tokenizer.json files, which are written for Oniguruma. Where the two dialects give
// one spelling different meanings the pattern is rewritten: \s is White_Space, \w is Unicode's word class,
// \p{Script} is the script (not its extensions). Set operations inside classes ([a&&b]) are refused by name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace lowbit {

class Regex {
 public:
  // Throws Error with the pattern and the position of the fault.
  explicit Regex(std::string pattern);

  const std::string& pattern() const { return pattern_; }  // as given

  // Calls visit(begin, end) for each successive match, left to right. Empty matches are visited once and
  // stepped over. `text` must be well-formed UTF-8. Throws Error when a match exceeds PCRE2's limits.
  void ForEachMatch(std::string_view text, const std::function<void(size_t, size_t)>& visit) const;

 private:
  struct Code;
  std::string pattern_;
  std::shared_ptr<const Code> code_;
};

// The pattern as PCRE2 reads it (exposed for tests).
std::string TranslatePattern(std::string_view pattern);

}  // namespace lowbit
