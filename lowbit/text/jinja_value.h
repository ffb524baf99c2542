// Values of the template language: Python's, as far as chat templates use them.
//
// Strings are UTF-8 and count in code points. Lists and dictionaries are shared and immutable, as in the
// sandbox that Hugging Face renders templates in; a namespace is the only thing that changes. Nesting is at
// most kMaxDepth, so that no recursion over a value can exhaust the stack.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lowbit {

class JinjaValue;
using JinjaList = std::vector<JinjaValue>;
using JinjaItems = std::vector<std::pair<JinjaValue, JinjaValue>>;  // a dictionary in order of insertion
using JinjaNamed = std::vector<std::pair<std::string, JinjaValue>>;

struct JinjaUndefined {
  std::string name;  // what was looked for, for messages
};
struct JinjaNone {};
struct JinjaSequence {
  JinjaList items;
  bool tuple = false;
  int depth = 1;
  size_t weight = 1;
};
struct JinjaDict {
  JinjaItems items;
  int depth = 1;
  size_t weight = 1;
};
struct JinjaNamespace {
  JinjaNamed items;
};
struct JinjaCallable {
  std::string name;
  std::function<JinjaValue(const JinjaList&, const JinjaNamed&)> call;
};

class JinjaValue {
 public:
  static constexpr int kMaxDepth = 100;
  static constexpr size_t kMaxWeight = 1 << 26;

  JinjaValue() : value_(JinjaUndefined{}) {}
  JinjaValue(JinjaUndefined value) : value_(std::move(value)) {}
  JinjaValue(JinjaNone value) : value_(value) {}
  JinjaValue(bool value) : value_(value) {}
  JinjaValue(int64_t value) : value_(value) {}
  JinjaValue(double value) : value_(value) {}
  JinjaValue(std::string value) : value_(std::make_shared<const std::string>(std::move(value))) {}
  JinjaValue(const char* value) : JinjaValue(std::string(value)) {}
  static JinjaValue List(JinjaList items);
  static JinjaValue Tuple(JinjaList items);
  // Later entries of an equal key replace the value of the earlier one. Throws Error on keys that cannot be
  // hashed.
  static JinjaValue Dict(JinjaItems items);
  static JinjaValue Namespace(JinjaNamed items);
  static JinjaValue Callable(std::string name,
                             std::function<JinjaValue(const JinjaList&, const JinjaNamed&)> call);
  static JinjaValue FromJson(const nlohmann::ordered_json& json);

  bool IsUndefined() const { return std::holds_alternative<JinjaUndefined>(value_); }
  bool IsNone() const { return std::holds_alternative<JinjaNone>(value_); }
  bool IsBool() const { return std::holds_alternative<bool>(value_); }
  bool IsInteger() const { return std::holds_alternative<int64_t>(value_); }  // not of a bool
  bool IsFloat() const { return std::holds_alternative<double>(value_); }
  bool IsNumber() const { return IsInteger() || IsFloat() || IsBool(); }
  bool IsString() const { return std::holds_alternative<std::shared_ptr<const std::string>>(value_); }
  bool IsSequence() const { return std::holds_alternative<std::shared_ptr<const JinjaSequence>>(value_); }
  bool IsTuple() const { return IsSequence() && sequence().tuple; }
  bool IsDict() const { return std::holds_alternative<std::shared_ptr<const JinjaDict>>(value_); }
  bool IsNamespace() const { return std::holds_alternative<std::shared_ptr<JinjaNamespace>>(value_); }
  bool IsCallable() const { return std::holds_alternative<std::shared_ptr<const JinjaCallable>>(value_); }

  const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(value_); }
  const JinjaSequence& sequence() const { return *std::get<std::shared_ptr<const JinjaSequence>>(value_); }
  const JinjaList& items() const { return sequence().items; }
  const JinjaDict& dict() const { return *std::get<std::shared_ptr<const JinjaDict>>(value_); }
  JinjaNamespace& name_space() const { return *std::get<std::shared_ptr<JinjaNamespace>>(value_); }
  const JinjaCallable& callable() const { return *std::get<std::shared_ptr<const JinjaCallable>>(value_); }
  const std::string& undefined_name() const { return std::get<JinjaUndefined>(value_).name; }

  size_t weight() const;  // bytes of text and number of items, all levels together
  bool Truth() const;
  int64_t Integer() const;  // of a bool or integer; throws Error on others
  double Number() const;    // of any number
  // "str", "int", "dict", … as Python names the type.
  const char* TypeName() const;

  std::string Text() const;  // Python's str(); undefined is empty
  std::string Repr() const;  // Python's repr()

  // Entry of a dictionary or namespace, nullptr when absent.
  const JinjaValue* Find(const JinjaValue& key) const;
  const JinjaValue* Find(std::string_view key) const;

  // The elements that a loop over the value sees: items, keys, characters, nothing of undefined. Throws
  // Error.
  JinjaList Elements() const;

  friend bool operator==(const JinjaValue& a, const JinjaValue& b);
  // Python's ordering; throws Error for types that have none.
  static int Compare(const JinjaValue& a, const JinjaValue& b);
  // b contains a.
  static bool In(const JinjaValue& a, const JinjaValue& b);

 private:
  static JinjaValue MakeSequence(JinjaList items, bool tuple);
  int depth() const;

  std::variant<JinjaUndefined, JinjaNone, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const JinjaSequence>, std::shared_ptr<const JinjaDict>,
               std::shared_ptr<JinjaNamespace>, std::shared_ptr<const JinjaCallable>>
      value_;
};

// json.dumps of Python. indent < 0: one line.
struct JsonStyle {
  int indent = -1;
  bool ensure_ascii = false, sort_keys = false;
  std::string item_separator = ", ", key_separator = ": ";
};
std::string ToJson(const JinjaValue& value, const JsonStyle& style);

std::string FloatText(double value);  // Python's repr of a float

// Strings by code points.
int64_t CountPoints(std::string_view text);
std::vector<std::string> SplitPoints(std::string_view text);

}  // namespace lowbit
