// Texts that may come from a foreign file (names of tensors, prompts), made safe to show.
#pragma once

#include <string>
#include <string_view>

namespace lowbit::report {

// For a terminal: control characters and ill-formed UTF-8 become U+FFFD.
std::string EscapeTerminal(std::string_view text);

// For element content and quoted attributes of HTML: & < > " ' become references; control characters other
// than line ends and tabs, and ill-formed UTF-8, become U+FFFD.
std::string EscapeHtml(std::string_view text);

}  // namespace lowbit::report
