#include "lowbit/io/json.h"

#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// The deepest nesting of lists and objects; brackets inside strings do not count.
int Depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

std::string JsonReason(const std::exception& error) {
  std::string_view text = error.what();
  if (const size_t end = text.find("] ");
      text.starts_with("[json.exception.") && end != std::string_view::npos)
    text.remove_prefix(end + 2);
  if (text.starts_with("parse error at ")) text.remove_prefix(std::string_view("parse error at ").size());
  return std::string(text);
}

nlohmann::json ParseJson(std::string_view text, const std::string& where) {
  if (Depth(text) > kMaxJsonDepth) Fail("{}: JSON nested deeper than {} levels", where, kMaxJsonDepth);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    Fail("{}: not valid JSON: {}", where, JsonReason(error));
  }
}

}  // namespace lowbit
