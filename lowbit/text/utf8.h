// UTF-8: reading, checking, repairing, and a stream that never shows half a character.
//
// Well-formed means Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. Ill-formed
// bytes are replaced as Unicode recommends (one U+FFFD for each maximal part of a well-formed sequence),
// which is what Python's errors="replace" and the Rust standard library do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lowbit {

// One step through a text.
struct Utf8Step {
  char32_t point = 0;   // U+FFFD when ill-formed or cut
  uint32_t length = 0;  // bytes consumed, at least 1 unless the text is empty
  enum Kind : uint8_t { kGood, kBad, kCut } kind = kGood;  // kCut: a good beginning, but the text ends
};
Utf8Step NextUtf8(std::string_view text);

void AppendUtf8(std::string& out, char32_t point);

// Position of the first ill-formed (or cut) byte sequence; std::string_view::npos when the text is
// well-formed.
size_t FirstInvalidUtf8(std::string_view text);

// Throws Error naming `where` and the byte at which the text stops being UTF-8.
void CheckUtf8(std::string_view text, const std::string& where);

// Each maximal ill-formed part becomes U+FFFD.
std::string RepairUtf8(std::string_view text);

// Joins pieces of bytes (tokens) into text: Push() returns what is complete, holding back a sequence that the
// next piece may finish, and replacing what can no longer become well-formed. Finish() returns what is left
// at the end (U+FFFD for a cut character). The concatenation of all results is RepairUtf8 of the concatenated
// pieces.
class Utf8Stream {
 public:
  std::string Push(std::string_view bytes);
  std::string Finish();
  size_t held() const { return held_.size(); }  // at most 3 bytes

 private:
  std::string held_;
};

}  // namespace lowbit
