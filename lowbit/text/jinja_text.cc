#include "lowbit/text/jinja_text.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/text/unicode.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

bool IsPythonSpace(char32_t point) {
  return IsWhiteSpace(point) || (point >= 0x1C && point <= 0x1F);
}

std::string_view LastPoint(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return text.substr(at);
}

}  // namespace

std::string StripText(std::string_view text, const std::string* set, bool left, bool right) {
  const auto strip = [&](std::string_view character) {
    return set ? set->find(character) != std::string::npos : IsPythonSpace(NextUtf8(character).point);
  };
  while (left && !text.empty()) {
    const uint32_t length = NextUtf8(text).length;
    if (!strip(text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const std::string_view last = LastPoint(text);
    if (!strip(last)) break;
    text.remove_suffix(last.size());
  }
  return std::string(text);
}

std::vector<std::string> SplitText(std::string_view text, const std::string* separator, int64_t limit,
                                   bool reverse) {
  std::vector<std::string> out;
  const auto more = [&] { return limit < 0 || static_cast<int64_t>(out.size()) < limit; };
  if (separator) {
    if (separator->empty()) Fail("split(): an empty separator");
    while (more()) {
      const size_t at = reverse ? text.rfind(*separator) : text.find(*separator);
      if (at == std::string_view::npos) break;
      if (reverse) {
        out.emplace_back(text.substr(at + separator->size()));
        text = text.substr(0, at);
      } else {
        out.emplace_back(text.substr(0, at));
        text = text.substr(at + separator->size());
      }
    }
    out.emplace_back(text);
    if (reverse) std::reverse(out.begin(), out.end());
    return out;
  }
  if (reverse && limit >= 0) Fail("rsplit() at white space with a limit is not supported");
  while (true) {
    const std::string rest = StripText(text, nullptr, true, false);
    text = text.substr(text.size() - rest.size());
    if (text.empty()) return out;
    if (!more()) break;
    size_t end = 0;
    while (end < text.size()) {
      const Utf8Step step = NextUtf8(text.substr(end));
      if (IsPythonSpace(step.point)) break;
      end += step.length;
    }
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  out.emplace_back(text);
  return out;
}

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text.substr(at));
    const char32_t c = step.point;
    const bool ends =
        (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    size_t next = at + step.length;
    if (ends) {
      out.emplace_back(text.substr(begin, at - begin));
      if (c == '\r' && next < text.size() && text[next] == '\n') ++next;
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) out.emplace_back(text.substr(begin));
  return out;
}

std::string ReplaceText(std::string_view text, std::string_view from, std::string_view to, int64_t count,
                        size_t max_bytes) {
  std::string out;
  const auto check = [&] {
    if (out.size() > max_bytes) Fail("replace() makes more than {} bytes", max_bytes);
  };
  if (from.empty()) {  // between all characters
    while (count != 0) {
      out += to;
      check();
      if (count > 0) --count;
      if (text.empty()) return out;
      const uint32_t length = NextUtf8(text).length;
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
    return out + std::string(text);
  }
  for (size_t at = text.find(from); at != std::string_view::npos && count != 0; at = text.find(from)) {
    out += text.substr(0, at);
    out += to;
    check();
    text.remove_prefix(at + from.size());
    if (count > 0) --count;
  }
  return out + std::string(text);
}

std::string TitleCase(std::string_view text) {
  std::string out;
  bool inside = false;
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const std::string_view character = text.substr(0, step.length);
    out += inside ? LowerCase(character) : UpperCase(character);
    inside = LowerCase(character) != UpperCase(character);  // cased
    text.remove_prefix(step.length);
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return "";
  const uint32_t length = NextUtf8(text).length;
  return UpperCase(text.substr(0, length)) + LowerCase(text.substr(length));
}

}  // namespace lowbit
