#include "cli/calibration_text.h"

#include "lowbit/base/error.h"
#include "lowbit/text/chat_template.h"
#include "lowbit/text/entries.h"

namespace lowbit::cli {

const Tokenizer& NeedTokenizer(const Model& model) {
  if (!model.tokenizer)
    Fail("{}: no tokenizer lies with the model; give one with --tokenizer", model.path.string());
  return *model.tokenizer;
}

namespace {

std::vector<std::string> RenderConversations(const Model& model, const std::string& path) {
  if (model.chat_template.empty()) {
    Fail("{}: the model brings no chat template; leave --chat-template out", model.path.string());
  }
  const ChatTemplate chat(model.chat_template);
  ChatOptions options;
  options.WithTokens(NeedTokenizer(model));
  options.add_generation_prompt = false;  // conversations are complete
  // Some templates write today's date: the same text must calibrate alike on every day. 26 July 2024, a
  // Friday.
  options.now = std::tm{};
  options.now->tm_year = 124, options.now->tm_mon = 6, options.now->tm_mday = 26, options.now->tm_wday = 5;
  options.now->tm_yday = 207;
  std::vector<std::string> rendered;
  for (const auto& messages : ReadConversations(path)) {
    try {
      rendered.push_back(RenderChat(chat, messages, options));
    } catch (const Error& error) {
      Fail("{}: entry {}: {}", path, rendered.size(), error.what());
    }
  }
  return rendered;
}

}  // namespace

std::vector<int32_t> CalibrationTokens(const Model& model, const std::string& path, ChatRendering rendering) {
  const bool chat = rendering == ChatRendering::kModel;
  const EncodeOptions encode{.add_special = !chat};
  std::vector<int32_t> tokens;
  for (const std::string& entry : chat ? RenderConversations(model, path) : ReadEntries(path)) {
    const std::vector<int32_t> ids = NeedTokenizer(model).Encode(entry, encode);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }
  return tokens;
}

std::string Bytes(size_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b < 1e4) return fmt::format("{} B", bytes);
  if (b < 1e6) return fmt::format("{:.1f} kB", b / 1e3);
  if (b < 1e9) return fmt::format("{:.2f} MB", b / 1e6);
  return fmt::format("{:.2f} GB", b / 1e9);
}

}  // namespace lowbit::cli
