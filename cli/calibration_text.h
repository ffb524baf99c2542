// A text file as calibration or evaluation tokens.
#pragma once

#include <string>
#include <vector>

#include "lowbit/model/model.h"

namespace lowbit::cli {

// The model's tokenizer. Throws Error when the model brings none.
const Tokenizer& NeedTokenizer(const Model& model);

enum class ChatRendering : uint8_t {
  kNone,   // entries are texts, each after the tokenizer's start token
  kModel,  // entries are conversations, rendered by the model's chat template, which writes the start token
           // itself
};

// All entries of a text or JSON file (lowbit/text/entries.h) as one token stream. Throws Error when a chat
// template is asked for and the model brings none.
std::vector<int32_t> CalibrationTokens(const Model& model, const std::string& path,
                                       ChatRendering rendering = ChatRendering::kNone);

// "1.23 MB"
std::string Bytes(size_t bytes);

}  // namespace lowbit::cli
