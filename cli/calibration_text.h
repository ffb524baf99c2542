// A text file as calibration or evaluation tokens.
#pragma once

#include <string>
#include <vector>

#include "lowbit/model/model.h"

namespace lowbit::cli {

// The model's tokenizer. Throws Error when the model brings none.
const Tokenizer& NeedTokenizer(const Model& model);

// All entries of a text or JSON file as one token stream, every entry after the tokenizer's start token.
std::vector<int32_t> CalibrationTokens(const Model& model, const std::string& path);

// "1.23 MB"
std::string Bytes(size_t bytes);

}  // namespace lowbit::cli
