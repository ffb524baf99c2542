#include <algorithm>
#include <array>

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_syntax.h"
#include "lowbit/text/unicode.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

using Kind = JinjaToken::Kind;

bool IsSpaceAt(std::string_view text, uint32_t& length) {
  const Utf8Step step = NextUtf8(text);
  length = step.length;
  // Python's \s adds the four separators U+001C..U+001F to White_Space.
  return IsWhiteSpace(step.point) || (step.point >= 0x1C && step.point <= 0x1F);
}

std::string_view TrimRight(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    uint32_t length = 0;
    if (!IsSpaceAt(text.substr(start), length)) break;
    text = text.substr(0, start);
  }
  return text;
}

std::string UnixLines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<JinjaToken> Run() {
    while (at_ < source_.size()) {
      size_t tag = source_.find('{', at_);
      while (tag != std::string_view::npos && !IsTag(tag)) tag = source_.find('{', tag + 1);
      if (tag == std::string_view::npos) {
        Text(source_.substr(at_));
        at_ = source_.size();
        break;
      }
      ReadTag(tag);
    }
    tokens_.push_back({Kind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void Stop(std::string_view what) const { Fail("chat template, line {}: {}", line_, what); }

  bool IsTag(size_t at) const {
    return at + 1 < source_.size() &&
           (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#');
  }
  bool Starts(std::string_view what) const { return source_.substr(at_).starts_with(what); }

  void Advance(size_t count) {
    const std::string_view part = source_.substr(at_, count);
    line_ += static_cast<int>(std::count(part.begin(), part.end(), '\n'));
    line_starting_ = !part.empty() && part.back() == '\n';
    at_ += part.size();
  }

  void Text(std::string_view text) {
    if (!text.empty()) tokens_.push_back({Kind::kText, std::string(text), line_});
  }

  // The text before the tag at `tag`, stripped as the tag says; leaves at_ behind the tag's opening.
  void TextBefore(size_t tag, bool variable) {
    std::string_view text = source_.substr(at_, tag - at_);
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (sign == '-') {
      text = TrimRight(text);
    } else if (sign != '+' && !variable) {
      // lstrip_blocks: white space between the beginning of the line and the tag goes.
      const size_t newline = text.rfind('\n');
      const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
      if ((begin > 0 || line_starting_) && TrimRight(text.substr(begin)).empty())
        text = text.substr(0, begin);
    }
    Text(text);
    Advance(tag - at_);
    Advance(sign == '-' || sign == '+' ? 3 : 2);
  }

  void SkipSpaces() {
    uint32_t length = 0;
    while (at_ < source_.size() && IsSpaceAt(source_.substr(at_), length)) Advance(length);
  }

  // The end of a tag: -%} swallows white space, %} one newline (trim_blocks), +%} nothing.
  bool TakeEnd(std::string_view end, bool trims_newline) {
    if (Starts(end)) {
      Advance(end.size());
      if (trims_newline && Starts("\n")) Advance(1);
      return true;
    }
    if (at_ >= source_.size() || !source_.substr(at_ + 1).starts_with(end)) return false;
    if (source_[at_] == '-') {
      Advance(1 + end.size());
      SkipSpaces();
      return true;
    }
    if (source_[at_] == '+' && trims_newline) {
      Advance(1 + end.size());
      return true;
    }
    return false;
  }

  void ReadTag(size_t tag) {
    const char kind = source_[tag + 1];
    TextBefore(tag, kind == '{');
    if (kind == '#') return ReadComment();
    if (kind == '%' && ReadRaw()) return;
    tokens_.push_back({kind == '{' ? Kind::kPrintBegin : Kind::kBlockBegin, "", line_});
    ReadInside(kind == '{' ? "}}" : "%}", kind == '%');
  }

  void ReadComment() {
    const int first = line_;
    const size_t end = source_.find("#}", at_);
    if (end == std::string_view::npos) Fail("chat template, line {}: a comment without its end '#}}'", first);
    const bool sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    Advance(end - at_ - (sign ? 1 : 0));
    TakeEnd("#}", true);
  }

  bool ReadRaw() {
    const size_t at = at_;
    const int line = line_;
    SkipSpaces();
    if (Starts("raw")) {
      Advance(3);
      SkipSpaces();
      if (TakeEnd("%}", true)) {
        for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
             tag = source_.find("{%", tag + 1)) {
          size_t name = tag + 2;
          if (name < source_.size() && (source_[name] == '-' || source_[name] == '+')) ++name;
          while (name < source_.size() && source_[name] == ' ') ++name;
          if (!source_.substr(name).starts_with("endraw")) continue;
          TextBefore(tag, false);
          SkipSpaces();
          Advance(6);
          SkipSpaces();
          if (!TakeEnd("%}", true)) Stop("'endraw' without its end '%}'");
          return true;
        }
        Stop("'raw' without 'endraw'");
      }
    }
    at_ = at;
    line_ = line;
    return false;
  }

  void ReadInside(std::string_view end, bool block) {
    const int first = line_;
    std::string brackets;
    while (true) {
      SkipSpaces();
      if (at_ >= source_.size()) Fail("chat template, line {}: a tag without its end '{}'", first, end);
      if (brackets.empty() && TakeEnd(end, block)) {
        tokens_.push_back({block ? Kind::kBlockEnd : Kind::kPrintEnd, "", line_});
        return;
      }
      ReadToken(brackets);
    }
  }

  void ReadToken(std::string& brackets) {
    const char c = source_[at_];
    const Utf8Step step = NextUtf8(source_.substr(at_));
    if (c == '"' || c == '\'') return ReadString(c);
    if (c >= '0' && c <= '9') return ReadNumber();
    if (c == '_' || (IsWord(step.point) && step.kind == Utf8Step::kGood)) return ReadName();
    static constexpr std::array<std::string_view, 25> kOperators = {
        "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
        ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ".", ":", ",", "|"};
    for (const std::string_view op : kOperators) {
      if (!Starts(op)) continue;
      if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (brackets.empty() || brackets.back() != c) Stop(fmt::format("unexpected '{}'", c));
        brackets.pop_back();
      }
      tokens_.push_back({Kind::kOperator, std::string(op), line_});
      return Advance(op.size());
    }
    Stop(fmt::format("unexpected character '{}'", source_.substr(at_, step.length)));
  }

  void ReadName() {
    const size_t begin = at_;
    while (at_ < source_.size()) {
      const Utf8Step step = NextUtf8(source_.substr(at_));
      if (step.kind != Utf8Step::kGood || !(step.point == '_' || IsWord(step.point))) break;
      at_ += step.length;
    }
    tokens_.push_back({Kind::kName, std::string(source_.substr(begin, at_ - begin)), line_});
  }

  void ReadNumber() {
    const auto digits = [&] {
      while (at_ < source_.size() && ((source_[at_] >= '0' && source_[at_] <= '9') || source_[at_] == '_'))
        ++at_;
    };
    const auto digit_at = [&](size_t at) {
      return at < source_.size() && source_[at] >= '0' && source_[at] <= '9';
    };
    const size_t begin = at_;
    bool real = false;
    digits();
    if (Starts(".") && digit_at(at_ + 1)) {
      real = true;
      ++at_;
      digits();
    }
    if (at_ < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
      const size_t sign =
          at_ + 1 < source_.size() && (source_[at_ + 1] == '+' || source_[at_ + 1] == '-') ? 1 : 0;
      if (digit_at(at_ + 1 + sign)) {
        real = true;
        at_ += 1 + sign;
        digits();
      }
    }
    std::string text(source_.substr(begin, at_ - begin));
    std::erase(text, '_');
    tokens_.push_back({real ? Kind::kFloat : Kind::kInteger, std::move(text), line_});
  }

  void ReadString(char quote) {
    const int first = line_;
    const size_t begin = ++at_;
    while (at_ < source_.size() && source_[at_] != quote) at_ += source_[at_] == '\\' ? 2 : 1;
    if (at_ >= source_.size()) Fail("chat template, line {}: a string without its closing {}", first, quote);
    const std::string_view body = source_.substr(begin, at_ - begin);
    ++at_;
    tokens_.push_back({Kind::kString, Unescape(body), first});
    line_ += static_cast<int>(std::count(body.begin(), body.end(), '\n'));
  }

  // Escapes as in Python.
  std::string Unescape(std::string_view body) const {
    std::string out;
    for (size_t i = 0; i < body.size(); ++i) {
      if (body[i] != '\\' || i + 1 >= body.size()) {
        out += body[i];
        continue;
      }
      const char c = body[++i];
      constexpr std::string_view kFrom = "ntrabfv\\'\"", kTo = "\n\t\r\a\b\f\v\\'\"";
      if (const size_t at = kFrom.find(c); at != std::string_view::npos) {
        out += kTo[at];
      } else if (c == '\n') {
        continue;
      } else if (c >= '0' && c <= '7') {
        uint32_t point = 0;
        size_t count = 0;
        for (; count < 3 && i + count < body.size() && body[i + count] >= '0' && body[i + count] <= '7';
             ++count) {
          point = 8 * point + static_cast<uint32_t>(body[i + count] - '0');
        }
        i += count - 1;
        AppendUtf8(out, point);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t point = 0;
        for (size_t k = 1; k <= count; ++k) {
          const char h = i + k < body.size() ? body[i + k] : ' ';
          const int digit = h >= '0' && h <= '9'   ? h - '0'
                            : h >= 'a' && h <= 'f' ? h - 'a' + 10
                            : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                                   : -1;
          if (digit < 0) Stop(fmt::format("the escape \\{} needs {} hexadecimal digits", c, count));
          point = 16 * point + static_cast<uint32_t>(digit);
        }
        if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) Stop("an escape that is no character");
        i += count;
        AppendUtf8(out, point);
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<JinjaToken> tokens_;
};

}  // namespace

std::vector<JinjaToken> LexJinja(std::string_view source) {
  std::string text = RepairUtf8(UnixLines(source));
  if (text.ends_with('\n')) text.pop_back();  // keep_trailing_newline is off
  return Lexer(text).Run();
}

}  // namespace lowbit
