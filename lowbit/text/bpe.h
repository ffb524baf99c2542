// Byte-pair encoding (Sennrich et al. 2016) in both of its orders.
//
// A word starts as its characters. While some adjacent pair may be merged, the pair of the smallest priority
// is, the leftmost among equals.
//   ranked  (Hugging Face, GPT-2)      a list of merges (left piece, right piece); priority = position in the
//   list scored  (sentencepiece, llama2.c)  any pair whose joined text is a piece; priority = rank of the
//   piece's score,
//                                      highest first, equal scores equal
// A priority queue with lazy deletion makes that O(n log n) for a word of n characters. Long words are first
// cut where no merge can ever reach across: between characters a, b such that "ab" occurs in no piece that a
// merge makes.
//
// Characters that are not pieces: with byte_fallback the pieces <0x00>..<0xFF> of their UTF-8 bytes, if the
// vocabulary has them; otherwise the unknown piece (runs of it joined if fuse_unknown), or nothing without
// one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lowbit/text/flat_map.h"
#include "lowbit/text/vocabulary.h"

namespace lowbit {

// Ids of words seen during one Encode, and the scratch space of a model.
struct WordCache {
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };
  struct Range {
    uint32_t begin, size;
  };
  std::unordered_map<std::string, Range, Hash, std::equal_to<>> words;
  std::vector<int32_t> ids;
};

struct BpeOptions {
  int32_t unknown = -1;  // id, -1: none
  std::string continuing_prefix, end_suffix;
  bool fuse_unknown = false, byte_fallback = false;
  bool ignore_merges = false;  // a word that is a piece is taken whole
};

class Bpe {
 public:
  using Merge = std::pair<int32_t, int32_t>;  // ids of the left and the right piece

  // Ranked. Throws Error when a merge names an unknown id or its result is not a piece.
  Bpe(Vocabulary vocabulary, std::vector<Merge> merges, BpeOptions options);
  // Scored. `mergeable[id]` is false for pieces that no merge may make (control, byte, unused pieces).
  Bpe(Vocabulary vocabulary, std::vector<float> scores, std::vector<bool> mergeable, BpeOptions options);

  void Encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const BpeOptions& options() const { return options_; }
  bool scored() const { return scored_; }
  const std::vector<Merge>& merges() const { return merges_; }       // empty when scored
  const std::vector<float>& scores() const { return scores_; }       // empty when ranked
  const std::vector<bool>& mergeable() const { return mergeable_; }  // empty when ranked

 private:
  struct Symbol {
    int32_t id;  // -1: text that is no piece
    int32_t previous, next;
    uint32_t begin, length;  // length 0: merged away
  };
  struct Candidate {
    uint32_t priority = 0;
    int32_t id = -1;  // -1: no such merge
  };
  void EncodePart(std::string_view part, WordCache& cache, std::vector<int32_t>& out) const;
  void MergeAll(std::string_view text, std::vector<int32_t>& out) const;
  std::vector<Symbol> Characters(std::string_view text) const;
  Candidate Find(std::string_view text, const Symbol& left, const Symbol& right) const;
  void EmitScored(std::string_view text, const std::vector<Symbol>& symbols, std::vector<int32_t>& out) const;
  int32_t FindCharacter(std::string_view character, char32_t point) const;
  void LearnCharacters();
  void LearnBoundaries();
  void AddPairsInside(std::string_view piece);
  bool MayMergeAcross(char32_t left, char32_t right) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  bool scored_ = false;
  std::vector<Merge> merges_;
  std::vector<float> scores_;
  std::vector<bool> mergeable_;
  FlatMap ranks_;                   // (left, right) -> (priority, id)
  std::vector<uint32_t> priority_;  // scored: by id
  std::vector<int32_t> small_;      // ids of characters below U+0400
  std::vector<int32_t> bytes_;      // ids of the byte pieces, empty without all 256
  std::vector<uint64_t> pairs_;     // Bloom bits: pairs of characters that occur inside merged pieces
  bool cuttable_ = false;
};

}  // namespace lowbit
