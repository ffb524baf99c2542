#include "lowbit/text/added_tokens.h"

#include <algorithm>

#include "lowbit/text/unicode.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

// Start of the last character of a non-empty text.
size_t LastCharacter(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool EndsWithWord(std::string_view text) {
  return !text.empty() && IsWord(NextUtf8(text.substr(LastCharacter(text))).point);
}

bool StartsWithWord(std::string_view text) {
  return !text.empty() && IsWord(NextUtf8(text).point);
}

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token, std::string_view pattern) {
  if (pattern.empty()) return;
  uint64_t node = 0;
  for (const char c : pattern) {
    const uint64_t key = (node << 8) | static_cast<uint8_t>(c);
    uint64_t next = trie_.Get(key);
    if (next == FlatMap::kAbsent) {
      next = node_entry_.size();
      node_entry_.push_back(-1);
      trie_.Set(key, next);
    }
    node = next;
  }
  first_[static_cast<uint8_t>(pattern[0])] = true;
  if (node_entry_[node] < 0) node_entry_[node] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token.id, token.single_word, token.lstrip, token.rstrip, token.special});
}

int32_t AddedTokenMatcher::Longest(std::string_view text, size_t& length) const {
  int32_t found = -1;
  uint64_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    node = trie_.Get((node << 8) | static_cast<uint8_t>(text[i]));
    if (node == FlatMap::kAbsent) break;
    if (node_entry_[node] >= 0) {
      found = node_entry_[node];
      length = i + 1;
    }
  }
  return found;
}

std::vector<AddedTokenMatcher::Segment> AddedTokenMatcher::Match(std::string_view text,
                                                                 bool parse_special) const {
  std::vector<Segment> segments;
  size_t done = 0;  // everything before is in a segment
  if (!tokens_.empty()) {
    for (size_t at = 0; at < text.size();) {
      size_t length = 0;
      const int32_t entry = first_[static_cast<uint8_t>(text[at])] ? Longest(text.substr(at), length) : -1;
      if (entry < 0) {
        ++at;
        continue;
      }
      const Entry& token = tokens_[static_cast<size_t>(entry)];
      size_t begin = at, end = at + length;
      at = end;
      if (token.special && !parse_special) continue;
      if (token.single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
        continue;
      if (token.lstrip) {
        while (begin > done) {
          const size_t previous = LastCharacter(text.substr(0, begin));
          if (!IsWhiteSpace(NextUtf8(text.substr(previous)).point)) break;
          begin = previous;
        }
      }
      if (token.rstrip) {
        while (end < text.size()) {
          const Utf8Step step = NextUtf8(text.substr(end));
          if (!IsWhiteSpace(step.point)) break;
          end += step.length;
        }
      }
      begin = std::max(begin, done);  // white space may already belong to the token before
      end = std::max(end, begin);
      if (begin > done) segments.push_back({done, begin, -1});
      segments.push_back({begin, end, token.id});
      done = end;
    }
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
  return segments;
}

}  // namespace lowbit
