#include "lowbit/text/entries.h"

#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/io/json.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

using Json = nlohmann::ordered_json;

// The file as an array: of one string for a text.
Json ReadArray(const std::filesystem::path& path) {
  std::string text = ReadFile(path);
  if (text.empty()) Fail("{}: the text is empty", path.string());
  if (const size_t bad = FirstInvalidUtf8(text); bad != std::string::npos) {
    Fail("{}: not UTF-8: byte {} (0x{:02x}) begins no character", path.string(), bad,
         static_cast<uint8_t>(text[bad]));
  }
  if (path.extension() != ".json") return Json::array({std::move(text)});
  ParseJson(text, path.string());  // says where it is wrong, or too deep
  Json array = Json::parse(text, nullptr, false);
  if (!array.is_array()) Fail("{}: a JSON array of strings or conversations is needed", path.string());
  if (array.empty()) Fail("{}: the array is empty", path.string());
  return array;
}

ChatMessage ToMessage(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("role") || !json["role"].is_string())
    Fail("{}: an object with \"role\" and \"content\" is needed", where);
  const Json content = json.value("content", Json());
  if (!content.is_string() && !content.is_array() && !content.is_null())
    Fail("{}: \"content\" must be text, a list of parts, or null", where);
  ChatMessage message{.role = json["role"], .content = "", .extra = Json::object()};
  if (content.is_string()) message.content = content;
  for (const auto& [key, value] : json.items()) {
    if (key != "role" && !(key == "content" && value.is_string())) message.extra[key] = value;
  }
  return message;
}

}  // namespace

std::vector<std::string> ReadEntries(const std::filesystem::path& path) {
  std::vector<std::string> entries;
  for (const Json& entry : ReadArray(path)) {
    if (entry.is_array()) {
      Fail("{}: entry {} is a conversation, a string is needed; calibration takes both with --chat-template",
           path.string(), entries.size());
    }
    if (!entry.is_string()) Fail("{}: entry {} is not a string", path.string(), entries.size());
    entries.push_back(entry);
  }
  return entries;
}

std::vector<std::vector<ChatMessage>> ReadConversations(const std::filesystem::path& path) {
  std::vector<std::vector<ChatMessage>> conversations;
  for (const Json& entry : ReadArray(path)) {
    const std::string where = fmt::format("{}: entry {}", path.string(), conversations.size());
    std::vector<ChatMessage> messages;
    if (entry.is_string()) {
      messages.push_back({"user", entry, {}});
    } else if (entry.is_array() && !entry.empty()) {
      for (const Json& message : entry)
        messages.push_back(ToMessage(message, fmt::format("{}, message {}", where, messages.size())));
    } else {
      Fail("{} is neither a string nor a conversation, [{{\"role\": ..., \"content\": ...}}, ...]", where);
    }
    conversations.push_back(std::move(messages));
  }
  return conversations;
}

}  // namespace lowbit
