// Base64 (RFC 4648), as JSON files carry bytes.
#pragma once

#include <string>
#include <string_view>

namespace lowbit {

std::string EncodeBase64(std::string_view bytes);
// Throws Error on a character outside the alphabet or a cut end.
std::string DecodeBase64(std::string_view text);

}  // namespace lowbit
