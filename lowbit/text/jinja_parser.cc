#include <algorithm>
#include <array>
#include <charconv>

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_syntax.h"

namespace lowbit {
namespace {

using Kind = JinjaExpression::Kind;
using Token = JinjaToken;

constexpr int kMaxDepth = 150;  // of trees: evaluation recurses over them

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  JinjaBlock Run() {
    JinjaBlock block = ParseBlock({});
    if (Now().kind != Token::kEnd) Stop("unexpected tag");
    return block;
  }

 private:
  // ---- tokens
  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  [[noreturn]] void Stop(std::string_view what) const {
    if (construct_.empty()) Fail("chat template, line {}: {}", Now().line, what);
    Fail("chat template, line {}, in '{}': {}", Now().line, construct_, what);
  }
  static std::string Shown(const Token& token) {
    switch (token.kind) {
      case Token::kEnd:
        return "the end of the template";
      case Token::kPrintEnd:
        return "'}}'";
      case Token::kBlockEnd:
        return "'%}'";
      case Token::kString:
        return "a string";
      default:
        return fmt::format("'{}'", token.text);
    }
  }
  bool IsOperator(std::string_view text) const {
    return Now().kind == Token::kOperator && Now().text == text;
  }
  bool IsName(std::string_view text) const { return Now().kind == Token::kName && Now().text == text; }
  bool TakeOperator(std::string_view text) {
    if (!IsOperator(text)) return false;
    Take();
    return true;
  }
  bool TakeName(std::string_view text) {
    if (!IsName(text)) return false;
    Take();
    return true;
  }
  void Expect(std::string_view op) {
    if (!TakeOperator(op)) Stop(fmt::format("expected '{}', found {}", op, Shown(Now())));
  }
  std::string ExpectName() {
    if (Now().kind != Token::kName) Stop(fmt::format("expected a name, found {}", Shown(Now())));
    return Take().text;
  }
  void ExpectBlockEnd() {
    if (Now().kind != Token::kBlockEnd) Stop(fmt::format("expected '%}}', found {}", Shown(Now())));
    Take();
  }

  // ---- trees
  struct Nest {  // bounds the recursion of the parser itself
    explicit Nest(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxDepth) parser_.Stop("nested too deep");
    }
    ~Nest() { --parser_.nesting_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    Parser& parser_;
  };

  using Named = std::vector<std::pair<std::string, JinjaExpressionPtr>>;
  JinjaExpressionPtr Make(Kind kind, std::string name, std::vector<JinjaExpressionPtr> parts,
                          Named named = {}) const {
    auto node = std::make_unique<JinjaExpression>();
    node->kind = kind;
    node->line = Now().line;
    node->name = std::move(name);
    for (const auto& part : parts) {
      if (part) node->depth = std::max(node->depth, 1 + part->depth);
    }
    for (const auto& [key, part] : named) node->depth = std::max(node->depth, 1 + part->depth);
    if (node->depth > 4 * kMaxDepth) Stop("an expression nested too deep");
    node->parts = std::move(parts);
    node->named = std::move(named);
    return node;
  }
  JinjaExpressionPtr Make1(Kind kind, std::string name, JinjaExpressionPtr a) const {
    std::vector<JinjaExpressionPtr> parts;
    parts.push_back(std::move(a));
    return Make(kind, std::move(name), std::move(parts));
  }
  JinjaExpressionPtr Make2(Kind kind, std::string name, JinjaExpressionPtr a, JinjaExpressionPtr b) const {
    std::vector<JinjaExpressionPtr> parts;
    parts.push_back(std::move(a));
    parts.push_back(std::move(b));
    return Make(kind, std::move(name), std::move(parts));
  }
  JinjaExpressionPtr Constant(JinjaValue value) const {
    auto node = std::make_unique<JinjaExpression>();
    node->line = Now().line;
    node->value = std::move(value);
    return node;
  }

  // ---- expressions, loosest first
  JinjaExpressionPtr ParseExpression(bool with_condition = true) {
    const Nest nest(*this);
    if (!with_condition) return ParseOr();
    JinjaExpressionPtr value = ParseOr();
    while (TakeName("if")) {
      std::vector<JinjaExpressionPtr> parts;
      parts.push_back(std::move(value));
      parts.push_back(ParseOr());
      parts.push_back(TakeName("else") ? ParseExpression() : nullptr);
      value = Make(Kind::kCondition, "if", std::move(parts));
    }
    return value;
  }
  JinjaExpressionPtr ParseOr() {
    JinjaExpressionPtr left = ParseAnd();
    while (TakeName("or")) left = Make2(Kind::kOr, "or", std::move(left), ParseAnd());
    return left;
  }
  JinjaExpressionPtr ParseAnd() {
    JinjaExpressionPtr left = ParseNot();
    while (TakeName("and")) left = Make2(Kind::kAnd, "and", std::move(left), ParseNot());
    return left;
  }
  JinjaExpressionPtr ParseNot() {
    const Nest nest(*this);
    if (TakeName("not")) return Make1(Kind::kNot, "not", ParseNot());
    return ParseCompare();
  }
  JinjaExpressionPtr ParseCompare() {
    std::vector<JinjaExpressionPtr> parts;
    std::vector<std::string> operators;
    parts.push_back(ParseSum());
    while (true) {
      static constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<=", ">=", "<", ">"};
      const auto found =
          std::find_if(kOperators.begin(), kOperators.end(), [&](auto op) { return IsOperator(op); });
      if (found != kOperators.end()) {
        operators.push_back(Take().text);
      } else if (TakeName("in")) {
        operators.emplace_back("in");
      } else if (IsName("not") && Ahead().kind == Token::kName && Ahead().text == "in") {
        Take();
        Take();
        operators.emplace_back("not in");
      } else {
        break;
      }
      parts.push_back(ParseSum());
    }
    if (operators.empty()) return std::move(parts[0]);
    auto node = Make(Kind::kCompare, operators[0], std::move(parts));
    const_cast<JinjaExpression&>(*node).operators = std::move(operators);
    return node;
  }
  JinjaExpressionPtr ParseSum() {
    JinjaExpressionPtr left = ParseConcatenation();
    while (IsOperator("+") || IsOperator("-")) {
      std::string op = Take().text;
      left = Make2(Kind::kBinary, std::move(op), std::move(left), ParseConcatenation());
    }
    return left;
  }
  JinjaExpressionPtr ParseConcatenation() {
    JinjaExpressionPtr left = ParseProduct();
    while (TakeOperator("~")) left = Make2(Kind::kBinary, "~", std::move(left), ParseProduct());
    return left;
  }
  JinjaExpressionPtr ParseProduct() {
    JinjaExpressionPtr left = ParsePower();
    while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
      std::string op = Take().text;
      left = Make2(Kind::kBinary, std::move(op), std::move(left), ParsePower());
    }
    return left;
  }
  JinjaExpressionPtr ParsePower() {
    JinjaExpressionPtr left = ParseUnary(true);
    while (TakeOperator("**")) left = Make2(Kind::kBinary, "**", std::move(left), ParseUnary(true));
    return left;
  }
  JinjaExpressionPtr ParseUnary(bool with_filters) {
    const Nest nest(*this);
    JinjaExpressionPtr node;
    if (TakeOperator("-")) {
      node = Make1(Kind::kNegative, "-", ParseUnary(false));
    } else if (TakeOperator("+")) {
      node = Make1(Kind::kPositive, "+", ParseUnary(false));
    } else {
      node = ParsePrimary();
    }
    node = ParsePostfix(std::move(node));
    return with_filters ? ParseFilters(std::move(node)) : std::move(node);
  }
  JinjaExpressionPtr ParsePrimary() {
    const Token token = Now();
    switch (token.kind) {
      case Token::kName: {
        Take();
        const std::string& name = token.text;
        if (name == "true" || name == "True") return Constant(true);
        if (name == "false" || name == "False") return Constant(false);
        if (name == "none" || name == "None") return Constant(JinjaNone{});
        return Make(Kind::kName, name, {});
      }
      case Token::kString: {
        std::string text;
        while (Now().kind == Token::kString) text += Take().text;
        return Constant(std::move(text));
      }
      case Token::kInteger: {
        int64_t value = 0;
        const auto end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
          Stop(fmt::format("the integer {} does not fit into 64 bits", token.text));
        }
        Take();
        return Constant(value);
      }
      case Token::kFloat: {
        double value = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        Take();
        return Constant(value);
      }
      default:
        break;
    }
    if (TakeOperator("(")) {
      JinjaExpressionPtr inner = ParseTuple(true);
      Expect(")");
      return inner;
    }
    if (TakeOperator("[")) {
      std::vector<JinjaExpressionPtr> items;
      while (!IsOperator("]")) {
        if (!items.empty()) Expect(",");
        if (IsOperator("]")) break;
        items.push_back(ParseExpression());
      }
      Expect("]");
      return Make(Kind::kList, "[]", std::move(items));
    }
    if (TakeOperator("{")) {
      std::vector<JinjaExpressionPtr> items;
      while (!IsOperator("}")) {
        if (!items.empty()) Expect(",");
        if (IsOperator("}")) break;
        items.push_back(ParseExpression());
        Expect(":");
        items.push_back(ParseExpression());
      }
      Expect("}");
      return Make(Kind::kDict, "{}", std::move(items));
    }
    Stop(fmt::format("expected an expression, found {}", Shown(token)));
  }
  // a or a, b, c; the empty tuple only in parentheses.
  JinjaExpressionPtr ParseTuple(bool parentheses, bool with_condition = true) {
    std::vector<JinjaExpressionPtr> items;
    bool tuple = false;
    while (true) {
      const bool ends = (parentheses && IsOperator(")")) || Now().kind == Token::kBlockEnd ||
                        Now().kind == Token::kPrintEnd || IsOperator("=") || (!parentheses && IsName("in"));
      if (ends) break;
      items.push_back(ParseExpression(with_condition));
      if (!TakeOperator(",")) break;
      tuple = true;
    }
    if (items.empty() && !parentheses) Stop(fmt::format("expected an expression, found {}", Shown(Now())));
    if (!tuple && items.size() == 1) return std::move(items[0]);
    return Make(Kind::kTuple, "()", std::move(items));
  }
  JinjaExpressionPtr ParsePostfix(JinjaExpressionPtr node) {
    while (true) {
      if (TakeOperator(".")) {
        if (Now().kind == Token::kInteger) {
          JinjaExpressionPtr index = ParsePrimary();
          node = Make2(Kind::kSubscript, "[]", std::move(node), std::move(index));
        } else {
          std::string name = ExpectName();
          node = Make1(Kind::kAttribute, std::move(name), std::move(node));
        }
      } else if (TakeOperator("[")) {
        node = ParseSubscript(std::move(node));
      } else if (IsOperator("(")) {
        node = ParseCall(std::move(node));
      } else {
        return node;
      }
    }
  }
  JinjaExpressionPtr ParseSubscript(JinjaExpressionPtr object) {
    std::vector<JinjaExpressionPtr> parts;
    parts.push_back(std::move(object));
    bool slice = false;
    while (!IsOperator("]")) {
      if (IsOperator(":")) {
        if (parts.size() == 1) parts.push_back(nullptr);
        Take();
        slice = true;
        if (parts.size() == 4) Stop("a slice has at most three parts");
        if (IsOperator(":") || IsOperator("]")) {
          parts.push_back(nullptr);
        } else {
          parts.push_back(ParseExpression());
        }
      } else {
        if (parts.size() != 1) Stop(fmt::format("expected ']', found {}", Shown(Now())));
        parts.push_back(ParseExpression());
      }
    }
    Expect("]");
    if (parts.size() == 1) Stop("expected a subscript, found ']'");
    if (!slice) return Make(Kind::kSubscript, "[]", std::move(parts));
    while (parts.size() < 4) parts.push_back(nullptr);
    return Make(Kind::kSlice, "[:]", std::move(parts));
  }
  void ParseArguments(std::vector<JinjaExpressionPtr>& parts, Named& named) {
    Expect("(");
    bool first = true;
    while (!IsOperator(")")) {
      if (!first) Expect(",");
      first = false;
      if (IsOperator(")")) break;
      if (IsOperator("*") || IsOperator("**")) Stop("* and ** in arguments are not supported");
      if (Now().kind == Token::kName && Ahead().kind == Token::kOperator && Ahead().text == "=") {
        std::string name = Take().text;
        Take();
        named.emplace_back(std::move(name), ParseExpression());
      } else {
        if (!named.empty()) Stop("an argument without a name after one with a name");
        parts.push_back(ParseExpression());
      }
    }
    Expect(")");
  }
  JinjaExpressionPtr ParseCall(JinjaExpressionPtr callee) {
    std::string name = callee->name;
    std::vector<JinjaExpressionPtr> parts;
    Named named;
    parts.push_back(std::move(callee));
    ParseArguments(parts, named);
    return Make(Kind::kCall, std::move(name), std::move(parts), std::move(named));
  }
  JinjaExpressionPtr ParseFilter(JinjaExpressionPtr node) {
    std::string name = ExpectName();
    while (TakeOperator(".")) name += "." + ExpectName();
    std::vector<JinjaExpressionPtr> parts;
    Named named;
    parts.push_back(std::move(node));
    if (IsOperator("(")) ParseArguments(parts, named);
    return Make(Kind::kFilter, std::move(name), std::move(parts), std::move(named));
  }
  JinjaExpressionPtr ParseFilters(JinjaExpressionPtr node) {
    while (true) {
      if (TakeOperator("|")) {
        node = ParseFilter(std::move(node));
      } else if (TakeName("is")) {
        node = ParseTest(std::move(node));
      } else if (IsOperator("(")) {
        node = ParseCall(std::move(node));
      } else {
        return node;
      }
    }
  }
  JinjaExpressionPtr ParseTest(JinjaExpressionPtr node) {
    const bool negated = TakeName("not");
    std::string name = ExpectName();
    std::vector<JinjaExpressionPtr> parts;
    Named named;
    parts.push_back(std::move(node));
    const Token& next = Now();
    const bool literal =
        next.kind == Token::kString || next.kind == Token::kInteger || next.kind == Token::kFloat;
    const bool word = next.kind == Token::kName && next.text != "else" && next.text != "or" &&
                      next.text != "and" && next.text != "if" && next.text != "in" && next.text != "not";
    if (IsOperator("(")) {
      ParseArguments(parts, named);
    } else if (literal || word || IsOperator("[") || IsOperator("{")) {
      if (IsName("is")) Stop("tests cannot be chained with 'is'");
      JinjaExpressionPtr argument = ParsePrimary();
      parts.push_back(ParsePostfix(std::move(argument)));
    }
    JinjaExpressionPtr test = Make(Kind::kTest, std::move(name), std::move(parts), std::move(named));
    return negated ? Make1(Kind::kNot, "not", std::move(test)) : std::move(test);
  }

  // ---- statements
  bool AtTag(std::initializer_list<std::string_view> names) const {
    if (Now().kind != Token::kBlockBegin || Ahead().kind != Token::kName) return false;
    return std::find(names.begin(), names.end(), Ahead().text) != names.end();
  }
  // Until one of the tags in `ends` (not taken) or the end of the template.
  JinjaBlock ParseBlock(std::initializer_list<std::string_view> ends) {
    const Nest nest(*this);
    JinjaBlock block;
    while (Now().kind != Token::kEnd && !AtTag(ends)) {
      JinjaStatement statement;
      statement.line = Now().line;
      if (Now().kind == Token::kText) {
        statement.text = Take().text;
      } else if (Now().kind == Token::kPrintBegin) {
        Take();
        statement.kind = JinjaStatement::kPrint;
        statement.expression = ParseTuple(false);
        if (Now().kind != Token::kPrintEnd) Stop(fmt::format("expected '}}}}', found {}", Shown(Now())));
        Take();
      } else {
        statement = ParseTag();
      }
      block.push_back(std::move(statement));
    }
    return block;
  }
  // Takes "{% name %}" after a body; `opened` is for the message.
  void EndTag(std::string_view name, int opened) {
    if (Now().kind == Token::kEnd) Fail("chat template, line {}: a tag without its '{}'", opened, name);
    Take();
    TakeName(name);
    ExpectBlockEnd();
  }
  JinjaStatement ParseTag() {
    const int line = Now().line;
    Take();
    const std::string name = ExpectName();
    const std::string outer = construct_;
    construct_ = name;
    JinjaStatement statement;
    if (name == "if") {
      statement = ParseIf(line);
    } else if (name == "for") {
      statement = ParseFor(line);
    } else if (name == "set") {
      statement = ParseSet(line);
    } else if (name == "macro") {
      statement = ParseMacro(line);
    } else if (name == "filter") {
      statement.kind = JinjaStatement::kFilter;
      statement.expression = ParseFilters(ParseFilter(Constant(JinjaNone{})));
      ExpectBlockEnd();
      statement.bodies.push_back(ParseBlock({"endfilter"}));
      EndTag("endfilter", line);
    } else if (name == "generation") {
      statement.kind = JinjaStatement::kGroup;
      ExpectBlockEnd();
      statement.bodies.push_back(ParseBlock({"endgeneration"}));
      EndTag("endgeneration", line);
    } else if (name == "break" || name == "continue") {
      if (loops_ == 0) Stop("outside a loop");
      statement.kind = name == "break" ? JinjaStatement::kBreak : JinjaStatement::kContinue;
      ExpectBlockEnd();
    } else {
      Stop("unknown tag; known: if, for, set, macro, filter, generation, break, continue, raw");
    }
    statement.line = line;
    construct_ = outer;
    return statement;
  }
  JinjaStatement ParseIf(int line) {
    JinjaStatement statement;
    statement.kind = JinjaStatement::kIf;
    statement.conditions.push_back(ParseTuple(false));
    ExpectBlockEnd();
    while (true) {
      statement.bodies.push_back(ParseBlock({"elif", "else", "endif"}));
      if (AtTag({"elif"})) {
        Take();
        Take();
        statement.conditions.push_back(ParseTuple(false));
        ExpectBlockEnd();
      } else if (AtTag({"else"})) {
        Take();
        Take();
        ExpectBlockEnd();
        statement.bodies.push_back(ParseBlock({"endif"}));
        break;
      } else {
        break;
      }
    }
    EndTag("endif", line);
    return statement;
  }
  // a, b, (c)
  std::vector<std::string> ParseTargets(bool attributes) {
    std::vector<std::string> targets;
    const bool parentheses = TakeOperator("(");
    do {
      std::string name = ExpectName();
      if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
          name == "None") {
        Stop(fmt::format("'{}' cannot be assigned to", name));
      }
      if (attributes && TakeOperator(".")) name += "." + ExpectName();
      targets.push_back(std::move(name));
    } while (TakeOperator(",") && Now().kind == Token::kName);
    if (parentheses) Expect(")");
    return targets;
  }
  JinjaStatement ParseFor(int line) {
    JinjaStatement statement;
    statement.kind = JinjaStatement::kFor;
    statement.targets = ParseTargets(false);
    if (!TakeName("in")) Stop(fmt::format("expected 'in', found {}", Shown(Now())));
    statement.expression = ParseTuple(false, false);
    if (TakeName("if")) statement.condition = ParseExpression();
    if (IsName("recursive")) Stop("'recursive' is not supported");
    ExpectBlockEnd();
    ++loops_;
    statement.bodies.push_back(ParseBlock({"else", "endfor"}));
    --loops_;
    if (AtTag({"else"})) {
      Take();
      Take();
      ExpectBlockEnd();
      statement.otherwise = ParseBlock({"endfor"});
    }
    EndTag("endfor", line);
    return statement;
  }
  JinjaStatement ParseSet(int line) {
    JinjaStatement statement;
    statement.targets = ParseTargets(true);
    if (TakeOperator("=")) {
      statement.kind = JinjaStatement::kSet;
      statement.expression = ParseTuple(false);
      ExpectBlockEnd();
      return statement;
    }
    statement.kind = JinjaStatement::kSetBlock;
    if (statement.targets.size() != 1) Stop("a block is assigned to one name");
    if (TakeOperator("|")) statement.expression = ParseFilters(ParseFilter(Constant(JinjaNone{})));
    ExpectBlockEnd();
    statement.bodies.push_back(ParseBlock({"endset"}));
    EndTag("endset", line);
    return statement;
  }
  JinjaStatement ParseMacro(int line) {
    JinjaStatement statement;
    statement.kind = JinjaStatement::kMacro;
    statement.text = ExpectName();
    Expect("(");
    while (!IsOperator(")")) {
      if (!statement.parameters.empty()) Expect(",");
      std::string name = ExpectName();
      JinjaExpressionPtr fallback = TakeOperator("=") ? ParseExpression() : nullptr;
      statement.parameters.emplace_back(std::move(name), std::move(fallback));
    }
    Expect(")");
    ExpectBlockEnd();
    const int loops = std::exchange(loops_, 0);
    statement.bodies.push_back(ParseBlock({"endmacro"}));
    loops_ = loops;
    EndTag("endmacro", line);
    return statement;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0, loops_ = 0;
  std::string construct_;  // the tag being read, for messages
};

}  // namespace

JinjaBlock ParseJinja(std::string_view source) {
  return Parser(LexJinja(source)).Run();
}

}  // namespace lowbit
