// Operators, look-ups and slices of the template language.
#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_interpreter.h"

namespace lowbit {
namespace {

constexpr size_t kMaxItems = 1'000'000;

[[noreturn]] void BadOperands(const std::string& op, const JinjaValue& a, const JinjaValue& b) {
  for (const JinjaValue* side : {&a, &b}) {
    if (side->IsUndefined()) Fail("{}", side->undefined_name());
  }
  Fail("'{}' is not defined for values of types {} and {}", op, a.TypeName(), b.TypeName());
}

JinjaValue Arithmetic(const std::string& op, const JinjaValue& a, const JinjaValue& b) {
  if (op == "/" || op == "//" || op == "%") {
    if (b.Number() == 0) Fail("division by zero");
  }
  if (a.IsFloat() || b.IsFloat() || op == "/") {
    const double x = a.Number(), y = b.Number();
    if (op == "+") return x + y;
    if (op == "-") return x - y;
    if (op == "*") return x * y;
    if (op == "/") return x / y;
    if (op == "//") return std::floor(x / y);
    if (op == "%") return x - y * std::floor(x / y);
    return std::pow(x, y);
  }
  const int64_t x = a.Integer(), y = b.Integer();
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(x, y, &result);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(x, y, &result);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(x, y, &result);
  } else if (op == "**") {
    if (y < 0) return std::pow(static_cast<double>(x), static_cast<double>(y));
    result = 1;
    for (int64_t i = 0; i < y && !overflow && (x > 1 || x < -1 || i == 0); ++i) {
      overflow = __builtin_mul_overflow(result, x, &result);
    }
    if (x == -1 && y % 2 == 0) result = 1;
  } else if (y == -1) {
    overflow = op == "//" && __builtin_sub_overflow(int64_t{0}, x, &result);
  } else {  // both round down, as in Python
    int64_t quotient = x / y;
    if (x % y != 0 && ((x < 0) != (y < 0))) --quotient;
    result = op == "//" ? quotient : x - quotient * y;
  }
  if (overflow) Fail("the result of '{}' does not fit into 64 bits", op);
  return result;
}

JinjaValue Repeat(const JinjaServices& services, const JinjaValue& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  const size_t size = value.IsString() ? value.string().size() : value.items().size();
  const size_t limit = value.IsString() ? services.limits.text_bytes : kMaxItems;
  if (size != 0 && static_cast<uint64_t>(count) > limit / size)
    Fail("'*' makes more than {} elements", limit);
  if (value.IsString()) {
    std::string out;
    for (int64_t i = 0; i < count && size != 0; ++i) out += value.string();
    return out;
  }
  JinjaList out;
  for (int64_t i = 0; i < count && size != 0; ++i)
    out.insert(out.end(), value.items().begin(), value.items().end());
  return value.IsTuple() ? JinjaValue::Tuple(std::move(out)) : JinjaValue::List(std::move(out));
}

std::string Concatenate(const JinjaServices& services, const std::string& a, const std::string& b) {
  if (a.size() + b.size() > services.limits.text_bytes) {
    Fail("a string of more than {} bytes", services.limits.text_bytes);
  }
  return a + b;
}

// '%s' % value: the conversions %s, %d and %%.
std::string Percent(const std::string& format, const JinjaValue& value) {
  const JinjaList arguments = value.IsTuple() ? value.items() : JinjaList{value};
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const char kind = i + 1 < format.size() ? format[++i] : ' ';
    if (kind == '%') {
      out += '%';
    } else if (kind == 's' || kind == 'd') {
      if (next == arguments.size()) Fail("'%' needs more values than the {} given", arguments.size());
      const JinjaValue& argument = arguments[next++];
      out += kind == 's' ? argument.Text() : fmt::format("{}", argument.Integer());
    } else {
      Fail("'%': the conversion '%{}' is not supported; known: %s, %d, %%", kind);
    }
  }
  return out;
}

}  // namespace

JinjaValue JinjaBinary(const JinjaServices& services, const std::string& op, const JinjaValue& a,
                       const JinjaValue& b) {
  if (op == "~") return Concatenate(services, a.Text(), b.Text());
  if (a.IsNumber() && b.IsNumber()) return Arithmetic(op, a, b);
  if (op == "+" && a.IsString() && b.IsString()) return Concatenate(services, a.string(), b.string());
  if (op == "+" && a.IsSequence() && b.IsSequence() && a.IsTuple() == b.IsTuple()) {
    if (a.items().size() + b.items().size() > kMaxItems) Fail("a list of more than {} items", kMaxItems);
    JinjaList out = a.items();
    out.insert(out.end(), b.items().begin(), b.items().end());
    return a.IsTuple() ? JinjaValue::Tuple(std::move(out)) : JinjaValue::List(std::move(out));
  }
  const auto repeatable = [](const JinjaValue& v) { return v.IsString() || v.IsSequence(); };
  const auto whole = [](const JinjaValue& v) { return v.IsInteger() || v.IsBool(); };
  if (op == "*" && repeatable(a) && whole(b)) return Repeat(services, a, b.Integer());
  if (op == "*" && repeatable(b) && whole(a)) return Repeat(services, b, a.Integer());
  if (op == "%" && a.IsString()) return Percent(a.string(), b);
  BadOperands(op, a, b);
}

JinjaValue JinjaItem(const JinjaServices& services, const JinjaValue& object, const JinjaValue& key) {
  if (object.IsUndefined()) Fail("{}", object.undefined_name());
  if (object.IsDict()) {
    if (const JinjaValue* found = object.Find(key)) return *found;
  }
  if ((object.IsSequence() || object.IsString()) && (key.IsInteger() || key.IsBool())) {
    int64_t index = key.Integer();
    if (object.IsString()) {
      const std::vector<std::string> points = SplitPoints(object.string());
      if (index < 0) index += static_cast<int64_t>(points.size());
      if (index >= 0 && index < static_cast<int64_t>(points.size()))
        return points[static_cast<size_t>(index)];
    } else {
      const auto size = static_cast<int64_t>(object.items().size());
      if (index < 0) index += size;
      if (index >= 0 && index < size) return object.items()[static_cast<size_t>(index)];
    }
    return JinjaUndefined{fmt::format("{} has no element {}", object.TypeName(), key.Integer())};
  }
  if (key.IsString()) {
    if (object.IsNamespace()) {
      if (const JinjaValue* found = object.Find(key)) return *found;
    }
    JinjaValue method = FindJinjaMethod(services, object, key.string());
    if (!method.IsUndefined()) return method;
  }
  return JinjaUndefined{fmt::format("'{} object' has no attribute {}", object.TypeName(), key.Repr())};
}

JinjaValue JinjaAttribute(const JinjaServices& services, const JinjaValue& object, const std::string& name) {
  if (object.IsUndefined()) Fail("{}", object.undefined_name());
  if (object.IsNamespace()) {
    if (const JinjaValue* found = object.Find(std::string_view(name))) return *found;
  }
  JinjaValue method = FindJinjaMethod(services, object, name);
  if (!method.IsUndefined()) return method;
  if (const JinjaValue* found = object.Find(std::string_view(name))) return *found;
  return JinjaUndefined{fmt::format("'{} object' has no attribute '{}'", object.TypeName(), name)};
}

JinjaValue JinjaSlice(const JinjaValue& object, const JinjaValue& begin, const JinjaValue& end,
                      const JinjaValue& step) {
  if (object.IsUndefined()) Fail("{}", object.undefined_name());
  if (!object.IsSequence() && !object.IsString())
    Fail("a value of type {} cannot be sliced", object.TypeName());
  const bool text = object.IsString();
  const std::vector<std::string> points = text ? SplitPoints(object.string()) : std::vector<std::string>();
  const auto size = static_cast<int64_t>(text ? points.size() : object.items().size());
  const int64_t stride = step.IsNone() ? 1 : step.Integer();
  if (stride == 0) Fail("the step of a slice is zero");
  // Where Python puts a bound: negative ones count from the end, then they are clipped.
  const auto bound = [&](const JinjaValue& value, int64_t fallback) {
    if (value.IsNone()) return fallback;
    int64_t at = value.Integer();
    if (at < 0) at = std::max(at, -size - 1) + size;
    return stride > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t first = bound(begin, stride > 0 ? 0 : size - 1), last = bound(end, stride > 0 ? size : -1);
  std::string out_text;
  JinjaList out;
  for (int64_t at = first; stride > 0 ? at < last : at > last;) {
    if (text) {
      out_text += points[static_cast<size_t>(at)];
    } else {
      out.push_back(object.items()[static_cast<size_t>(at)]);
    }
    if (__builtin_add_overflow(at, stride, &at)) break;
  }
  if (text) return out_text;
  return object.IsTuple() ? JinjaValue::Tuple(std::move(out)) : JinjaValue::List(std::move(out));
}

}  // namespace lowbit
