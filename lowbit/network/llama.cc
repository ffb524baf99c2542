#include "lowbit/network/llama.h"

#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

class Builder {
 public:
  explicit Builder(const LlamaConfig& config) : c_(config) {}

  Graph Build() {
    graph_.ropes.push_back(MakeRope(c_.rope, c_.head_size, c_.context));
    if (c_.has_sliding_rope) graph_.ropes.push_back(MakeRope(c_.sliding_rope, c_.head_size, c_.context));
    const int tokens = graph_.AddValue({"tokens", ValueKind::kTokens, {-1}, {"tokens"}});
    graph_.inputs = {tokens};
    const int embedding =
        graph_.AddWeight("model.embed_tokens.weight", {c_.vocab, c_.width}, {"vocab", "width"});
    int x = graph_.AddNode(Op::kEmbedding, "model.embed_tokens", -1, {tokens, embedding}, c_.width,
                           {{"scale", c_.embedding_scale}});
    for (int layer = 0; layer < c_.layers; ++layer) x = Block(layer, x);
    block_ = -1;
    x = Norm("model.norm", x, c_.width, c_.width);
    const std::string head = c_.tied ? "model.embed_tokens.weight" : "lm_head.weight";
    const int weight = graph_.AddWeight(head, {c_.vocab, c_.width}, {"vocab", "width"});
    graph_.outputs = {graph_.AddNode(Op::kLinear, "lm_head", -1, {x, weight}, c_.vocab)};
    return std::move(graph_);
  }

 private:
  int Block(int layer, int x) {
    block_ = layer;
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    const int64_t q_width = c_.heads * c_.head_size, kv_width = c_.kv_heads * c_.head_size;
    const int h = Norm(at + "input_layernorm", x, c_.width, c_.width);
    int q = Linear(at + "self_attn.q_proj", h, c_.width, q_width, c_.qkv_bias);
    int k = Linear(at + "self_attn.k_proj", h, c_.width, kv_width, c_.qkv_bias);
    const int v = Linear(at + "self_attn.v_proj", h, c_.width, kv_width, c_.qkv_bias);
    if (c_.qk_norm) {
      q = Norm(at + "self_attn.q_norm", q, q_width, c_.head_size);
      k = Norm(at + "self_attn.k_norm", k, kv_width, c_.head_size);
    }
    const bool sliding = c_.window > 0 && (c_.sliding.empty() || c_.sliding[layer]);
    const double scale =
        c_.attention_scale != 0 ? c_.attention_scale : 1 / std::sqrt(static_cast<double>(c_.head_size));
    const int attended = graph_.AddNode(Op::kAttention, at + "self_attn", layer, {q, k, v}, q_width,
                                        {{"heads", c_.heads},
                                         {"kv_heads", c_.kv_heads},
                                         {"head_size", c_.head_size},
                                         {"scale", scale},
                                         {"window", sliding ? c_.window : int64_t{0}},
                                         {"rope", int64_t{sliding && c_.has_sliding_rope ? 1 : 0}}});
    int o = Linear(at + "self_attn.o_proj", attended, q_width, c_.width, c_.output_bias);
    if (c_.post_norms) o = Norm(at + "post_attention_layernorm", o, c_.width, c_.width);
    x = graph_.AddNode(Op::kAdd, at + "attention_residual", layer, {x, o}, c_.width);

    const int m = Norm(at + (c_.post_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm"), x,
                       c_.width, c_.width);
    const int gate = Linear(at + "mlp.gate_proj", m, c_.width, c_.ffn, c_.mlp_bias);
    const int up = Linear(at + "mlp.up_proj", m, c_.width, c_.ffn, c_.mlp_bias);
    const int glu =
        graph_.AddNode(Op::kGlu, at + "mlp.act", layer, {gate, up}, c_.ffn, {{"activation", c_.activation}});
    int down = Linear(at + "mlp.down_proj", glu, c_.ffn, c_.width, c_.mlp_bias);
    if (c_.post_norms) down = Norm(at + "post_feedforward_layernorm", down, c_.width, c_.width);
    return graph_.AddNode(Op::kAdd, at + "mlp_residual", layer, {x, down}, c_.width);
  }

  int Linear(const std::string& name, int x, int64_t in, int64_t out, bool bias) {
    std::vector<int> inputs = {x, graph_.AddWeight(name + ".weight", {out, in}, {"out", "in"})};
    if (bias) inputs.push_back(graph_.AddWeight(name + ".bias", {out}, {"out"}));
    return graph_.AddNode(Op::kLinear, name, block_, inputs, out);
  }

  int Norm(const std::string& name, int x, int64_t width, int64_t run) {
    const int weight = graph_.AddWeight(name + ".weight", {run}, {"width"});
    return graph_.AddNode(Op::kRmsNorm, name, block_, {x, weight}, width,
                          {{"eps", c_.norm_eps}, {"offset", c_.norm_offset}});
  }

  const LlamaConfig& c_;
  Graph graph_;
  int block_ = -1;
};

}  // namespace

Graph BuildLlama(const LlamaConfig& c) {
  const auto positive = [](const char* name, int64_t value) {
    if (value <= 0 || value > (int64_t{1} << 31))
      Fail("configuration: {} is {}, it must lie between 1 and 2^31", name, value);
  };
  positive("vocab_size", c.vocab);
  positive("hidden_size", c.width);
  positive("num_hidden_layers", c.layers);
  positive("num_attention_heads", c.heads);
  positive("num_key_value_heads", c.kv_heads);
  positive("head_dim", c.head_size);
  positive("intermediate_size", c.ffn);
  positive("max_position_embeddings", c.context);
  if (!(c.norm_eps >= 0)) Fail("configuration: rms_norm_eps is {}, it must not be negative", c.norm_eps);
  if (c.heads % c.kv_heads != 0) {
    Fail("configuration: num_key_value_heads is {}, it must divide num_attention_heads, {}", c.kv_heads, c.heads);
  }
  if (c.layers > 10000) Fail("configuration: {} layers are more than any model has", c.layers);
  if (!c.sliding.empty() && static_cast<int64_t>(c.sliding.size()) != c.layers) {
    Fail("configuration: layer_types has {} entries for {} layers", c.sliding.size(), c.layers);
  }
  Graph graph = Builder(c).Build();
  Validate(graph);
  return graph;
}

}  // namespace lowbit
