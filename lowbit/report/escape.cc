#include "lowbit/report/escape.h"

#include "lowbit/text/utf8.h"

namespace lowbit::report {
namespace {

bool IsControl(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

template <typename Append>
std::string Escape(std::string_view text, Append append) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    append(out, step.point);
    text.remove_prefix(step.length);
  }
  return out;
}

}  // namespace

std::string EscapeTerminal(std::string_view text) {
  return Escape(
      text, [](std::string& out, char32_t point) { AppendUtf8(out, IsControl(point) ? U'\ufffd' : point); });
}

std::string EscapeHtml(std::string_view text) {
  return Escape(text, [](std::string& out, char32_t point) {
    switch (point) {
      case U'&':
        out += "&amp;";
        break;
      case U'<':
        out += "&lt;";
        break;
      case U'>':
        out += "&gt;";
        break;
      case U'"':
        out += "&quot;";
        break;
      case U'\'':
        out += "&#39;";
        break;
      case U'\n':
      case U'\t':
        out += static_cast<char>(point);
        break;
      default:
        AppendUtf8(out, IsControl(point) ? U'\ufffd' : point);
    }
  });
}

}  // namespace lowbit::report
