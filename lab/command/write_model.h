// A trained model as a Hugging Face folder.
#pragma once

#include <filesystem>
#include <string>

#include "lab/autograd/executor.h"
#include "lowbit/network/llama.h"

namespace lowbit::lab {

// Writes config.json, generation_config.json, model.safetensors (all weights in bf16, rounded to nearest
// even), tokenizer.model (the given sentencepiece ModelProto), tokenizer.json and tokenizer_config.json.
// Every file is written under a temporary name first. Throws Error naming the weight that is not finite.
void WriteModel(const std::filesystem::path& folder, const LlamaConfig& config, const Weights& weights,
                const std::string& tokenizer_model);

}  // namespace lowbit::lab
