// Templates as trees, and the reader that makes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lowbit/text/jinja_value.h"

namespace lowbit {

struct JinjaExpression;
using JinjaExpressionPtr = std::unique_ptr<const JinjaExpression>;

struct JinjaExpression {
  enum Kind : uint8_t {
    kConstant,   // value
    kName,       // name
    kAttribute,  // parts[0].name
    kSubscript,  // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1] : parts[2] : parts[3]], any of 1 to 3 may be null
    kCall,       // parts[0](parts[1…], named…)
    kFilter,     // parts[0] | name(parts[1…], named…)
    kTest,       // parts[0] is name(parts[1…])
    kNot,        // parts[0]
    kNegative,
    kPositive,
    kAnd,  // parts[0], parts[1]
    kOr,
    kBinary,     // name is the operator: + - * / // % ** ~
    kCompare,    // parts[0] op parts[1] op …; operators in `operators`
    kCondition,  // parts[0] if parts[1] else parts[2] (may be null)
    kList,
    kTuple,
    kDict,  // parts: key, value, key, value …
  } kind = kConstant;
  int line = 0;
  int depth = 1;
  std::string name;
  JinjaValue value;
  std::vector<JinjaExpressionPtr> parts;
  std::vector<std::pair<std::string, JinjaExpressionPtr>> named;
  std::vector<std::string> operators;
};

struct JinjaStatement;
using JinjaBlock = std::vector<JinjaStatement>;

struct JinjaStatement {
  enum Kind : uint8_t {
    kText,      // text
    kPrint,     // expression
    kIf,        // conditions and bodies; one body more than conditions: else
    kFor,       // targets in expression if condition: body, else otherwise
    kSet,       // target = expression
    kSetBlock,  // targets[0] = body, through filters
    kMacro,     // name(parameters): body
    kFilter,    // body through filters
    kGroup,     // body (generation)
    kBreak,
    kContinue,
  } kind = kText;
  int line = 0;
  std::string text;                  // also a macro's name
  std::vector<std::string> targets;  // names; "ns.attribute" in a set
  JinjaExpressionPtr expression, condition;
  std::vector<JinjaExpressionPtr> conditions;
  std::vector<JinjaBlock> bodies;
  JinjaBlock otherwise;
  std::vector<std::pair<std::string, JinjaExpressionPtr>> parameters;  // default or null
};

// Reads a template with trim_blocks and lstrip_blocks. Throws Error naming the line and the construct.
JinjaBlock ParseJinja(std::string_view source);

// One token inside {{ }} or {% %}, or the text between tags.
struct JinjaToken {
  enum Kind : uint8_t {
    kText,
    kPrintBegin,
    kPrintEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  } kind = kEnd;
  std::string text;  // operators and names as written, strings decoded
  int line = 0;
};
std::vector<JinjaToken> LexJinja(std::string_view source);

}  // namespace lowbit
