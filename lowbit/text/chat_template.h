// Chat templates: the Jinja2 program inside a model's files that turns messages into the text the model was
// trained on.
//
// The language is the part of Jinja2 that such templates use, with the settings of Hugging Face's
// apply_chat_template (trim_blocks, lstrip_blocks, loop controls, the sandbox's immutable values), and the
// output is that of Python's jinja2 byte for byte:
//   tags        if for (with if, else, break, continue) set (also of a block) macro filter generation raw,
//   comments expressions Python's, with slices, inline if, ~, in, is, filters, tuples, lists, dictionaries
//   functions   range dict namespace raise_exception strftime_now
//   methods     those of str, and get items keys values of dict
// Not known, and refused by name: include, import, extends, block, call, with, recursive loops, * and **
// arguments.
//
// Templates come from downloaded files: nesting, steps and sizes are limited
// (lowbit/text/jinja_interpreter.h).
#pragma once

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/text/tokenizer.h"

namespace lowbit {

struct JinjaStatement;

// A template that has been read. A cheap value.
class ChatTemplate {
 public:
  // Throws Error naming the line and the construct.
  explicit ChatTemplate(std::string source);

  const std::string& source() const { return source_; }
  const std::vector<JinjaStatement>& program() const { return *program_; }

 private:
  std::string source_;
  std::shared_ptr<const std::vector<JinjaStatement>> program_;
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  // Further fields as the template reads them (tool_calls, reasoning_content …); a field "content" here, such
  // as a list of parts, replaces the text.
  nlohmann::ordered_json extra;
};

struct ChatOptions {
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;  // as text; see WithTokens
  nlohmann::ordered_json tools;      // a list of tool descriptions; null: none
  nlohmann::ordered_json variables;  // an object: further variables (enable_thinking …)
  std::optional<std::tm> now;        // for strftime_now; the local time when empty

  // bos_token and eos_token of a tokenizer.
  ChatOptions& WithTokens(const Tokenizer& tokenizer);
};

// Throws Error: what the template raised, or what is wrong with it, with the line and the construct.
std::string RenderChat(const ChatTemplate& chat_template, std::span<const ChatMessage> messages,
                       const ChatOptions& options = {});

// The same with all variables given: an object with "messages", "add_generation_prompt" and whatever else.
std::string RenderTemplate(const ChatTemplate& chat_template, const nlohmann::ordered_json& variables,
                           const std::optional<std::tm>& now = {});

}  // namespace lowbit
