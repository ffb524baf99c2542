// A language model opened from whatever the user has: a Hugging Face folder, a GGUF file, a lowbit file, a
// llama2.c checkpoint, an already quantized checkpoint.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lowbit/graph/graph.h"
#include "lowbit/model/weights.h"
#include "lowbit/network/llama.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit {

struct Model {
  std::filesystem::path path;
  std::vector<std::filesystem::path> weight_files;  // that hold the weights
  std::vector<std::filesystem::path> other_files;   // configuration, tokenizer
  std::string kind;  // "Hugging Face folder", "GGUF file", "lowbit file", ...
  LlamaConfig config;
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const Weights> weights;
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the model brings none
  std::string chat_template;                   // Jinja source; empty: none
  std::vector<int32_t> end_tokens;             // generation stops at any of these
};

// Opens a model; weights stay in their file until they are used. `tokenizer` overrides where the tokenizer is
// read from (a file or folder). Throws Error naming the file and what would be right.
Model OpenModel(const std::filesystem::path& path, const std::filesystem::path& tokenizer = {});

// Writes what stands beside the weights of a Hugging Face folder: config.json with the entries of `extra`
// ("torch_dtype", "quantization_config"), and the tables of TablesOf as files. The folder must exist.
void WriteHfTables(const Model& model, const std::filesystem::path& folder, const nlohmann::json& extra);

// The files and tables that go with the weights, by name ("tokenizer.json", "chat_template",
// "generation_config.json"): what is copied into a lowbit file so that it stands alone.
std::map<std::string, std::string> TablesOf(const Model& model);

}  // namespace lowbit
