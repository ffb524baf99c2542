#include "lowbit/pipeline/generate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "lowbit/base/error.h"
#include "lowbit/base/naming.h"
#include "lowbit/base/progress.h"
#include "lowbit/io/file.h"
#include "lowbit/text/chat_template.h"
#include "lowbit/text/utf8.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string model, prompt, prompt_file, tokenizer, system;
  bool chat = false;
  int64_t context = 0;
  std::string kv = "f16";
  GenerateOptions generate;
};

const char* NameOf(StopReason reason) {
  switch (reason) {
    case StopReason::kEndToken:
      return "end token";
    case StopReason::kStopString:
      return "stop string";
    case StopReason::kMaxTokens:
      return "max tokens";
    case StopReason::kContextFull:
      return "context full";
  }
  return "?";
}

std::string ReadPrompt(const Options& o) {
  std::string prompt, where = "--prompt";
  if (!o.prompt_file.empty()) {
    prompt = ReadFile(where = o.prompt_file);
  } else if (o.prompt != "-" && !(o.prompt.empty() && isatty(STDIN_FILENO) == 0)) {
    prompt = o.prompt;
  } else {
    prompt.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    CheckInterrupt();  // Ctrl-C ends the reading early
    where = "standard input";
  }
  CheckUtf8(prompt, where);
  return prompt;
}

// A conversation on the terminal or from a pipe: one message a line, an empty line or the end of input ends
// it. Every turn renders the whole conversation with the model's own template; what the cache already holds
// is not run again.
int Chat(const Options& o, const Common& common, const Model& model, Generator& generator) {
  if (model.chat_template.empty()) {
    Fail("{}: the model brings no chat template; leave out --chat to continue a text", model.path.string());
  }
  const Tokenizer& tokenizer = NeedTokenizer(model);
  const std::string where = model.path.string();
  const ChatTemplate chat = Naming(where, [&] { return ChatTemplate(model.chat_template); });
  ChatOptions chat_options;
  chat_options.WithTokens(tokenizer);
  std::vector<ChatMessage> messages;
  if (!o.system.empty()) messages.push_back({"system", o.system, {}});
  nlohmann::json turns = nlohmann::json::array();
  const bool terminal = isatty(STDIN_FILENO) != 0;
  bool once = !o.prompt.empty() || !o.prompt_file.empty();
  for (std::string line;;) {
    if (once) {
      line = ReadPrompt(o);
    } else {
      if (terminal && !common.json) fmt::print("> "), std::fflush(stdout);
      std::getline(std::cin, line);
      CheckInterrupt();
      if (!std::cin || line.empty()) break;
      CheckUtf8(line, "standard input");
    }
    messages.push_back({"user", line, {}});
    const std::string rendered = Naming(where, [&] { return RenderChat(chat, messages, chat_options); });
    // The template writes the start token itself.
    const std::vector<int32_t> tokens = tokenizer.Encode(rendered, {.add_special = false});
    const Generated result = generator.Run(tokens, o.generate, [&](std::string_view text) {
      if (common.json) return;
      fmt::print("{}", text);
      std::fflush(stdout);
    });
    if (!common.json) fmt::print("\n\n");
    messages.push_back({"assistant", result.text, {}});
    turns.push_back({{"user", line},
                     {"assistant", result.text},
                     {"prompt_tokens", result.prompt_tokens},
                     {"reused_tokens", result.reused_tokens},
                     {"stop", NameOf(result.reason)}});
    if (once) break;
  }
  if (common.json) fmt::print("{}\n", turns.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  return 0;
}

int Run(const Options& o, const Common& common) {
  CheckSamplerOptions(o.generate.sampler);
  if (!o.system.empty() && !o.chat) FailUsage("--system: is a part of a conversation; add --chat");
  CheckUtf8(o.system, "--system");
  const Model model = OpenModel(o.model, o.tokenizer);
  const Tokenizer& tokenizer = NeedTokenizer(model);
  const int64_t context = o.context > 0 ? o.context : std::min<int64_t>(model.config.context, 4096);
  LanguageModel language_model(model, ThreadPool::Global());
  Generator generator(language_model, context, ParseCacheFormat(o.kv));
  if (o.chat) return Chat(o, common, model, generator);
  const std::string prompt = ReadPrompt(o);
  std::vector<int32_t> tokens = tokenizer.Encode(prompt);
  if (tokens.empty() && tokenizer.bos() >= 0) tokens.push_back(tokenizer.bos());
  if (static_cast<int64_t>(tokens.size()) <= context && !common.json) fmt::print("{}", prompt);
  const Generated result = generator.Run(tokens, o.generate, [&](std::string_view text) {
    if (common.json) return;
    fmt::print("{}", text);
    std::fflush(stdout);
  });
  const auto count = static_cast<double>(result.tokens.size());
  if (common.json) {
    const nlohmann::json json = {
        {"text", result.text},
        {"tokens", result.tokens},
        {"prompt_tokens", result.prompt_tokens},
        {"stop", NameOf(result.reason)},
        {"kv", NameOf(generator.cache().format())},
        {"kv_bytes", generator.cache().Bytes()},
        {"prefill_tokens_per_s", static_cast<double>(result.prompt_tokens) / result.prefill_seconds},
        {"decode_tokens_per_s", count / result.decode_seconds}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  fmt::print("\n");
  fmt::print(stderr, "\n[{} prompt tokens at {:.0f}/s, {} tokens at {:.1f}/s, {} cache {}, stopped by: {}]\n",
             result.prompt_tokens, static_cast<double>(result.prompt_tokens) / result.prefill_seconds,
             result.tokens.size(), count / result.decode_seconds, NameOf(generator.cache().format()),
             Bytes(generator.cache().Bytes()), NameOf(result.reason));
  return 0;
}

}  // namespace

Action AddGenerate(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Model to run")->required();
  app.add_option("--prompt", o->prompt, "Text to continue; - or nothing reads standard input");
  app.add_option("--prompt-file", o->prompt_file, "File with the text to continue")->check(CLI::ExistingFile);
  app.add_flag(
      "--chat", o->chat,
      "Converse with the model's own chat template: messages from --prompt or standard input, one a line");
  app.add_option("--system", o->system, "System message of --chat");
  app.add_option("-n,--max-tokens", o->generate.max_tokens, "Tokens to make")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ctx", o->context, "Positions of the context (default: the model's, at most 4096)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  app.add_option("--kv", o->kv, "What keys and values are kept as (lowbit list caches)")
      ->capture_default_str();
  SamplerOptions& s = o->generate.sampler;
  app.add_option("--temperature", s.temperature, "0: always the most likely token")->capture_default_str();
  app.add_option("--top-k", s.top_k, "Keep the k most likely tokens (0: all)")->capture_default_str();
  app.add_option("--top-p", s.top_p, "Keep the fewest tokens that sum to p")->capture_default_str();
  app.add_option("--min-p", s.min_p, "Keep tokens with this share of the highest probability")
      ->capture_default_str();
  app.add_option("--repeat-penalty", s.repetition_penalty, "Make recent tokens less likely (1: off)")
      ->capture_default_str();
  app.add_option("--seed", s.seed, "Seed of the draws")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--stop", o->generate.stop, "Stop before this string; may be repeated");
  app.add_option("--tokenizer", o->tokenizer, "Tokenizer file or folder, where the model brings none");
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
