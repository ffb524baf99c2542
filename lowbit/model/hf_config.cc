#include "lowbit/model/hf_config.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

namespace lowbit {
namespace {

using nlohmann::json;

// Typed access with messages that name the file and the key.
class Reader {
 public:
  Reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("{}: a JSON object is needed", where_);
  }

  bool Has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
  const json& At(const char* key) const {
    if (!Has(key)) Fail("{}: the key \"{}\" is missing", where_, key);
    return object_.at(key);
  }
  int64_t Int(const char* key) const {
    const json& value = At(key);
    if (!value.is_number_integer())
      Fail("{}: \"{}\" must be an integer, it is {}", where_, key, value.dump());
    return value.get<int64_t>();
  }
  int64_t Int(const char* key, int64_t fallback) const { return Has(key) ? Int(key) : fallback; }
  double Real(const char* key) const {
    const json& value = At(key);
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      Fail("{}: \"{}\" must be a number, it is {}", where_, key, value.dump());
    }
    return value.get<double>();
  }
  double Real(const char* key, double fallback) const { return Has(key) ? Real(key) : fallback; }
  bool Bool(const char* key, bool fallback) const {
    if (!Has(key)) return fallback;
    const json& value = At(key);
    if (!value.is_boolean()) Fail("{}: \"{}\" must be true or false, it is {}", where_, key, value.dump());
    return value.get<bool>();
  }
  std::string Text(const char* key, const std::string& fallback) const {
    if (!Has(key)) return fallback;
    const json& value = At(key);
    if (!value.is_string()) Fail("{}: \"{}\" must be a string, it is {}", where_, key, value.dump());
    return value.get<std::string>();
  }
  std::vector<double> Reals(const char* key) const {
    const json& value = At(key);
    std::vector<double> result;
    if (!value.is_array()) Fail("{}: \"{}\" must be an array of numbers", where_, key);
    for (const json& x : value) {
      if (!x.is_number() || !(x.get<double>() > 0))
        Fail("{}: \"{}\" must hold positive numbers", where_, key);
      result.push_back(x.get<double>());
    }
    return result;
  }
  const std::string& where() const { return where_; }

 private:
  const json& object_;
  std::string where_;
};

// rope_scaling or one entry of rope_parameters.
RopeConfig ParseRope(const Reader& r, double theta) {
  RopeConfig rope;
  rope.type = r.Text("rope_type", r.Text("type", "default"));
  rope.theta = r.Real("rope_theta", theta);
  rope.factor = r.Real("factor", 1);
  rope.partial = r.Real("partial_rotary_factor", 1);
  rope.original_context = r.Int("original_max_position_embeddings", 0);
  rope.attention_factor = r.Real("attention_factor", 0);
  rope.beta_fast = r.Real("beta_fast", 32);
  rope.beta_slow = r.Real("beta_slow", 1);
  rope.mscale = r.Real("mscale", 0);
  rope.mscale_all_dim = r.Real("mscale_all_dim", 0);
  rope.truncate = r.Bool("truncate", true);
  rope.low_freq_factor = r.Real("low_freq_factor", 1);
  rope.high_freq_factor = r.Real("high_freq_factor", 4);
  if (r.Has("short_factor")) rope.short_factor = r.Reals("short_factor");
  if (r.Has("long_factor")) rope.long_factor = r.Reals("long_factor");
  return rope;
}

json RopeToJson(const RopeConfig& rope) {
  json j = {{"rope_type", rope.type}, {"rope_theta", rope.theta}};
  if (rope.type != "default") j["factor"] = rope.factor;
  if (rope.partial != 1) j["partial_rotary_factor"] = rope.partial;
  if (rope.original_context > 0) j["original_max_position_embeddings"] = rope.original_context;
  if (rope.attention_factor > 0) j["attention_factor"] = rope.attention_factor;
  if (rope.type == "yarn") {
    j["beta_fast"] = rope.beta_fast;
    j["beta_slow"] = rope.beta_slow;
    j["truncate"] = rope.truncate;
    if (rope.mscale != 0) j["mscale"] = rope.mscale;
    if (rope.mscale_all_dim != 0) j["mscale_all_dim"] = rope.mscale_all_dim;
  }
  if (rope.type == "llama3") {
    j["low_freq_factor"] = rope.low_freq_factor;
    j["high_freq_factor"] = rope.high_freq_factor;
  }
  if (!rope.short_factor.empty()) {
    j["short_factor"] = rope.short_factor;
    j["long_factor"] = rope.long_factor;
  }
  return j;
}

void ParseRopes(const Reader& r, LlamaConfig& c) {
  const bool gemma = c.family == "gemma3_text";
  const double theta = r.Real("rope_theta", gemma ? 1e6 : 10000);
  const double local_theta = r.Real("rope_local_base_freq", 10000);
  c.rope.theta = theta;
  if (r.Has("rope_parameters")) {
    const json& parameters = r.At("rope_parameters");
    const std::string where = r.where() + ": rope_parameters";
    if (parameters.contains("full_attention")) {
      c.rope = ParseRope(Reader(parameters.at("full_attention"), where + ".full_attention"), theta);
      if (parameters.contains("sliding_attention")) {
        c.sliding_rope =
            ParseRope(Reader(parameters.at("sliding_attention"), where + ".sliding_attention"), local_theta);
        c.has_sliding_rope = true;
      }
    } else {
      c.rope = ParseRope(Reader(parameters, where), theta);
    }
  } else if (r.Has("rope_scaling")) {
    c.rope = ParseRope(Reader(r.At("rope_scaling"), r.where() + ": rope_scaling"), theta);
  }
  if (r.Has("rope_divisors")) c.rope.divisors = r.Reals("rope_divisors");
  if (r.Has("partial_rotary_factor")) c.rope.partial = r.Real("partial_rotary_factor");
  // Phi-3 style files keep the original context beside rope_scaling.
  if (c.rope.original_context == 0) c.rope.original_context = r.Int("original_max_position_embeddings", 0);
  if (gemma && !c.has_sliding_rope) {
    c.sliding_rope.theta = local_theta;
    c.has_sliding_rope = true;
  }
}

void ParseWindow(const Reader& r, LlamaConfig& c) {
  c.window = r.Int("sliding_window", 0);
  if (c.family == "qwen2" || c.family == "qwen3") {
    if (!r.Bool("use_sliding_window", false)) c.window = 0;
  }
  if (c.family == "llama") c.window = 0;
  if (c.window <= 0) {
    c.window = 0;
    return;
  }
  if (r.Has("layer_types")) {
    for (const json& type : r.At("layer_types")) {
      if (type != "sliding_attention" && type != "full_attention") {
        Fail("{}: layer type {} is not known; known: full_attention, sliding_attention", r.where(),
             type.dump());
      }
      c.sliding.push_back(type == "sliding_attention");
    }
  } else if (c.family == "gemma3_text") {
    const int64_t pattern = r.Int("sliding_window_pattern", 6);
    if (pattern <= 0) Fail("{}: \"sliding_window_pattern\" must be positive", r.where());
    for (int64_t i = 0; i < c.layers && i < 10000; ++i) c.sliding.push_back((i + 1) % pattern != 0);
  } else if (c.family == "qwen2" || c.family == "qwen3") {
    const int64_t first = r.Int("max_window_layers", 0);
    for (int64_t i = 0; i < c.layers && i < 10000; ++i) c.sliding.push_back(i >= first);
  }
}

}  // namespace

LlamaConfig ParseHfConfig(const json& root, const std::string& where) {
  if (root.is_object() && root.contains("text_config"))
    return ParseHfConfig(root.at("text_config"), where + ": text_config");
  const Reader r(root, where);
  LlamaConfig c;
  c.family = r.Text("model_type", "");
  static const std::set<std::string> kKnown = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"};
  if (!kKnown.contains(c.family)) {
    Fail("{}: model_type \"{}\" is not known; known: llama, mistral, qwen2, qwen3, gemma3_text", where,
         c.family);
  }
  const bool gemma = c.family == "gemma3_text", qwen3 = c.family == "qwen3";
  c.vocab = r.Int("vocab_size", gemma ? 262208 : -1);
  c.width = r.Int("hidden_size");
  c.layers = r.Int("num_hidden_layers");
  c.heads = r.Int("num_attention_heads");
  c.kv_heads = r.Int("num_key_value_heads", c.heads);
  c.ffn = r.Int("intermediate_size");
  if (c.heads <= 0) Fail("{}: \"num_attention_heads\" must be positive", where);
  c.head_size = r.Int("head_dim", gemma ? 256 : qwen3 ? 128 : c.width / c.heads);
  c.context = r.Int("max_position_embeddings", 2048);
  c.norm_eps = r.Real("rms_norm_eps", 1e-6);
  c.tied = r.Bool("tie_word_embeddings", gemma);
  c.qkv_bias = r.Bool("attention_bias", c.family == "qwen2");
  if (c.family == "qwen2") c.qkv_bias = true;
  c.output_bias = c.family != "qwen2" && r.Bool("attention_bias", false);
  c.mlp_bias = r.Bool("mlp_bias", false);
  c.qk_norm = gemma || qwen3;
  const std::string activation =
      r.Text(gemma ? "hidden_activation" : "hidden_act", gemma ? "gelu_pytorch_tanh" : "silu");
  if (activation == "silu" || activation == "swish") {
    c.activation = "silu";
  } else if (activation == "gelu_pytorch_tanh" || activation == "gelu_new") {
    c.activation = "gelu_tanh";
  } else {
    Fail("{}: activation \"{}\" is not supported; supported: silu, gelu_pytorch_tanh", where, activation);
  }
  if (gemma) {
    c.norm_offset = 1;
    c.post_norms = true;
    // The reference multiplies by sqrt(width) rounded to the type of the weights, bf16 in every release.
    c.embedding_scale =
        r.Text("torch_dtype", r.Text("dtype", "bfloat16")) == "float32"
            ? static_cast<float>(std::sqrt(static_cast<double>(c.width)))
            : BF16ToFloat(FloatToBF16(static_cast<float>(std::sqrt(static_cast<double>(c.width)))));
    c.attention_scale = 1 / std::sqrt(r.Real("query_pre_attn_scalar", 256));
    for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping"}) {
      if (r.Has(key)) Fail("{}: \"{}\" (Gemma 2) is not supported", where, key);
    }
  }
  ParseWindow(r, c);
  ParseRopes(r, c);
  return c;
}

json ToHfConfig(const LlamaConfig& c) {
  const bool gemma = c.family == "gemma3_text";
  static const std::map<std::string, std::string> kClass = {{"llama", "LlamaForCausalLM"},
                                                            {"mistral", "MistralForCausalLM"},
                                                            {"qwen2", "Qwen2ForCausalLM"},
                                                            {"qwen3", "Qwen3ForCausalLM"},
                                                            {"gemma3_text", "Gemma3ForCausalLM"}};
  json j = {{"model_type", c.family},
            {"architectures", {kClass.at(c.family)}},
            {"vocab_size", c.vocab},
            {"hidden_size", c.width},
            {"num_hidden_layers", c.layers},
            {"num_attention_heads", c.heads},
            {"num_key_value_heads", c.kv_heads},
            {"head_dim", c.head_size},
            {"intermediate_size", c.ffn},
            {"max_position_embeddings", c.context},
            {"rms_norm_eps", c.norm_eps},
            {"tie_word_embeddings", c.tied},
            {"torch_dtype", "float32"}};
  if (c.family == "llama" || c.family == "qwen3") j["attention_bias"] = c.qkv_bias;
  if (c.family == "llama") j["mlp_bias"] = c.mlp_bias;
  const std::string activation = c.activation == "silu" ? "silu" : "gelu_pytorch_tanh";
  j[gemma ? "hidden_activation" : "hidden_act"] = activation;
  j["rope_theta"] = c.rope.theta;
  if (c.rope.type != "default" || c.rope.partial != 1) j["rope_scaling"] = RopeToJson(c.rope);
  if (gemma) {
    // attention_scale = 1/sqrt(query_pre_attn_scalar); the embedding scale follows from the type of the
    // weights.
    j["query_pre_attn_scalar"] = 1 / (c.attention_scale * c.attention_scale);
    j["rope_local_base_freq"] = c.sliding_rope.theta;
    const auto exact = static_cast<float>(std::sqrt(static_cast<double>(c.width)));
    j["torch_dtype"] = c.embedding_scale == exact ? "float32" : "bfloat16";
  }
  if (c.window > 0) {
    j["sliding_window"] = c.window;
    if (c.family == "qwen2" || c.family == "qwen3") j["use_sliding_window"] = true;
    if (!c.sliding.empty()) {
      j["layer_types"] = json::array();
      for (const bool sliding : c.sliding)
        j["layer_types"].push_back(sliding ? "sliding_attention" : "full_attention");
    }
  }
  // A rope that GGUF's frequency table changed cannot be said by the other fields.
  if (!c.rope.divisors.empty()) j["rope_divisors"] = c.rope.divisors;
  return j;
}

}  // namespace lowbit
