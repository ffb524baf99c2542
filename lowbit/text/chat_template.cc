#include "lowbit/text/chat_template.h"

#include "lowbit/base/error.h"
#include "lowbit/text/jinja_interpreter.h"

namespace lowbit {

ChatTemplate::ChatTemplate(std::string source)
    : source_(std::move(source)), program_(std::make_shared<const JinjaBlock>(ParseJinja(source_))) {}

ChatOptions& ChatOptions::WithTokens(const Tokenizer& tokenizer) {
  if (tokenizer.bos() >= 0) bos_token = tokenizer.Piece(tokenizer.bos());
  if (!tokenizer.eos().empty()) eos_token = tokenizer.Piece(tokenizer.eos()[0]);
  return *this;
}

std::string RenderChat(const ChatTemplate& chat_template, std::span<const ChatMessage> messages,
                       const ChatOptions& options) {
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages) {
    nlohmann::ordered_json item = {{"role", message.role}, {"content", message.content}};
    if (message.extra.is_object()) item.update(message.extra);
    list.push_back(std::move(item));
  }
  variables["messages"] = std::move(list);
  variables["tools"] = options.tools;  // defined, and none without tools
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = options.add_generation_prompt;
  if (!options.bos_token.empty()) variables["bos_token"] = options.bos_token;
  if (!options.eos_token.empty()) variables["eos_token"] = options.eos_token;
  if (options.variables.is_object()) variables.update(options.variables);
  return RenderTemplate(chat_template, variables, options.now);
}

std::string RenderTemplate(const ChatTemplate& chat_template, const nlohmann::ordered_json& variables,
                           const std::optional<std::tm>& now) {
  if (!variables.is_object()) Fail("chat template: the variables should be an object");
  JinjaContext context;
  for (const auto& [name, value] : variables.items())
    context.variables.emplace_back(name, JinjaValue::FromJson(value));
  if (now) {
    context.now = *now;
  } else {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &context.now);
  }
  return RunJinja(chat_template.program(), context);
}

}  // namespace lowbit
