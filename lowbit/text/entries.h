// Texts and conversations in files: what is scored and what calibrates.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lowbit/text/chat_template.h"

namespace lowbit {

// The entries of a text file (one entry) or, where the name ends in .json, of a JSON array of strings. Throws
// Error when the file is neither, is empty, or is not UTF-8 (naming the byte).
std::vector<std::string> ReadEntries(const std::filesystem::path& path);

// The same entries as conversations: a string is one turn of the user; an array of objects with "role" and
// "content" (text, a list of parts, or null) is taken as it is, further fields go to ChatMessage::extra.
// Throws as ReadEntries, and naming the entry and message that has no such form.
std::vector<std::vector<ChatMessage>> ReadConversations(const std::filesystem::path& path);

}  // namespace lowbit
