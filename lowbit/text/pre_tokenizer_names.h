// The names that GGUF files give to pre-tokenizers of byte-level BPE (tokenizer.ggml.pre), as llama.cpp knows
// them.
#pragma once

#include <string>
#include <string_view>

#include "lowbit/text/pre_tokenizer.h"

namespace lowbit {

struct NamedPreTokenizer {
  PreTokenizer steps;
  bool ignore_merges = false;
  bool add_bos = false;  // when the file does not say
  bool nfc = false;      // the family's tokenizer.json normalizes
};

// Throws Error on a name that is not known, listing those that are. "" is "default".
NamedPreTokenizer FindPreTokenizer(std::string_view name);

// The name of an equal pre-tokenizer, empty when there is none.
std::string NameOfPreTokenizer(const PreTokenizer& steps, bool ignore_merges);

}  // namespace lowbit
