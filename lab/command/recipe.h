// The recipe of `lowbit train`: model, tokenizer, texts, training, in TOML.
#pragma once

#include <filesystem>
#include <string>

#include "lab/data/text.h"
#include "lab/data/tokenizer.h"
#include "lab/objective/next_token.h"
#include "lowbit/network/llama.h"

namespace lowbit::lab {

struct TrainRecipe {
  LlamaConfig model;  // vocab is the tokenizer's
  TokenizerOptions tokenizer;
  std::string item;      // folder of the data folder
  CorpusOptions corpus;  // `folder` is filled by the command
  WindowOptions windows;
  NextTokenOptions objective;
  int64_t steps = 1000, evaluate_every = 0;
  uint64_t seed = 0;
};

// Throws Error naming the file and the key: unknown keys, wrong types and impossible values are refused.
TrainRecipe ReadTrainRecipe(const std::filesystem::path& path);

}  // namespace lowbit::lab
