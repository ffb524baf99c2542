// Tokens found in the text itself before anything else looks at it: control tokens ("<s>", "<|im_end|>") and
// others that must never be cut. Matching is leftmost-longest, as in tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lowbit/text/flat_map.h"

namespace lowbit {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;   // looked for after normalization, and its content normalized too
  bool as_piece = false;     // looked for after normalization, its content is spelled so already
  bool special = false;      // control token: left out by Decode, ignored by Encode without parse_special
};

class AddedTokenMatcher {
 public:
  struct Segment {
    size_t begin = 0, end = 0;
    int32_t id = -1;  // -1: text between tokens
  };
  // One pattern for each token; tokens with an empty pattern never match.
  void Add(const AddedToken& token, std::string_view pattern);
  bool empty() const { return tokens_.empty(); }

  // The whole text as segments, in order. Special tokens stay text unless parse_special.
  std::vector<Segment> Match(std::string_view text, bool parse_special) const;

 private:
  struct Entry {
    int32_t id;
    bool single_word, lstrip, rstrip, special;
  };
  int32_t Longest(std::string_view text, size_t& length) const;  // entry at the beginning of `text`, -1

  std::vector<Entry> tokens_;
  FlatMap trie_;  // (node, byte) -> node
  std::vector<int32_t> node_entry_ = {-1};
  bool first_[256] = {};  // bytes that begin some token
};

}  // namespace lowbit
