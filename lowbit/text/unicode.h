// Properties and normal forms of Unicode text, as tokenizers need them.
#pragma once

#include <string>
#include <string_view>

namespace lowbit {

bool IsWhiteSpace(char32_t point);   // White_Space
bool IsNumeric(char32_t point);      // categories Nd, Nl, No
bool IsPunctuation(char32_t point);  // ASCII punctuation and symbols, or a category P*
bool IsMark(char32_t point);         // category Mn
bool IsWord(char32_t point);  // \w of regular expressions: Alphabetic, M, Nd, Pc (Unicode TS 18, annex C)

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// `text` must be well-formed UTF-8.
std::string Normalize(std::string_view text, NormalForm form);

// Simple and special lower-case mappings without context (Rust's str::to_lowercase but for the final sigma).
std::string LowerCase(std::string_view text);
std::string UpperCase(std::string_view text);

}  // namespace lowbit
