// Tokenizers: text to token ids and back, whatever file they come from.
//
// A tokenizer is a pipeline, the one of Hugging Face's tokenizer.json; the other sources are expressed in it:
//
//   text -> added tokens -> normalizer -> pre-tokenizer -> model (BPE or unigram) -> prefix and suffix tokens
//   ids  -> pieces -> decoder -> text
//
//   FromHuggingFace   tokenizer.json, with tokenizer_config.json for the names of the special tokens
//   FromSentencePiece tokenizer.model (BPE and unigram)
//   FromGguf          tokenizer.ggml.* keys (lowbit/text/gguf_vocabulary.h): "llama" is a scored BPE over
//   text with
//                     spaces as U+2581; "gpt2" is a byte-level BPE whose pre-tokenizer is given by name
//   FromLlama2c       tokenizer.bin of llama2.c
//
// Results equal those of the Python package `tokenizers` 0.23 for the same tokenizer.json, except for code
// points assigned after Unicode 14 (the Unicode version of Debian's PCRE2). Input that is not UTF-8 is read
// as if each ill-formed part were U+FFFD. A Tokenizer is a cheap value (shared, immutable state) and safe to
// use from threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/text/gguf_vocabulary.h"
#include "lowbit/text/normalizer.h"

namespace lowbit {

struct TokenizerPipeline;  // lowbit/text/tokenizer_pipeline.h

enum class ParseSpecial : uint8_t {
  kYes,  // "<|im_end|>" in the text is the control token
  kNo,   // it is ordinary text (untrusted input)
};

struct EncodeOptions {
  bool add_special = true;  // the tokens that the tokenizer puts before and after a text (BOS, EOS)
  ParseSpecial parse_special = ParseSpecial::kYes;
  PrefixSpace prefix_space = PrefixSpace::kAsTokenizer;
};

struct DecodeOptions {
  bool skip_special = true;  // leave control tokens out
};

// Files beside tokenizer.json, as text; empty when absent.
struct HuggingFaceTexts {
  std::string tokenizer_config, special_tokens_map;
};
struct HuggingFaceTokenizer {
  std::string tokenizer_json;
  HuggingFaceTexts beside;
};

class Tokenizer {
 public:
  // All throw Error naming what is wrong: a component that lowbit does not know is named with those that it
  // knows.
  static Tokenizer FromHuggingFace(std::string_view tokenizer_json, const HuggingFaceTexts& beside = {});
  static Tokenizer FromSentencePiece(std::string_view model_bytes);
  static Tokenizer FromGguf(const GgufVocabulary& vocabulary);
  static Tokenizer FromLlama2c(std::string_view tokenizer_bin);

  explicit Tokenizer(std::shared_ptr<const TokenizerPipeline> pipeline);

  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;
  std::string Decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  // The bytes that a token adds in the middle of a text; joined over tokens they are the text, before
  // decoding strips a leading space. Use with Utf8Stream. Control tokens give their name.
  std::string TokenBytes(int32_t id) const;
  // The piece as the vocabulary spells it ("▁the", "Ġthe", "<0x0A>"); empty when the id is unknown.
  std::string Piece(int32_t id) const;
  int32_t Find(std::string_view piece) const;  // -1 when absent

  int32_t vocab_size() const;            // largest id + 1
  int32_t bos() const;                   // -1: none
  int32_t unknown() const;               // -1: none
  std::span<const int32_t> eos() const;  // any of these ends a text; the first is the one to append
  bool is_eos(int32_t id) const;
  bool is_special(int32_t id) const;  // control token
  bool add_bos() const;               // Encode puts bos() first
  bool add_eos() const;               // Encode puts an eos() last

  // The same tokenizer with these end tokens (generation_config.json may name more than the tokenizer's own
  // files).
  Tokenizer WithEos(std::vector<int32_t> eos) const;

  // A tokenizer.json with this tokenizer's behaviour, readable by Hugging Face's packages, and a
  // tokenizer_config.json with the special tokens; what neither has a place for (further end tokens, scores
  // of a scored BPE, which tokenizer.json holds as merges) is under the key "lowbit" of the latter.
  // FromHuggingFace of both gives the same tokenizer.
  HuggingFaceTokenizer ToHuggingFace() const;
  // For GGUF files: model "llama" for BPE over text with spaces as U+2581 (scores = minus merge rank if the
  // tokenizer has merges), "gpt2" for byte-level BPE whose pre-tokenizer has a name in llama.cpp.
  // Throws Error when GGUF cannot express the tokenizer.
  GgufVocabulary ToGguf() const;

  const TokenizerPipeline& pipeline() const { return *pipeline_; }

 private:
  std::shared_ptr<const TokenizerPipeline> pipeline_;
};

}  // namespace lowbit
