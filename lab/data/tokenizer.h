// The tokenizer of a model trained here: BPE with byte fallback, the shape of Llama's, trained by
// sentencepiece. Read it with Tokenizer::FromSentencePiece.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/data/text.h"

namespace lowbit::lab {

struct TokenizerOptions {
  int64_t vocab = 2048;                // with <unk> 0, <s> 1, </s> 2 and the 256 bytes
  double character_coverage = 0.9999;  // rarer characters are spelled in bytes
};

// Trains on the lines of the documents; returns a serialised sentencepiece ModelProto ("tokenizer.model"). A
// function of the text and the options alone. Settings are those of Llama: digits split, identity
// normalisation, a space before the text, extra white space kept. Throws Error with sentencepiece's message
// when the text is too short for the vocabulary.
std::string TrainTokenizer(const std::vector<Document>& documents, const TokenizerOptions& options);

}  // namespace lowbit::lab
