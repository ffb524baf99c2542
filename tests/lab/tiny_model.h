// Small models and texts for the tests of the laboratory.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "lab/autograd/executor.h"
#include "lowbit/base/random.h"
#include "lowbit/network/llama.h"

namespace lowbit::lab {

inline LlamaConfig TinyLlama() {
  LlamaConfig c;
  c.vocab = 61, c.width = 24, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_size = 6, c.ffn = 40,
  c.context = 32;
  return c;
}

// One model for each thing that the families differ in.
inline std::map<std::string, LlamaConfig> TinyFamilies() {
  std::map<std::string, LlamaConfig> all;
  all["tied"] = TinyLlama();
  LlamaConfig& untied = all["untied"] = TinyLlama();
  untied.tied = false;
  LlamaConfig& biases = all["biases"] = TinyLlama();
  biases.qkv_bias = biases.output_bias = biases.mlp_bias = true;
  LlamaConfig& qk_norm = all["qk_norm_wide_heads"] = TinyLlama();
  qk_norm.family = "qwen3", qk_norm.qk_norm = true, qk_norm.head_size = 10;
  LlamaConfig& window = all["window"] = TinyLlama();
  window.family = "mistral", window.window = 5;
  LlamaConfig& gemma = all["gemma"] = TinyLlama();
  gemma.family = "gemma3_text", gemma.qk_norm = gemma.post_norms = true, gemma.activation = "gelu_tanh";
  gemma.norm_offset = 1, gemma.embedding_scale = std::sqrt(24.0), gemma.attention_scale = 0.3;
  gemma.window = 4, gemma.sliding = {true, false}, gemma.has_sliding_rope = true,
  gemma.sliding_rope.theta = 500;
  const auto rope = [&](const char* type) -> RopeConfig& {
    LlamaConfig& c = all[std::string("rope_") + type] = TinyLlama();
    c.rope.type = type, c.rope.factor = 4, c.rope.original_context = 8;
    return c.rope;
  };
  rope("linear"), rope("dynamic"), rope("yarn"), rope("llama3");
  RopeConfig& longrope = rope("longrope");
  longrope.short_factor = {1, 1.1, 1.3}, longrope.long_factor = {1, 2.5, 6};
  LlamaConfig& partial = all["rope_partial"] = TinyLlama();
  partial.head_size = 8, partial.rope.partial = 0.5;
  return all;
}

// Weights of a size that makes every part of the network matter.
inline Weights RandomWeights(const Graph& graph, uint64_t seed) {
  Weights weights = InitialWeights(graph, seed, 0.25);
  uint64_t stream = 1000;
  for (auto& [name, tensor] : weights) {
    if (tensor.dim() != 1) continue;
    Random random(seed, stream++);
    float* data = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) data[i] += 0.2f * random.Normal();
  }
  return weights;
}

inline std::vector<int32_t> RandomTokens(int64_t count, int64_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(random.Below(static_cast<uint32_t>(vocab))));
  return tokens;
}

// (sequences, length) int64 of sequences that lie one after the other.
inline torch::Tensor Ids(const std::vector<int32_t>& tokens, int64_t sequences) {
  return torch::tensor(std::vector<int64_t>(tokens.begin(), tokens.end())).view({sequences, -1});
}

}  // namespace lowbit::lab
