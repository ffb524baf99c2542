// What a tokenizer must survive after its file was accepted: any text, any id, and being written out again.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fuzz/exercise.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit {

inline void ExerciseTokenizer(const Tokenizer& tokenizer) {
  constexpr std::string_view kText =
      "The cat sat  on\tthe mat, 12345 times!\n\xe2\x96\x81 na\xc3\xafve \xf0\x9f\x98\x80\xff <s></s>";
  const std::vector<int32_t> ids = tokenizer.Encode(kText);
  for (const int32_t id : ids) {
    if (id < 0 || id >= tokenizer.vocab_size()) __builtin_trap();
    tokenizer.TokenBytes(id);
    tokenizer.Find(tokenizer.Piece(id));
  }
  tokenizer.Decode(ids);
  // Ids that the vocabulary does not have come from elsewhere.
  tokenizer.Decode(std::vector<int32_t>{-1, tokenizer.vocab_size(), INT32_MAX});
  tokenizer.ToHuggingFace();
  AllowErrors([&] { tokenizer.ToGguf(); });
}

}  // namespace lowbit
