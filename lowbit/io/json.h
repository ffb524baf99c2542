// JSON from files that nobody vouches for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace lowbit {

// Deeper than any configuration or tokenizer; copying and printing a value take stack for each level.
inline constexpr int kMaxJsonDepth = 64;

// Throws Error: "where: not valid JSON: line 3, column 7: ...", or that it nests deeper than kMaxJsonDepth.
nlohmann::json ParseJson(std::string_view text, const std::string& where);

// What a failure of nlohmann's library says, without the library's own numbering.
std::string JsonReason(const std::exception& error);

}  // namespace lowbit
