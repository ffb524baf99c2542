// config.json of Hugging Face checkpoints <-> LlamaConfig.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lowbit/network/llama.h"

namespace lowbit {

// Families: llama, mistral, qwen2, qwen3, gemma3_text. Reads rope_scaling + rope_theta or the newer
// rope_parameters. `where` names the file in messages. Throws Error naming the key that is missing, of the
// wrong type or not supported (and the families that are known).
LlamaConfig ParseHfConfig(const nlohmann::json& json, const std::string& where);

// The same configuration as a config.json that transformers reads.
nlohmann::json ToHfConfig(const LlamaConfig& config);

}  // namespace lowbit
