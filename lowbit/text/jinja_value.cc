#include "lowbit/text/jinja_value.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

constexpr size_t kMaxItems = 1'000'000;

JinjaValue FromJsonAt(const nlohmann::ordered_json& json, int depth) {
  if (depth > JinjaValue::kMaxDepth)
    Fail("chat template: a value nested more than {} deep", JinjaValue::kMaxDepth);
  if (json.is_string()) return json.get_ref<const std::string&>();
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX)
    return static_cast<double>(json.get<uint64_t>());
  if (json.is_number()) return json.get<int64_t>();
  if (json.is_array()) {
    JinjaList items;
    items.reserve(json.size());
    for (const auto& item : json) items.push_back(FromJsonAt(item, depth + 1));
    return JinjaValue::List(std::move(items));
  }
  if (json.is_object()) {
    JinjaItems items;
    items.reserve(json.size());
    for (const auto& [key, value] : json.items()) items.emplace_back(key, FromJsonAt(value, depth + 1));
    return JinjaValue::Dict(std::move(items));
  }
  return JinjaNone{};
}

void CheckSize(int depth, size_t weight) {
  if (depth > JinjaValue::kMaxDepth) Fail("a value nested more than {} deep", JinjaValue::kMaxDepth);
  if (weight > JinjaValue::kMaxWeight) Fail("a value of more than {} bytes", JinjaValue::kMaxWeight);
}

bool IsPrintable(char32_t point) {
  if (point < 0x80) return point >= 0x20 && point < 0x7F;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(point));
  return category >= UTF8PROC_CATEGORY_LU && category < UTF8PROC_CATEGORY_ZS;
}

std::string ReprString(std::string_view text) {
  const bool double_quoted =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const char32_t c = step.point;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(0, step.length);
    } else {
      const auto code = static_cast<uint32_t>(c);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
    text.remove_prefix(step.length);
  }
  return out + quote;
}

void JsonString(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const auto c = static_cast<uint32_t>(step.point);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (c < 0x20 || (ascii && c >= 0x7F && c < 0x10000 && c != 0x7F)) {
          out += fmt::format("\\u{:04x}", c);
        } else if (ascii && c >= 0x10000) {
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
        } else {
          out += text.substr(0, step.length);
        }
    }
    text.remove_prefix(step.length);
  }
  out += '"';
}

void JsonAppend(std::string& out, const JinjaValue& value, const JsonStyle& style, int level) {
  const auto line = [&](int at) {
    if (style.indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(style.indent) * static_cast<size_t>(at), ' ');
  };
  // With an indentation Python drops the space behind the comma.
  const std::string separator =
      style.indent >= 0 && style.item_separator == ", " ? "," : style.item_separator;
  if (value.IsNone()) {
    out += "null";
  } else if (value.IsBool()) {
    out += value.Truth() ? "true" : "false";
  } else if (value.IsInteger()) {
    out += fmt::format("{}", value.Integer());
  } else if (value.IsFloat()) {
    const double number = value.Number();
    out += std::isnan(number)   ? "NaN"
           : std::isinf(number) ? (number > 0 ? "Infinity" : "-Infinity")
                                : FloatText(number);
  } else if (value.IsString()) {
    JsonString(out, value.string(), style.ensure_ascii);
  } else if (value.IsSequence()) {
    out += '[';
    bool first = true;
    for (const JinjaValue& item : value.items()) {
      if (!first) out += separator;
      first = false;
      line(level + 1);
      JsonAppend(out, item, style, level + 1);
    }
    if (!first) line(level);
    out += ']';
  } else if (value.IsDict()) {
    JinjaItems items = value.dict().items;
    if (style.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
        return JinjaValue::Compare(a.first, b.first) < 0;
      });
    }
    out += '{';
    bool first = true;
    for (const auto& [key, item] : items) {
      if (!first) out += separator;
      first = false;
      line(level + 1);
      if (key.IsString()) {
        JsonString(out, key.string(), style.ensure_ascii);
      } else if (key.IsNone() || key.IsNumber()) {
        std::string text;
        JsonAppend(text, key, style, 0);
        JsonString(out, text, true);
      } else {
        Fail("tojson: keys should be strings or numbers, not {}", key.TypeName());
      }
      out += style.key_separator;
      JsonAppend(out, item, style, level + 1);
    }
    if (!first) line(level);
    out += '}';
  } else {
    Fail("tojson: a value of type {} has no JSON form", value.TypeName());
  }
}

}  // namespace

JinjaValue JinjaValue::MakeSequence(JinjaList items, bool tuple) {
  if (items.size() > kMaxItems) Fail("a list of {} items; at most {}", items.size(), kMaxItems);
  int depth = 1;
  size_t weight = 1;
  for (const JinjaValue& item : items) {
    if (item.IsNamespace()) Fail("a list cannot hold a namespace");
    depth = std::max(depth, 1 + item.depth());
    weight += item.weight();
  }
  CheckSize(depth, weight);
  JinjaValue out;
  out.value_ = std::make_shared<const JinjaSequence>(JinjaSequence{std::move(items), tuple, depth, weight});
  return out;
}

JinjaValue JinjaValue::List(JinjaList items) {
  return MakeSequence(std::move(items), false);
}

JinjaValue JinjaValue::Tuple(JinjaList items) {
  return MakeSequence(std::move(items), true);
}

JinjaValue JinjaValue::Dict(JinjaItems items) {
  JinjaItems unique;
  unique.reserve(items.size());
  int depth = 1;
  size_t weight = 1;
  const bool small = items.size() <= 64;  // inputs from JSON have no equal keys; literals are short
  for (auto& [key, value] : items) {
    if (key.IsSequence() && !key.IsTuple()) Fail("a list cannot be the key of a dictionary");
    if (key.IsDict()) Fail("a dictionary cannot be the key of a dictionary");
    if (value.IsNamespace()) Fail("a dictionary cannot hold a namespace");
    depth = std::max({depth, 1 + value.depth(), 1 + key.depth()});
    weight += key.weight() + value.weight();
    const auto found = small ? std::find_if(unique.begin(), unique.end(),
                                            [&wanted = key](const auto& e) { return e.first == wanted; })
                             : unique.end();
    if (found != unique.end()) {
      found->second = std::move(value);
    } else {
      unique.emplace_back(std::move(key), std::move(value));
    }
  }
  CheckSize(depth, weight);
  JinjaValue out;
  out.value_ = std::make_shared<const JinjaDict>(JinjaDict{std::move(unique), depth, weight});
  return out;
}

JinjaValue JinjaValue::Namespace(JinjaNamed items) {
  JinjaValue out;
  out.value_ = std::make_shared<JinjaNamespace>(JinjaNamespace{std::move(items)});
  return out;
}

JinjaValue JinjaValue::Callable(std::string name,
                                std::function<JinjaValue(const JinjaList&, const JinjaNamed&)> call) {
  JinjaValue out;
  out.value_ = std::make_shared<const JinjaCallable>(JinjaCallable{std::move(name), std::move(call)});
  return out;
}

JinjaValue JinjaValue::FromJson(const nlohmann::ordered_json& json) {
  return FromJsonAt(json, 0);
}

int JinjaValue::depth() const {
  if (IsSequence()) return sequence().depth;
  if (IsDict()) return dict().depth;
  return 0;
}

size_t JinjaValue::weight() const {
  if (IsString()) return 1 + string().size();
  if (IsSequence()) return sequence().weight;
  if (IsDict()) return dict().weight;
  return 1;
}

bool JinjaValue::Truth() const {
  if (IsUndefined() || IsNone()) return false;
  if (IsBool()) return std::get<bool>(value_);
  if (IsInteger()) return std::get<int64_t>(value_) != 0;
  if (IsFloat()) return std::get<double>(value_) != 0;
  if (IsString()) return !string().empty();
  if (IsSequence()) return !items().empty();
  if (IsDict()) return !dict().items.empty();
  return true;
}

int64_t JinjaValue::Integer() const {
  if (IsBool()) return std::get<bool>(value_) ? 1 : 0;
  if (IsInteger()) return std::get<int64_t>(value_);
  Fail("an integer is needed here, not a value of type {}", TypeName());
}

double JinjaValue::Number() const {
  if (IsFloat()) return std::get<double>(value_);
  return static_cast<double>(Integer());
}

const char* JinjaValue::TypeName() const {
  if (IsUndefined()) return "undefined";
  if (IsNone()) return "NoneType";
  if (IsBool()) return "bool";
  if (IsInteger()) return "int";
  if (IsFloat()) return "float";
  if (IsString()) return "str";
  if (IsSequence()) return IsTuple() ? "tuple" : "list";
  if (IsDict()) return "dict";
  if (IsNamespace()) return "namespace";
  return "function";
}

std::string JinjaValue::Text() const {
  if (IsString()) return string();
  if (IsUndefined()) return "";
  return Repr();
}

std::string JinjaValue::Repr() const {
  if (IsUndefined()) return "Undefined";
  if (IsNone()) return "None";
  if (IsBool()) return Truth() ? "True" : "False";
  if (IsInteger()) return fmt::format("{}", Integer());
  if (IsFloat()) return FloatText(Number());
  if (IsString()) return ReprString(string());
  std::string out;
  if (IsSequence()) {
    for (const JinjaValue& item : items()) out += (out.empty() ? "" : ", ") + item.Repr();
    if (!IsTuple()) return "[" + out + "]";
    return "(" + out + (items().size() == 1 ? ",)" : ")");
  }
  if (IsDict()) {
    for (const auto& [key, value] : dict().items) {
      out += (out.empty() ? "" : ", ") + key.Repr() + ": " + value.Repr();
    }
    return "{" + out + "}";
  }
  if (IsNamespace()) return "<Namespace>";
  return fmt::format("<function {}>", callable().name);
}

const JinjaValue* JinjaValue::Find(const JinjaValue& key) const {
  if (IsNamespace()) return key.IsString() ? Find(std::string_view(key.string())) : nullptr;
  if (!IsDict()) return nullptr;
  for (const auto& [name, value] : dict().items) {
    if (name == key) return &value;
  }
  return nullptr;
}

const JinjaValue* JinjaValue::Find(std::string_view key) const {
  if (IsNamespace()) {
    for (const auto& [name, value] : name_space().items) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  if (!IsDict()) return nullptr;
  for (const auto& [name, value] : dict().items) {
    if (name.IsString() && name.string() == key) return &value;
  }
  return nullptr;
}

JinjaList JinjaValue::Elements() const {
  JinjaList out;
  if (IsUndefined()) return out;
  if (IsSequence()) return items();
  if (IsDict()) {
    for (const auto& [key, value] : dict().items) out.push_back(key);
    return out;
  }
  if (IsString()) {
    for (std::string& point : SplitPoints(string())) out.emplace_back(std::move(point));
    return out;
  }
  Fail("a value of type {} cannot be iterated over", TypeName());
}

bool operator==(const JinjaValue& a, const JinjaValue& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsFloat() || b.IsFloat()) return a.Number() == b.Number();
    return a.Integer() == b.Integer();
  }
  if (a.IsString() && b.IsString()) return a.string() == b.string();
  if (a.IsNone() || a.IsUndefined()) return a.value_.index() == b.value_.index();
  if (a.IsSequence() && b.IsSequence()) {
    return a.IsTuple() == b.IsTuple() &&
           std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end());
  }
  if (a.IsDict() && b.IsDict()) {
    if (a.dict().items.size() != b.dict().items.size()) return false;
    return std::all_of(a.dict().items.begin(), a.dict().items.end(), [&](const auto& entry) {
      const JinjaValue* other = b.Find(entry.first);
      return other && entry.second == *other;
    });
  }
  if (a.IsNamespace() && b.IsNamespace()) return &a.name_space() == &b.name_space();
  if (a.IsCallable() && b.IsCallable()) return &a.callable() == &b.callable();
  return false;
}

int JinjaValue::Compare(const JinjaValue& a, const JinjaValue& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsFloat() || b.IsFloat()) return a.Number() < b.Number() ? -1 : a.Number() > b.Number() ? 1 : 0;
    return a.Integer() < b.Integer() ? -1 : a.Integer() > b.Integer() ? 1 : 0;
  }
  if (a.IsString() && b.IsString()) {  // UTF-8 sorts like code points
    const int order = a.string().compare(b.string());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.IsSequence() && b.IsSequence()) {
    for (size_t i = 0; i < std::min(a.items().size(), b.items().size()); ++i) {
      if (!(a.items()[i] == b.items()[i])) return Compare(a.items()[i], b.items()[i]);
    }
    return a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size() ? 1 : 0;
  }
  Fail("values of types {} and {} have no order", a.TypeName(), b.TypeName());
}

bool JinjaValue::In(const JinjaValue& a, const JinjaValue& b) {
  if (b.IsString()) {
    if (!a.IsString()) Fail("'in' a string needs a string before it, not a value of type {}", a.TypeName());
    return b.string().find(a.string()) != std::string::npos;
  }
  if (b.IsDict()) return b.Find(a) != nullptr;
  if (b.IsSequence()) return std::find(b.items().begin(), b.items().end(), a) != b.items().end();
  if (b.IsUndefined()) return false;
  Fail("'in' needs a list, a dictionary or a string, not a value of type {}", b.TypeName());
}

std::string ToJson(const JinjaValue& value, const JsonStyle& style) {
  std::string out;
  JsonAppend(out, value, style, 0);
  return out;
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  // The shortest digits that read back; Python writes them plainly for exponents -4 to 15.
  const double size = std::fabs(value);
  const bool plain = value == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  std::string out(buffer, end);
  if (plain && out.find('.') == std::string::npos) out += ".0";
  return out;
}

int64_t CountPoints(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

std::vector<std::string> SplitPoints(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const uint32_t length = NextUtf8(text).length;
    out.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace lowbit
