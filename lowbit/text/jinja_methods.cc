// Methods of Python's str, list and dict, and the global functions.
#include <algorithm>
#include <array>
#include <ctime>

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_interpreter.h"
#include "lowbit/text/jinja_text.h"
#include "lowbit/text/unicode.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

using Arguments = JinjaList;

const std::string& TextArgument(const Arguments& arguments, size_t i, const char* method) {
  if (i >= arguments.size() || !arguments[i].IsString())
    Fail("{}() needs a string as argument {}", method, i + 1);
  return arguments[i].string();
}

int64_t IntegerArgument(const Arguments& arguments, size_t i, int64_t fallback) {
  return i < arguments.size() && !arguments[i].IsNone() ? arguments[i].Integer() : fallback;
}

// startswith and endswith take a string or a tuple of them.
template <typename Check>
bool AnyOf(const Arguments& arguments, const char* method, const Check& check) {
  if (!arguments.empty() && arguments[0].IsTuple()) {
    return std::any_of(arguments[0].items().begin(), arguments[0].items().end(),
                       [&](const JinjaValue& v) { return v.IsString() && check(v.string()); });
  }
  return check(TextArgument(arguments, 0, method));
}

JinjaValue Strings(std::vector<std::string> texts) {
  JinjaList out;
  for (std::string& text : texts) out.emplace_back(std::move(text));
  return JinjaValue::List(std::move(out));
}

// "{} {0} {name}" without format specifications.
std::string Format(const std::string& format, const Arguments& arguments, const JinjaNamed& named) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '{') {
      const size_t end = format.find('}', i);
      if (end == std::string::npos) Fail("format(): a '{{' without its '}}'");
      const std::string field = format.substr(i + 1, end - i - 1);
      i = end;
      if (field.empty() || field.find_first_not_of("0123456789") == std::string::npos) {
        const size_t at = field.empty()      ? next++
                          : field.size() > 4 ? SIZE_MAX
                                             : static_cast<size_t>(std::stoi(field));
        if (at >= arguments.size()) Fail("format(): there is no argument {}", field);
        out += arguments[at].Text();
      } else {
        const auto found =
            std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.first == field; });
        if (found == named.end())
          Fail("format(): there is no argument '{}'; only {{}}, {{0}} and {{name}} are known", field);
        out += found->second.Text();
      }
    } else {
      out += c;
    }
  }
  return out;
}

template <typename Is>
bool All(const std::string& text, const Is& is) {
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = NextUtf8(rest);
    if (!is(step.point)) return false;
    rest.remove_prefix(step.length);
  }
  return !text.empty();
}

JinjaValue CallStringMethod(const JinjaServices& services, const std::string& text, const std::string& name,
                            const Arguments& arguments, const JinjaNamed& named) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const bool has = !arguments.empty() && !arguments[0].IsNone();
    return StripText(text, has ? &TextArgument(arguments, 0, name.c_str()) : nullptr, name != "rstrip",
                     name != "lstrip");
  }
  if (name == "split" || name == "rsplit") {
    const bool has = !arguments.empty() && !arguments[0].IsNone();
    int64_t limit = IntegerArgument(arguments, 1, -1);
    for (const auto& [key, value] : named) {
      if (key == "maxsplit") limit = value.Integer();
    }
    return Strings(
        SplitText(text, has ? &TextArgument(arguments, 0, "split") : nullptr, limit, name == "rsplit"));
  }
  if (name == "splitlines") return Strings(SplitLines(text));
  if (name == "startswith")
    return AnyOf(arguments, "startswith", [&](const std::string& s) { return text.starts_with(s); });
  if (name == "endswith")
    return AnyOf(arguments, "endswith", [&](const std::string& s) { return text.ends_with(s); });
  if (name == "replace") {
    return ReplaceText(text, TextArgument(arguments, 0, "replace"), TextArgument(arguments, 1, "replace"),
                       IntegerArgument(arguments, 2, -1), services.limits.text_bytes);
  }
  if (name == "upper") return UpperCase(text);
  if (name == "lower") return LowerCase(text);
  if (name == "title") return TitleCase(text);
  if (name == "capitalize") return Capitalize(text);
  if (name == "find" || name == "rfind" || name == "index") {
    const std::string& part = TextArgument(arguments, 0, name.c_str());
    const size_t at = name == "rfind" ? text.rfind(part) : text.find(part);
    if (at == std::string::npos && name == "index") Fail("index(): the string does not contain '{}'", part);
    return at == std::string::npos ? int64_t{-1} : CountPoints(std::string_view(text).substr(0, at));
  }
  if (name == "count") {
    const std::string& part = TextArgument(arguments, 0, "count");
    if (part.empty()) return CountPoints(text) + 1;
    int64_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
      ++count;
    return count;
  }
  if (name == "join") {
    if (arguments.empty()) Fail("join() needs a list");
    std::string out;
    bool first = true;
    for (const JinjaValue& item : arguments[0].Elements()) {
      if (!item.IsString()) Fail("join() needs strings, not a value of type {}", item.TypeName());
      if (!first) out += text;
      first = false;
      out += item.string();
      if (out.size() > services.limits.text_bytes)
        Fail("join() makes more than {} bytes", services.limits.text_bytes);
    }
    return out;
  }
  if (name == "removeprefix") {
    const std::string& part = TextArgument(arguments, 0, "removeprefix");
    return text.starts_with(part) ? text.substr(part.size()) : text;
  }
  if (name == "removesuffix") {
    const std::string& part = TextArgument(arguments, 0, "removesuffix");
    return text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text;
  }
  if (name == "format") return Format(text, arguments, named);
  if (name == "isdigit" || name == "isnumeric" || name == "isdecimal") return All(text, IsNumeric);
  if (name == "isspace") return All(text, IsWhiteSpace);
  if (name == "isalnum") return All(text, [](char32_t c) { return IsWord(c) && c != '_' && !IsMark(c); });
  if (name == "isalpha") {
    return All(text, [](char32_t c) { return IsWord(c) && c != '_' && !IsMark(c) && !IsNumeric(c); });
  }
  if (name == "isupper") return UpperCase(text) == text && LowerCase(text) != text;
  return LowerCase(text) == text && UpperCase(text) != text;  // islower
}

constexpr std::array<std::string_view, 28> kStringMethods = {
    "strip",    "lstrip",    "rstrip",    "split",   "rsplit",  "splitlines",   "startswith",
    "endswith", "replace",   "upper",     "lower",   "title",   "capitalize",   "find",
    "rfind",    "index",     "count",     "join",    "format",  "removeprefix", "removesuffix",
    "isdigit",  "isnumeric", "isdecimal", "isspace", "isalnum", "isalpha",      "isupper"};

constexpr std::array<std::string_view, 16> kChanging = {"append",
                                                        "extend",
                                                        "insert",
                                                        "remove",
                                                        "sort",
                                                        "reverse",
                                                        "clear",
                                                        "pop",
                                                        "popitem",
                                                        "update",
                                                        "setdefault",
                                                        "add",
                                                        "discard",
                                                        "difference_update",
                                                        "intersection_update",
                                                        "__setitem__"};

JinjaValue CallDictMethod(const JinjaValue& dict, const std::string& name, const Arguments& arguments) {
  if (name == "get") {
    if (arguments.empty()) Fail("get() needs a key");
    const JinjaValue* found = dict.Find(arguments[0]);
    if (found) return *found;
    return arguments.size() > 1 ? arguments[1] : JinjaValue(JinjaNone{});
  }
  if (name == "copy") return dict;
  JinjaList out;
  for (const auto& [key, value] : dict.dict().items) {
    out.push_back(name == "keys" ? key : name == "values" ? value : JinjaValue::Tuple({key, value}));
  }
  return JinjaValue::List(std::move(out));
}

JinjaValue Range(const Arguments& arguments) {
  if (arguments.empty() || arguments.size() > 3) Fail("range() takes one to three integers");
  const bool one = arguments.size() == 1;
  const int64_t begin = one ? 0 : arguments[0].Integer(), end = arguments[one ? 0 : 1].Integer();
  const int64_t step = arguments.size() == 3 ? arguments[2].Integer() : 1;
  constexpr size_t kLimit = 100'000;  // the sandbox's
  if (step == 0) Fail("range(): the step is zero");
  JinjaList out;
  for (int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (out.size() == kLimit) Fail("range(): more than {} numbers", kLimit);
    out.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return JinjaValue::List(std::move(out));
}

std::string FormatTime(const std::string& format, const std::tm& now) {
  std::array<char, 1024> buffer{};
  if (format.empty()) return "";
  if (format.size() > 256) Fail("strftime_now: a format of {} bytes; at most 256", format.size());
  return std::string(buffer.data(), std::strftime(buffer.data(), buffer.size(), format.c_str(), &now));
}

}  // namespace

JinjaValue FindJinjaMethod(const JinjaServices& services, const JinjaValue& object, const std::string& name) {
  const auto listed = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.IsString() && (listed(kStringMethods) || name == "islower")) {
    return JinjaValue::Callable(
        name, [services, object, name](const JinjaList& arguments, const JinjaNamed& named) {
          return CallStringMethod(services, object.string(), name, arguments, named);
        });
  }
  if (object.IsDict() &&
      (name == "get" || name == "items" || name == "keys" || name == "values" || name == "copy")) {
    return JinjaValue::Callable(name, [object, name](const JinjaList& arguments, const JinjaNamed&) {
      return CallDictMethod(object, name, arguments);
    });
  }
  if (object.IsSequence() && (name == "index" || name == "count")) {
    return JinjaValue::Callable(
        name, [object, name](const JinjaList& arguments, const JinjaNamed&) -> JinjaValue {
          if (arguments.empty()) Fail("{}() needs a value", name);
          const JinjaList& items = object.items();
          if (name == "count")
            return static_cast<int64_t>(std::count(items.begin(), items.end(), arguments[0]));
          const auto found = std::find(items.begin(), items.end(), arguments[0]);
          if (found == items.end()) Fail("index(): the value is not in the list");
          return static_cast<int64_t>(found - items.begin());
        });
  }
  if ((object.IsSequence() || object.IsDict()) && listed(kChanging)) {
    return JinjaValue::Callable(name, [name](const JinjaList&, const JinjaNamed&) -> JinjaValue {
      Fail("{}() would change a value; templates may change a namespace only", name);
    });
  }
  return {};
}

JinjaNamed JinjaGlobals(const JinjaServices& services) {
  JinjaNamed out;
  const auto add = [&](const char* name,
                       std::function<JinjaValue(const JinjaList&, const JinjaNamed&)> call) {
    out.emplace_back(name, JinjaValue::Callable(name, std::move(call)));
  };
  add("range", [](const JinjaList& arguments, const JinjaNamed&) { return Range(arguments); });
  add("dict", [](const JinjaList& arguments, const JinjaNamed& named) {
    JinjaItems items;
    if (!arguments.empty() && arguments[0].IsDict()) items = arguments[0].dict().items;
    for (const auto& [name, value] : named) items.emplace_back(name, value);
    return JinjaValue::Dict(std::move(items));
  });
  add("namespace", [](const JinjaList& arguments, const JinjaNamed& named) {
    JinjaNamed items;
    if (!arguments.empty() && arguments[0].IsDict()) {
      for (const auto& [key, value] : arguments[0].dict().items) items.emplace_back(key.Text(), value);
    }
    for (const auto& [name, value] : named) {
      if (value.IsNamespace() || value.IsCallable())
        Fail("a namespace cannot hold a value of type {}", value.TypeName());
      items.emplace_back(name, value);
    }
    return JinjaValue::Namespace(std::move(items));
  });
  add("raise_exception", [](const JinjaList& arguments, const JinjaNamed&) -> JinjaValue {
    Fail("{}", arguments.empty() ? "raise_exception" : arguments[0].Text());
  });
  add("strftime_now", [now = services.now](const JinjaList& arguments, const JinjaNamed&) -> JinjaValue {
    return FormatTime(TextArgument(arguments, 0, "strftime_now"), now);
  });
  return out;
}

}  // namespace lowbit
