// Python's string methods on UTF-8, for the template language.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit {

// Removes characters of `set` (white space when null) from the chosen ends.
std::string StripText(std::string_view text, const std::string* set, bool left, bool right);
// At `separator` (runs of white space when null), at most `limit` times (negative: all), from the right if
// `reverse`.
std::vector<std::string> SplitText(std::string_view text, const std::string* separator, int64_t limit,
                                   bool reverse);
std::vector<std::string> SplitLines(std::string_view text);
// At most `count` times (negative: all). Throws Error beyond `max_bytes`.
std::string ReplaceText(std::string_view text, std::string_view from, std::string_view to, int64_t count,
                        size_t max_bytes);
std::string TitleCase(std::string_view text);
std::string Capitalize(std::string_view text);

}  // namespace lowbit
