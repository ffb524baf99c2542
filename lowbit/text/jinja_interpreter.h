// Runs a template.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "lowbit/text/jinja_syntax.h"

namespace lowbit {

// Templates come from downloaded files: each limit stops one way of never ending.
struct JinjaLimits {
  int64_t steps = 2'000'000;  // statements and expressions; an operand of n bytes or items counts n / 32 more
  size_t text_bytes = 32 << 20;  // of the output and of any string
  int calls = 60;                // macros within macros
};

struct JinjaContext {
  JinjaNamed variables;
  std::tm now = {};  // for strftime_now
  JinjaLimits limits;
};

// Throws Error naming the line and the construct; raise_exception() of the template throws its message.
std::string RunJinja(const JinjaBlock& program, const JinjaContext& context);

// What filters, tests and methods may use.
struct JinjaServices {
  JinjaLimits limits;
  std::tm now;
};
JinjaValue ApplyJinjaFilter(const JinjaServices& services, const std::string& name,
                            const JinjaList& arguments,
                            const JinjaNamed& named);  // arguments[0] is the value
bool ApplyJinjaTest(const std::string& name, const JinjaList& arguments);
// A method of a string, list, dictionary or loop, bound to `object`; undefined when there is none.
JinjaValue FindJinjaMethod(const JinjaServices& services, const JinjaValue& object, const std::string& name);
// range, dict, namespace, raise_exception, strftime_now.
JinjaNamed JinjaGlobals(const JinjaServices& services);
// object.name and object[key]: undefined when absent. Throws Error on attributes of undefined.
JinjaValue JinjaAttribute(const JinjaServices& services, const JinjaValue& object, const std::string& name);
JinjaValue JinjaItem(const JinjaServices& services, const JinjaValue& object, const JinjaValue& key);
JinjaValue JinjaSlice(const JinjaValue& object, const JinjaValue& begin, const JinjaValue& end,
                      const JinjaValue& step);
JinjaValue JinjaBinary(const JinjaServices& services, const std::string& op, const JinjaValue& a,
                       const JinjaValue& b);

}  // namespace lowbit
