// Filters and tests.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_interpreter.h"
#include "lowbit/text/jinja_text.h"
#include "lowbit/text/unicode.h"

namespace lowbit {
namespace {

// Arguments of one filter by position or name.
class Call {
 public:
  Call(const JinjaList& arguments, const JinjaNamed& named) : arguments_(arguments), named_(named) {}
  const JinjaValue& value() const { return arguments_[0]; }
  // Argument i (from 1) or `name`; nullptr when absent.
  const JinjaValue* Find(size_t i, std::string_view name) const {
    if (i < arguments_.size()) return &arguments_[i];
    for (const auto& [key, argument] : named_) {
      if (key == name) return &argument;
    }
    return nullptr;
  }
  std::string Text(size_t i, std::string_view name, std::string fallback) const {
    const JinjaValue* found = Find(i, name);
    return found ? found->Text() : fallback;
  }
  int64_t Integer(size_t i, std::string_view name, int64_t fallback) const {
    const JinjaValue* found = Find(i, name);
    return found && !found->IsNone() ? found->Integer() : fallback;
  }
  bool Flag(size_t i, std::string_view name, bool fallback) const {
    const JinjaValue* found = Find(i, name);
    return found ? found->Truth() : fallback;
  }
  const JinjaList& arguments() const { return arguments_; }
  const JinjaNamed& named() const { return named_; }

 private:
  const JinjaList& arguments_;
  const JinjaNamed& named_;
};

int64_t Length(const JinjaValue& value) {
  if (value.IsUndefined()) return 0;
  if (value.IsString()) return CountPoints(value.string());
  if (value.IsSequence()) return static_cast<int64_t>(value.items().size());
  if (value.IsDict()) return static_cast<int64_t>(value.dict().items.size());
  Fail("a value of type {} has no length", value.TypeName());
}

// "a.b.0" of a value.
JinjaValue Path(const JinjaServices& services, JinjaValue value, const std::string& path) {
  for (const std::string& name : [&] {
         const std::string dot = ".";
         return SplitText(path, &dot, -1, false);
       }()) {
    const bool number =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos;
    value = number ? JinjaItem(services, value, int64_t{std::stoll(name)}) : JinjaItem(services, value, name);
  }
  return value;
}

// select, reject, selectattr, rejectattr.
JinjaValue Select(const JinjaServices& services, const Call& call, bool by_attribute, bool wanted) {
  JinjaList out;
  if (!call.value().Truth()) return JinjaValue::List({});  // none too
  const size_t first = by_attribute ? 2 : 1;
  const std::string attribute = by_attribute ? call.Text(1, "attribute", "") : "";
  for (const JinjaValue& item : call.value().Elements()) {
    const JinjaValue tested = by_attribute ? Path(services, item, attribute) : item;
    bool holds = tested.Truth();
    if (call.arguments().size() > first) {
      JinjaList arguments = {tested};
      arguments.insert(arguments.end(), call.arguments().begin() + static_cast<ptrdiff_t>(first) + 1,
                       call.arguments().end());
      holds = ApplyJinjaTest(call.arguments()[first].Text(), arguments);
    }
    if (holds == wanted) out.push_back(item);
  }
  return JinjaValue::List(std::move(out));
}

JinjaValue Map(const JinjaServices& services, const Call& call) {
  JinjaList out;
  const JinjaValue* attribute = call.arguments().size() > 1 ? nullptr : call.Find(9, "attribute");
  const JinjaValue* fallback = call.Find(9, "default");
  if (!call.value().Truth()) return JinjaValue::List({});
  if (!attribute && call.arguments().size() < 2) Fail("map needs attribute=… or the name of a filter");
  for (const JinjaValue& item : call.value().Elements()) {
    if (attribute) {
      JinjaValue value = Path(services, item, attribute->Text());
      out.push_back(value.IsUndefined() && fallback ? *fallback : std::move(value));
    } else {
      JinjaList arguments = {item};
      arguments.insert(arguments.end(), call.arguments().begin() + 2, call.arguments().end());
      out.push_back(ApplyJinjaFilter(services, call.arguments()[1].Text(), arguments, call.named()));
    }
  }
  return JinjaValue::List(std::move(out));
}

JinjaValue Join(const JinjaServices& services, const Call& call) {
  const std::string separator = call.Text(1, "d", "");
  const JinjaValue* attribute = call.Find(2, "attribute");
  std::string out;
  bool first = true;
  for (const JinjaValue& item : call.value().Elements()) {
    if (!first) out += separator;
    first = false;
    out += (attribute ? Path(services, item, attribute->Text()) : item).Text();
    if (out.size() > services.limits.text_bytes) Fail("more than {} bytes", services.limits.text_bytes);
  }
  return out;
}

// Without case unless case_sensitive.
JinjaValue SortKey(const JinjaValue& value, bool case_sensitive) {
  return value.IsString() && !case_sensitive ? JinjaValue(LowerCase(value.string())) : value;
}

JinjaValue Sort(const JinjaServices& services, const Call& call) {
  JinjaList items = call.value().Elements();
  const bool reverse = call.Flag(1, "reverse", false), case_sensitive = call.Flag(2, "case_sensitive", false);
  const JinjaValue* attribute = call.Find(3, "attribute");
  const auto key = [&](const JinjaValue& item) {
    return SortKey(attribute ? Path(services, item, attribute->Text()) : item, case_sensitive);
  };
  std::stable_sort(items.begin(), items.end(), [&](const JinjaValue& a, const JinjaValue& b) {
    return reverse ? JinjaValue::Compare(key(b), key(a)) < 0 : JinjaValue::Compare(key(a), key(b)) < 0;
  });
  return JinjaValue::List(std::move(items));
}

JinjaValue DictSort(const Call& call) {
  if (!call.value().IsDict()) Fail("needs a dictionary, not a value of type {}", call.value().TypeName());
  JinjaItems items = call.value().dict().items;
  const bool case_sensitive = call.Flag(1, "case_sensitive", false), reverse = call.Flag(3, "reverse", false);
  const bool by_value = call.Text(2, "by", "key") == "value";
  const auto key = [&](const auto& entry) {
    return SortKey(by_value ? entry.second : entry.first, case_sensitive);
  };
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    return reverse ? JinjaValue::Compare(key(b), key(a)) < 0 : JinjaValue::Compare(key(a), key(b)) < 0;
  });
  JinjaList out;
  for (auto& [name, value] : items) out.push_back(JinjaValue::Tuple({std::move(name), std::move(value)}));
  return JinjaValue::List(std::move(out));
}

JinjaValue Items(const Call& call) {
  JinjaList out;
  if (call.value().IsUndefined()) return JinjaValue::List({});
  if (!call.value().IsDict()) Fail("needs a dictionary, not a value of type {}", call.value().TypeName());
  for (const auto& [key, value] : call.value().dict().items) out.push_back(JinjaValue::Tuple({key, value}));
  return JinjaValue::List(std::move(out));
}

JinjaValue Unique(const Call& call) {
  JinjaList out, keys;
  for (const JinjaValue& item : call.value().Elements()) {
    const JinjaValue key = SortKey(item, call.Flag(1, "case_sensitive", false));
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    if (keys.size() == 10'000) Fail("more than 10000 different values");
    keys.push_back(key);
    out.push_back(item);
  }
  return JinjaValue::List(std::move(out));
}

JinjaValue Extreme(const Call& call, int sign) {
  const JinjaList items = call.value().Elements();
  if (items.empty()) return JinjaUndefined{"no aggregated item, the sequence was empty"};
  return *std::min_element(items.begin(), items.end(), [&](const JinjaValue& a, const JinjaValue& b) {
    return sign * JinjaValue::Compare(SortKey(a, false), SortKey(b, false)) < 0;
  });
}

JinjaValue Indent(const JinjaServices& services, const Call& call) {
  const JinjaValue* width = call.Find(1, "width");
  const std::string pad =
      width && width->IsString()
          ? width->string()
          : std::string(static_cast<size_t>(std::clamp<int64_t>(call.Integer(1, "width", 4), 0, 1000)), ' ');
  const bool first = call.Flag(2, "first", false), blank = call.Flag(3, "blank", false);
  std::string out;
  const std::string newline = "\n";
  const std::vector<std::string> lines = SplitText(call.value().Text(), &newline, -1, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if ((i == 0 && first) || (i > 0 && (blank || !lines[i].empty()))) out += pad;
    out += lines[i];
    if (out.size() > services.limits.text_bytes) Fail("more than {} bytes", services.limits.text_bytes);
  }
  return out;
}

JinjaValue TojsonFilter(const Call& call) {
  if (call.value().IsUndefined()) Fail("{}", call.value().undefined_name());
  JsonStyle style;
  style.ensure_ascii = call.Flag(1, "ensure_ascii", false);
  style.sort_keys = call.Flag(4, "sort_keys", false);
  style.indent = static_cast<int>(std::clamp<int64_t>(call.Integer(2, "indent", -1), -1, 100));
  if (const JinjaValue* separators = call.Find(3, "separators"); separators && separators->IsSequence()) {
    if (separators->items().size() != 2) Fail("separators should be a pair of strings");
    style.item_separator = separators->items()[0].Text();
    style.key_separator = separators->items()[1].Text();
    if (style.indent >= 0 && style.item_separator == ", ")
      Fail("separators with a space and indent are not supported");
  }
  return ToJson(call.value(), style);
}

JinjaValue ToInteger(const Call& call) {
  const JinjaValue& value = call.value();
  if (value.IsFloat() && std::fabs(value.Number()) < 9e18) return static_cast<int64_t>(value.Number());
  if (value.IsNumber() && !value.IsFloat()) return value.Integer();
  const std::string text = StripText(value.Text(), nullptr, true, true);
  int64_t parsed = 0;
  const auto end = text.data() + text.size();
  if (const auto result = std::from_chars(text.data(), end, parsed);
      result.ec == std::errc() && result.ptr == end) {
    return parsed;
  }
  return call.Integer(1, "default", 0);
}

JinjaValue ToFloat(const Call& call) {
  if (call.value().IsNumber()) return call.value().Number();
  const std::string text = StripText(call.value().Text(), nullptr, true, true);
  double parsed = 0;
  const auto end = text.data() + text.size();
  if (const auto result = std::from_chars(text.data(), end, parsed);
      result.ec == std::errc() && result.ptr == end) {
    return parsed;
  }
  const JinjaValue* fallback = call.Find(1, "default");
  return fallback ? *fallback : JinjaValue(0.0);
}

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

JinjaValue Round(const Call& call) {
  const int64_t digits = std::clamp<int64_t>(call.Integer(1, "precision", 0), -15, 15);
  const double scale = std::pow(10.0, static_cast<double>(digits)), value = call.value().Number() * scale;
  const std::string method = call.Text(2, "method", "common");
  const double whole = method == "ceil"    ? std::ceil(value)
                       : method == "floor" ? std::floor(value)
                                           : std::nearbyint(value);
  return whole / scale;
}

JinjaValue Sum(const JinjaServices& services, const Call& call) {
  const JinjaValue* attribute = call.Find(1, "attribute");
  JinjaValue total = int64_t{0};
  for (const JinjaValue& item : call.value().Elements()) {
    total = JinjaBinary(services, "+", total, attribute ? Path(services, item, attribute->Text()) : item);
  }
  return total;
}

}  // namespace

JinjaValue ApplyJinjaFilter(const JinjaServices& services, const std::string& name,
                            const JinjaList& arguments, const JinjaNamed& named) {
  const Call call(arguments, named);
  const JinjaValue& value = call.value();
  if (name == "trim") {
    const JinjaValue* set = call.Find(1, "chars");
    const std::string chars = set && set->IsString() ? set->string() : "";
    return StripText(value.Text(), set && set->IsString() ? &chars : nullptr, true, true);
  }
  if (name == "tojson") return TojsonFilter(call);
  if (name == "length" || name == "count") return Length(value);
  if (name == "default" || name == "d") {
    const JinjaValue* fallback = call.Find(1, "default_value");
    if (value.IsUndefined() || (call.Flag(2, "boolean", false) && !value.Truth())) {
      return fallback ? *fallback : JinjaValue("");
    }
    return value;
  }
  if (name == "upper") return UpperCase(value.Text());
  if (name == "lower") return LowerCase(value.Text());
  if (name == "title") return TitleCase(value.Text());
  if (name == "capitalize") return Capitalize(value.Text());
  if (name == "string") return value.Text();
  if (name == "safe") return value;
  if (name == "join") return Join(services, call);
  if (name == "selectattr") return Select(services, call, true, true);
  if (name == "rejectattr") return Select(services, call, true, false);
  if (name == "select") return Select(services, call, false, true);
  if (name == "reject") return Select(services, call, false, false);
  if (name == "map") return Map(services, call);
  if (name == "list") return JinjaValue::List(value.Elements());
  if (name == "first" || name == "last") {
    const JinjaList items = value.Elements();
    if (items.empty()) return JinjaUndefined{fmt::format("the sequence was empty, it has no {} item", name)};
    return name == "first" ? items.front() : items.back();
  }
  if (name == "items") return Items(call);
  if (name == "dictsort") return DictSort(call);
  if (name == "sort") return Sort(services, call);
  if (name == "unique") return Unique(call);
  if (name == "min") return Extreme(call, 1);
  if (name == "max") return Extreme(call, -1);
  if (name == "sum") return Sum(services, call);
  if (name == "reverse") {
    JinjaList items = value.Elements();
    std::reverse(items.begin(), items.end());
    if (!value.IsString()) return JinjaValue::List(std::move(items));
    std::string out;
    for (const JinjaValue& item : items) out += item.string();
    return out;
  }
  if (name == "replace") {
    return ReplaceText(value.Text(), call.Text(1, "old", ""), call.Text(2, "new", ""),
                       call.Integer(3, "count", -1), services.limits.text_bytes);
  }
  if (name == "indent") return Indent(services, call);
  if (name == "int") return ToInteger(call);
  if (name == "float") return ToFloat(call);
  if (name == "round") return Round(call);
  if (name == "abs") {
    if (value.IsFloat()) return std::fabs(value.Number());
    return value.Integer() < 0 ? JinjaBinary(services, "-", int64_t{0}, value) : JinjaValue(value.Integer());
  }
  if (name == "attr") return JinjaAttribute(services, value, call.Text(1, "name", ""));
  if (name == "escape" || name == "e") return Escape(value.Text());
  if (name == "split") {  // not of Jinja, but of some interpreters that templates are written for
    Fail("no filter named 'split'; use the method .split()");
  }
  Fail(
      "no filter named '{}'; known: abs, attr, capitalize, count, d, default, dictsort, e, escape, first, "
      "float, "
      "indent, int, items, join, last, length, list, lower, map, max, min, reject, rejectattr, replace, "
      "reverse, round, "
      "safe, select, selectattr, sort, string, sum, title, tojson, trim, unique, upper",
      name);
}

bool ApplyJinjaTest(const std::string& name, const JinjaList& arguments) {
  const JinjaValue& value = arguments[0];
  const auto argument = [&]() -> const JinjaValue& {
    if (arguments.size() < 2) Fail("the test '{}' needs an argument", name);
    return arguments[1];
  };
  if (name == "defined") return !value.IsUndefined();
  if (name == "undefined") return value.IsUndefined();
  if (name == "none") return value.IsNone();
  if (name == "string") return value.IsString();
  if (name == "mapping") return value.IsDict();
  if (name == "sequence")
    return value.IsSequence() || value.IsString() || value.IsDict() || value.IsUndefined();
  if (name == "iterable")
    return value.IsSequence() || value.IsString() || value.IsDict() || value.IsUndefined();
  if (name == "number") return value.IsNumber();
  if (name == "integer") return value.IsInteger();
  if (name == "float") return value.IsFloat();
  if (name == "boolean") return value.IsBool();
  if (name == "true") return value.IsBool() && value.Truth();
  if (name == "false") return value.IsBool() && !value.Truth();
  if (name == "callable") return value.IsCallable();
  if (name == "odd") return value.Integer() % 2 != 0;
  if (name == "even") return value.Integer() % 2 == 0;
  if (name == "divisibleby") {
    if (argument().Integer() == 0) Fail("division by zero");
    return argument().Integer() == -1 || value.Integer() % argument().Integer() == 0;
  }
  if (name == "equalto" || name == "eq" || name == "==") return value == argument();
  if (name == "ne" || name == "!=") return !(value == argument());
  if (name == "sameas") {
    const JinjaValue& other = argument();
    return std::string_view(value.TypeName()) == other.TypeName() && value == other;
  }
  if (name == "lt" || name == "lessthan" || name == "<") return JinjaValue::Compare(value, argument()) < 0;
  if (name == "le" || name == "<=") return JinjaValue::Compare(value, argument()) <= 0;
  if (name == "gt" || name == "greaterthan" || name == ">") return JinjaValue::Compare(value, argument()) > 0;
  if (name == "ge" || name == ">=") return JinjaValue::Compare(value, argument()) >= 0;
  if (name == "in") return JinjaValue::In(value, argument());
  if (name == "lower")
    return LowerCase(value.Text()) == value.Text() && UpperCase(value.Text()) != value.Text();
  if (name == "upper")
    return UpperCase(value.Text()) == value.Text() && LowerCase(value.Text()) != value.Text();
  Fail(
      "no test named '{}'; known: boolean, callable, defined, divisibleby, eq, equalto, even, false, float, "
      "ge, gt, in, "
      "integer, iterable, le, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string, true, "
      "undefined, "
      "upper",
      name);
}

}  // namespace lowbit
