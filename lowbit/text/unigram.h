// Unigram language model segmentation (Kudo 2018): the pieces of a word that maximise the sum of their scores
// (log probabilities), found by the Viterbi algorithm over all pieces that begin at each character.
//
// A character that begins no piece costs the smallest score minus 10 and becomes the unknown piece (runs
// joined), or its bytes with byte_fallback. User-defined pieces are the concern of the added tokens, not of
// this model.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lowbit/text/bpe.h"

namespace lowbit {

struct UnigramOptions {
  int32_t unknown = -1;
  bool byte_fallback = false;
};

class Unigram {
 public:
  // `usable[id]` is false for pieces that text never matches (control, unknown, byte, unused pieces).
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::vector<bool> usable,
          UnigramOptions options);

  void Encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::vector<double>& scores() const { return scores_; }
  const std::vector<bool>& usable() const { return usable_; }
  const UnigramOptions& options() const { return options_; }

 private:
  void Viterbi(std::string_view word, std::vector<int32_t>& out) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::vector<bool> usable_;
  UnigramOptions options_;
  double unknown_score_ = 0;
  FlatMap trie_;                     // (node, byte) -> node
  std::vector<int32_t> node_piece_;  // -1: no piece ends here
  std::vector<int32_t> bytes_;
};

}  // namespace lowbit
