#include "lowbit/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

constexpr std::string_view kWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

struct MatchContext {
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  MatchContext()
      : data(pcre2_match_data_create(1, nullptr)),  // groups are of no interest
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, 16 << 20, nullptr)) {
    pcre2_jit_stack_assign(context, nullptr, stack);
    // A pattern from a file may be hostile: stop an exponential search instead of hanging.
    pcre2_set_match_limit(context, 50'000'000);
    pcre2_set_heap_limit(context, 256 << 10);
  }
  MatchContext(const MatchContext&) = delete;
  MatchContext& operator=(const MatchContext&) = delete;
  ~MatchContext() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

std::string ErrorText(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

std::string TranslatePattern(std::string_view pattern) {
  std::string out;
  int depth = 0;  // inside [...]; Oniguruma nests classes, PCRE2 does not
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += "\\p{White_Space}";
      } else if (next == 'S') {
        out += "\\P{White_Space}";
      } else if (next == 'w') {
        out += depth ? std::string(kWordClass) : fmt::format("[{}]", kWordClass);
      } else if (next == 'W' && depth == 0) {
        out += fmt::format("[^{}]", kWordClass);
      } else if ((next == 'p' || next == 'P') && i + 1 < pattern.size() && pattern[i + 1] == '{') {
        const size_t end = pattern.find('}', i);
        if (end == std::string_view::npos) {
          out += fmt::format("\\{}", next);
          continue;
        }
        std::string name(pattern.substr(i + 2, end - i - 2));
        // General categories have one or two letters, scripts more; a bare script name means extensions in
        // PCRE2.
        const bool script = name.size() > 2 && name[0] != '^' &&
                            name.find_first_of("=:&") == std::string::npos && name != "Any" &&
                            name != "Alphabetic" && name != "White_Space";
        out += fmt::format("\\{}{{{}{}}}", next, script ? "sc:" : "", name);
        i = end;
      } else {
        out += '\\';
        out += next;
      }
      continue;
    }
    if (c == '[') {
      if (depth > 0 && (i + 1 >= pattern.size() || pattern[i + 1] != ':')) {
        out += "\\[";  // a literal bracket in a class
        continue;
      }
      if (depth > 0) {  // [:name:]
        const size_t end = pattern.find(":]", i + 2);
        if (end != std::string_view::npos) {
          out += pattern.substr(i, end + 2 - i);
          i = end + 1;
          continue;
        }
      }
      ++depth;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {
        out += "\\]";
        ++i;
      }
      continue;
    }
    if (c == ']' && depth > 0) --depth;
    if (depth > 0 && c == '&' && i + 1 < pattern.size() && pattern[i + 1] == '&') {
      Fail("regular expression '{}': intersections of classes (&&) are not supported", pattern);
    }
    out += c;
  }
  return out;
}

Regex::Regex(std::string pattern) : pattern_(std::move(pattern)) {
  if (FirstInvalidUtf8(pattern_) != std::string_view::npos)
    Fail("regular expression: the pattern is not UTF-8");
  const std::string translated = TranslatePattern(pattern_);
  int error = 0;
  PCRE2_SIZE where = 0;
  auto code = std::make_shared<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                             &where, nullptr);
  if (!code->code) Fail("regular expression '{}': {} at byte {}", pattern_, ErrorText(error), where);
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // without it pcre2_match interprets
  code_ = std::move(code);
}

void Regex::ForEachMatch(std::string_view text, const std::function<void(size_t, size_t)>& visit) const {
  // Words are short and many: making a context for each would cost more than matching.
  thread_local const MatchContext match;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t at = 0, last_end = std::string_view::npos;
  while (at <= text.size()) {
    // The text is known to be well-formed; checking it again at every match would be quadratic.
    int count =
        pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.data, match.context);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) {
      count = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          match.data, match.context);
    }
    if (count == PCRE2_ERROR_NOMATCH) return;
    if (count < 0) Fail("regular expression '{}': {} at byte {} of the text", pattern_, ErrorText(count), at);
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.data);
    const size_t begin = bounds[0], end = bounds[1];
    if (begin < at || end < begin) Fail("regular expression '{}': \\K outside its own match", pattern_);
    // An empty match right behind a match is not a new one.
    if (begin != end || begin != last_end) visit(begin, end);
    last_end = end;
    at = end;
    if (begin == end) {
      if (at == text.size()) return;
      at += NextUtf8(text.substr(at)).length;
    }
  }
}

}  // namespace lowbit
