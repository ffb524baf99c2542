// What a Tokenizer is made of. For the loaders and writers of this room; users need tokenizer.h only.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "lowbit/text/added_tokens.h"
#include "lowbit/text/bpe.h"
#include "lowbit/text/decoder.h"
#include "lowbit/text/normalizer.h"
#include "lowbit/text/pre_tokenizer.h"
#include "lowbit/text/unigram.h"

namespace lowbit {

using TokenModel = std::variant<Bpe, Unigram>;

struct TokenizerPipeline {
  std::vector<AddedToken> added;  // by id
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  TokenModel model;
  std::vector<int32_t> prefix, suffix;  // put around a text by Encode
  Decoder decoder;
  // Without a decoder pieces are joined by single spaces, as in the reference implementation.
  bool has_decoder = true;

  int32_t bos = -1, unknown = -1;
  std::vector<int32_t> eos;

  // Derived by Finish().
  AddedTokenMatcher raw_matcher, normalized_matcher;
  std::unordered_map<int32_t, size_t> added_by_id;  // index into `added`
  int32_t vocab_size = 0;

  explicit TokenizerPipeline(TokenModel token_model) : model(std::move(token_model)) {}
  const Vocabulary& vocabulary() const;
  const AddedToken* Added(int32_t id) const;
  std::string_view Piece(int32_t id) const;
  int32_t Find(std::string_view piece) const;
  // Builds the derived members and checks every id. Throws Error.
  void Finish();
};

}  // namespace lowbit
