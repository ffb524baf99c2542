// The decoder-only transformer of Llama, Mistral, Qwen2, Qwen3 and Gemma 3 (text) as one graph. The families
// differ in fields, not in code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/graph/graph.h"
#include "lowbit/network/rope.h"

namespace lowbit {

struct LlamaConfig {
  std::string family = "llama";  // llama | mistral | qwen2 | qwen3 | gemma3_text
  int64_t vocab = 0, width = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0, ffn = 0;
  int64_t context = 2048;  // max_position_embeddings
  double norm_eps = 1e-6;
  double norm_offset = 0;      // Gemma: y = x / rms * (1 + weight)
  double embedding_scale = 1;  // Gemma: sqrt(width), rounded to bf16
  double attention_scale = 0;  // 0: 1/sqrt(head_size)
  bool tied = true;            // lm_head shares the embedding
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;     // RMSNorm over each head of q and k before RoPE
  bool post_norms = false;  // Gemma: norms after attention and after the feed-forward network
  std::string activation = "silu";
  int64_t window = 0;         // sliding attention of the layers named in `sliding` (0: none)
  std::vector<bool> sliding;  // one entry a layer, or empty: all layers (when window > 0)
  RopeConfig rope;            // layers with full attention
  RopeConfig sliding_rope;    // sliding layers, used when has_sliding_rope
  bool has_sliding_rope = false;
};

// Node and weight names are those of Hugging Face checkpoints ("model.layers.0.self_attn.q_proj" +
// ".weight"). Input: token ids (T); output: logits (T, vocab). Throws Error when the configuration
// contradicts itself.
Graph BuildLlama(const LlamaConfig& config);

}  // namespace lowbit
