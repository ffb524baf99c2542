#include "lowbit/text/jinja_interpreter.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

using Expression = JinjaExpression;
using Statement = JinjaStatement;

// An error that already says where it happened.
class LocatedError : public Error {
 public:
  using Error::Error;
};

// Names of one level; lookups go outwards.
struct Scope {
  explicit Scope(std::shared_ptr<Scope> outer_scope) : outer(std::move(outer_scope)) {}
  std::shared_ptr<Scope> outer;
  JinjaNamed names;

  const JinjaValue* Find(std::string_view name) const {
    for (const Scope* scope = this; scope; scope = scope->outer.get()) {
      for (const auto& [key, value] : scope->names) {
        if (key == name) return &value;
      }
    }
    return nullptr;
  }
  void Set(const std::string& name, JinjaValue value) {
    for (auto& [key, old] : names) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    names.emplace_back(name, std::move(value));
  }
};

enum class Flow : uint8_t { kNext, kBreak, kContinue };

class Interpreter {
 public:
  explicit Interpreter(const JinjaContext& context)
      : services_{context.limits, context.now}, scope_(std::make_shared<Scope>(nullptr)) {
    for (auto& [name, value] : JinjaGlobals(services_)) scope_->Set(name, std::move(value));
    for (const auto& [name, value] : context.variables) scope_->Set(name, value);
  }
  ~Interpreter() { scope_->names.clear(); }
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string Run(const JinjaBlock& program) {
    std::string out;
    RunBlock(program, out);
    return out;
  }

 private:
  void Step(size_t work = 1) {
    steps_ += static_cast<int64_t>(work);
    if (steps_ > services_.limits.steps)
      Fail("more than {} steps: the template does not end", services_.limits.steps);
  }
  void Emit(std::string& out, std::string_view text) const {
    if (out.size() + text.size() > services_.limits.text_bytes) {
      Fail("the output exceeds {} bytes", services_.limits.text_bytes);
    }
    out += text;
  }

  struct Deeper {  // bounds the recursion over trees and calls together
    explicit Deeper(int& value) : depth(value) {
      if (++depth > 800) {
        --depth;
        Fail("nested too deep");
      }
    }
    ~Deeper() { --depth; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    int& depth;
  };

  // Runs `body` and adds line and construct to an error that lacks them.
  template <typename Body>
  static auto Located(int line, std::string_view construct, const Body& body) {
    try {
      return body();
    } catch (const LocatedError&) {
      throw;
    } catch (const Error& error) {
      throw LocatedError(fmt::format("chat template, line {}, in '{}': {}", line, construct, error.what()));
    }
  }

  // ---- statements
  Flow RunBlock(const JinjaBlock& block, std::string& out) {
    for (const Statement& statement : block) {
      const Flow flow =
          Located(statement.line, Name(statement), [&] { return RunStatement(statement, out); });
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }
  static const char* Name(const Statement& statement) {
    constexpr const char* kNames[] = {"text",  "{{ }}",  "if",         "for",   "set",     "set",
                                      "macro", "filter", "generation", "break", "continue"};
    return kNames[statement.kind];
  }
  Flow RunStatement(const Statement& statement, std::string& out) {
    Step();
    const Deeper deeper(depth_);
    switch (statement.kind) {
      case Statement::kText:
        Emit(out, statement.text);
        return Flow::kNext;
      case Statement::kPrint: {
        const JinjaValue value = Evaluate(*statement.expression);
        if (value.IsString()) {
          Emit(out, value.string());
        } else {
          Emit(out, value.Text());
        }
        return Flow::kNext;
      }
      case Statement::kIf:
        for (size_t i = 0; i < statement.bodies.size(); ++i) {
          if (i == statement.conditions.size() || Evaluate(*statement.conditions[i]).Truth()) {
            return RunBlock(statement.bodies[i], out);
          }
        }
        return Flow::kNext;
      case Statement::kFor:
        return RunFor(statement, out);
      case Statement::kSet:
        Assign(statement.targets, Evaluate(*statement.expression));
        return Flow::kNext;
      case Statement::kSetBlock:
        Assign(statement.targets, Capture(statement));
        return Flow::kNext;
      case Statement::kMacro:
        scope_->Set(statement.text, Macro(statement));
        return Flow::kNext;
      case Statement::kFilter:
        Emit(out, Capture(statement).Text());
        return Flow::kNext;
      case Statement::kGroup:
        return RunBlock(statement.bodies[0], out);
      case Statement::kBreak:
        return Flow::kBreak;
      case Statement::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNext;
  }

  class Inner {  // a scope for as long as it lives
   public:
    Inner(Interpreter& interpreter, std::shared_ptr<Scope> outer)
        : interpreter_(interpreter), saved_(interpreter.scope_) {
      interpreter_.scope_ = std::make_shared<Scope>(std::move(outer));
    }
    ~Inner() { interpreter_.scope_ = saved_; }
    Inner(const Inner&) = delete;
    Inner& operator=(const Inner&) = delete;

   private:
    Interpreter& interpreter_;
    std::shared_ptr<Scope> saved_;
  };

  // The output of the body as a string, through the filters of the tag.
  JinjaValue Capture(const Statement& statement) {
    std::string text;
    {
      const Inner inner(*this, scope_);
      RunBlock(statement.bodies[0], text);
    }
    if (!statement.expression) return text;
    return ApplyChain(*statement.expression, JinjaValue(std::move(text)));
  }

  void Assign(const std::vector<std::string>& targets, const JinjaValue& value) {
    if (targets.size() == 1) return AssignOne(targets[0], value);
    const JinjaList items = value.Elements();
    if (items.size() != targets.size()) Fail("{} names for {} values", targets.size(), items.size());
    for (size_t i = 0; i < targets.size(); ++i) AssignOne(targets[i], items[i]);
  }
  void AssignOne(const std::string& target, const JinjaValue& value) {
    const size_t dot = target.find('.');
    if (dot == std::string::npos) return scope_->Set(target, value);
    const JinjaValue* object = scope_->Find(target.substr(0, dot));
    if (!object || !object->IsNamespace()) Fail("'{}' is not a namespace", target.substr(0, dot));
    if (value.IsNamespace() || value.IsCallable())
      Fail("a namespace cannot hold a value of type {}", value.TypeName());
    JinjaNamed& items = object->name_space().items;
    const std::string name = target.substr(dot + 1);
    for (auto& [key, old] : items) {
      if (key == name) {
        old = value;
        return;
      }
    }
    items.emplace_back(name, value);
  }

  Flow RunFor(const Statement& statement, std::string& out) {
    JinjaList items = Evaluate(*statement.expression).Elements();
    if (statement.condition) {
      JinjaList kept;
      for (JinjaValue& item : items) {
        const Inner inner(*this, scope_);
        Assign(statement.targets, item);
        if (Evaluate(*statement.condition).Truth()) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty()) {
      const Inner inner(*this, scope_);
      return RunBlock(statement.otherwise, out);
    }
    ++loop_depth_;
    const auto size = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < size; ++i) {
      Step();
      const Inner inner(*this, scope_);
      scope_->Set("loop", Loop(items, i, size));
      Assign(statement.targets, items[static_cast<size_t>(i)]);
      if (RunBlock(statement.bodies[0], out) == Flow::kBreak) break;
    }
    --loop_depth_;
    return Flow::kNext;
  }
  JinjaValue Loop(const JinjaList& items, int64_t i, int64_t size) const {
    const auto at = [&](int64_t k) { return items[static_cast<size_t>(k)]; };
    JinjaNamed loop = {{"index", i + 1},
                       {"index0", i},
                       {"revindex", size - i},
                       {"revindex0", size - i - 1},
                       {"first", i == 0},
                       {"last", i + 1 == size},
                       {"length", size},
                       {"depth", static_cast<int64_t>(loop_depth_)},
                       {"depth0", static_cast<int64_t>(loop_depth_ - 1)}};
    loop.emplace_back("previtem", i > 0 ? at(i - 1) : JinjaUndefined{"there is no previous item"});
    loop.emplace_back("nextitem", i + 1 < size ? at(i + 1) : JinjaUndefined{"there is no next item"});
    loop.emplace_back("cycle",
                      JinjaValue::Callable("cycle", [i](const JinjaList& arguments, const JinjaNamed&) {
                        if (arguments.empty()) Fail("loop.cycle needs values");
                        return arguments[static_cast<size_t>(i) % arguments.size()];
                      }));
    return JinjaValue::Namespace(std::move(loop));
  }

  JinjaValue Macro(const Statement& statement) {
    // Weak: a macro lives in the scope that it sees.
    const std::weak_ptr<Scope> home = scope_;
    return JinjaValue::Callable(
        statement.text,
        [this, &statement, home](const JinjaList& arguments, const JinjaNamed& named) -> JinjaValue {
          if (++calls_ > services_.limits.calls)
            Fail("macros called within macros more than {} deep", services_.limits.calls);
          struct Leave {
            int& calls;
            ~Leave() { --calls; }
          } leave{calls_};
          if (arguments.size() > statement.parameters.size()) {
            Fail("macro '{}' takes {} arguments, not {}", statement.text, statement.parameters.size(),
                 arguments.size());
          }
          for (const auto& [name, value] : named) {
            const bool known =
                std::any_of(statement.parameters.begin(), statement.parameters.end(),
                            [&wanted = name](const auto& parameter) { return parameter.first == wanted; });
            if (!known) Fail("macro '{}' has no parameter '{}'", statement.text, name);
          }
          const std::shared_ptr<Scope> outer = home.lock();
          const Inner inner(*this, outer ? outer : scope_);
          for (size_t i = 0; i < statement.parameters.size(); ++i) {
            const auto& [name, fallback] = statement.parameters[i];
            const auto given = std::find_if(named.begin(), named.end(),
                                            [&wanted = name](const auto& n) { return n.first == wanted; });
            JinjaValue value = JinjaUndefined{fmt::format("parameter '{}' was not provided", name)};
            if (i < arguments.size()) {
              value = arguments[i];
            } else if (given != named.end()) {
              value = given->second;
            } else if (fallback) {
              value = Evaluate(*fallback);
            }
            scope_->Set(name, std::move(value));
          }
          std::string text;
          RunBlock(statement.bodies[0], text);
          return text;
        });
  }

  // ---- expressions
  // What an operation on the value costs, in steps.
  static size_t Cost(const JinjaValue& value) {
    const size_t size = value.IsString()     ? value.string().size()
                        : value.IsSequence() ? value.items().size()
                        : value.IsDict()     ? value.dict().items.size()
                                             : 0;
    return size / 32;
  }
  JinjaValue Evaluate(const Expression& e) {
    Step();
    JinjaValue value = Look(e);
    const bool computed = e.kind == Expression::kCall || e.kind == Expression::kFilter ||
                          e.kind == Expression::kBinary || e.kind == Expression::kSlice;
    if (computed) Step(Cost(value));
    return value;
  }
  JinjaValue Look(const Expression& e) {
    if (e.kind == Expression::kConstant) return e.value;
    if (e.kind == Expression::kName) {
      const JinjaValue* found = scope_->Find(e.name);
      return found ? *found : JinjaValue(JinjaUndefined{fmt::format("'{}' is undefined", e.name)});
    }
    return Compute(e);
  }
  JinjaValue Part(const Expression& e, size_t i) {
    JinjaValue value = Evaluate(*e.parts[i]);
    Step(Cost(value));
    return value;
  }

  JinjaValue Compute(const Expression& e) {
    const Deeper deeper(depth_);
    switch (e.kind) {
      case Expression::kAttribute:
        return JinjaAttribute(services_, Part(e, 0), e.name);
      case Expression::kSubscript: {
        const JinjaValue object = Part(e, 0);
        return JinjaItem(services_, object, Part(e, 1));
      }
      case Expression::kSlice: {
        JinjaValue bounds[3] = {JinjaNone{}, JinjaNone{}, JinjaNone{}};
        const JinjaValue object = Part(e, 0);
        for (size_t i = 0; i < 3; ++i) {
          if (e.parts[i + 1]) bounds[i] = Part(e, i + 1);
        }
        return JinjaSlice(object, bounds[0], bounds[1], bounds[2]);
      }
      case Expression::kCall: {
        const JinjaValue callee = Part(e, 0);
        if (callee.IsUndefined()) Fail("{}", callee.undefined_name());
        if (!callee.IsCallable()) Fail("a value of type {} cannot be called", callee.TypeName());
        const JinjaList arguments = Arguments(e);
        return callee.callable().call(arguments, Named(e));
      }
      case Expression::kFilter:
        return ApplyFilter(e, Part(e, 0));
      case Expression::kTest: {
        JinjaList arguments = {Part(e, 0)};
        for (JinjaValue& argument : Arguments(e)) arguments.push_back(std::move(argument));
        return ApplyJinjaTest(e.name, arguments);
      }
      case Expression::kNot:
        return !Part(e, 0).Truth();
      case Expression::kNegative: {
        const JinjaValue value = Part(e, 0);
        return JinjaBinary(services_, "-", value.IsFloat() ? JinjaValue(-0.0) : JinjaValue(int64_t{0}),
                           value);
      }
      case Expression::kPositive:
        return JinjaBinary(services_, "+", int64_t{0}, Part(e, 0));
      case Expression::kAnd: {
        const JinjaValue left = Part(e, 0);
        return left.Truth() ? Part(e, 1) : left;
      }
      case Expression::kOr: {
        const JinjaValue left = Part(e, 0);
        return left.Truth() ? left : Part(e, 1);
      }
      case Expression::kBinary: {
        const JinjaValue left = Part(e, 0);
        return JinjaBinary(services_, e.name, left, Part(e, 1));
      }
      case Expression::kCompare:
        return Compare(e);
      case Expression::kCondition:
        if (Part(e, 1).Truth()) return Part(e, 0);
        return e.parts[2] ? Part(e, 2)
                          : JinjaValue(JinjaUndefined{"the inline if was false and has no else"});
      case Expression::kList:
      case Expression::kTuple: {
        JinjaList items;
        for (const auto& part : e.parts) items.push_back(Evaluate(*part));
        return e.kind == Expression::kList ? JinjaValue::List(std::move(items))
                                           : JinjaValue::Tuple(std::move(items));
      }
      case Expression::kDict: {
        JinjaItems items;
        for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
          JinjaValue key = Part(e, i);
          items.emplace_back(std::move(key), Part(e, i + 1));
        }
        return JinjaValue::Dict(std::move(items));
      }
      default:
        return {};
    }
  }
  bool Compare(const Expression& e) {
    JinjaValue left = Part(e, 0);
    for (size_t i = 0; i < e.operators.size(); ++i) {
      JinjaValue right = Part(e, i + 1);
      const std::string& op = e.operators[i];
      bool holds = false;
      if (op == "==") {
        Step(left.weight() / 32);
        holds = left == right;
      } else if (op == "!=") {
        Step(left.weight() / 32);
        holds = !(left == right);
      } else if (op == "in" || op == "not in") {
        holds = JinjaValue::In(left, right) == (op == "in");
      } else {
        for (const JinjaValue* side : {&left, &right}) {
          if (side->IsUndefined()) Fail("{}", side->undefined_name());
        }
        const int order = JinjaValue::Compare(left, right);
        holds = op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
      }
      if (!holds) return false;
      left = std::move(right);
    }
    return true;
  }

  // The arguments behind parts[0].
  JinjaList Arguments(const Expression& e) {
    JinjaList out;
    for (size_t i = 1; i < e.parts.size(); ++i) out.push_back(Part(e, i));
    return out;
  }
  JinjaNamed Named(const Expression& e) {
    JinjaNamed out;
    for (const auto& [name, value] : e.named) out.emplace_back(name, Evaluate(*value));
    return out;
  }
  JinjaValue ApplyFilter(const Expression& e, JinjaValue input) {
    return Located(e.line, "|" + e.name, [&] {
      JinjaList arguments = {std::move(input)};
      for (JinjaValue& argument : Arguments(e)) arguments.push_back(std::move(argument));
      return ApplyJinjaFilter(services_, e.name, arguments, Named(e));
    });
  }
  // The filters of a tag, which begin with `input` where an expression has its value.
  JinjaValue ApplyChain(const Expression& e, JinjaValue input) {
    if (e.kind != Expression::kFilter) return input;
    return ApplyFilter(e, ApplyChain(*e.parts[0], std::move(input)));
  }

  JinjaServices services_;
  std::shared_ptr<Scope> scope_;
  int64_t steps_ = 0;
  int calls_ = 0, loop_depth_ = 0, depth_ = 0;
};

}  // namespace

std::string RunJinja(const JinjaBlock& program, const JinjaContext& context) {
  return Interpreter(context).Run(program);
}

}  // namespace lowbit
