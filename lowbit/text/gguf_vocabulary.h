// The tokenizer.ggml.* keys of a GGUF file, as plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lowbit {

struct GgufVocabulary {
  enum TokenType : int32_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };

  std::string model;                   // tokenizer.ggml.model: "llama" or "gpt2"
  std::string pre;                     // .pre: name of the pre-tokenizer ("gpt2" only); empty means "default"
  std::vector<std::string> tokens;     // .tokens
  std::vector<float> scores;           // .scores ("llama")
  std::vector<int32_t> types;          // .token_type; empty: all normal
  std::vector<std::string> merges;     // .merges ("gpt2"): "left right"
  int32_t bos = -1, eos = -1;          // .bos_token_id, .eos_token_id
  int32_t eot = -1, eom = -1;          // .eot_token_id, .eom_token_id: further end tokens
  int32_t unknown = -1, padding = -1;  // .unknown_token_id, .padding_token_id
  std::optional<bool> add_bos, add_eos,
      add_space_prefix;  // .add_bos_token, .add_eos_token, .add_space_prefix
};

}  // namespace lowbit
