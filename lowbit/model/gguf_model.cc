#include "lowbit/model/gguf_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/ggml_blocks.h"
#include "lowbit/format/tensor_floats.h"
#include "lowbit/model/ggml_repack.h"

namespace lowbit {
namespace {

struct Pair {
  std::string_view gguf, canonical;
};

// Inside a block "blk.N." / "model.layers.N.". The norms of Gemma are listed apart.
constexpr Pair kBlockNames[] = {{"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
                                {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
                                {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
                                {"attn_k_norm", "self_attn.k_norm"}, {"ffn_gate", "mlp.gate_proj"},
                                {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"}};
constexpr Pair kLlamaNorms[] = {{"ffn_norm", "post_attention_layernorm"}};
constexpr Pair kGemmaNorms[] = {{"ffn_norm", "pre_feedforward_layernorm"},
                                {"post_attention_norm", "post_attention_layernorm"},
                                {"post_ffw_norm", "post_feedforward_layernorm"}};
constexpr Pair kTopNames[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

std::span<const Pair> NormsOf(const std::string& family) {
  if (family == "gemma3_text") return kGemmaNorms;
  return kLlamaNorms;
}

}  // namespace

std::string GgufName(const std::string& canonical, const std::string& family) {
  const size_t dot = canonical.rfind('.');
  if (dot == std::string::npos) return "";
  const std::string stem = canonical.substr(0, dot), suffix = canonical.substr(dot);
  for (const Pair& pair : kTopNames) {
    if (stem == pair.canonical) return std::string(pair.gguf) + suffix;
  }
  constexpr std::string_view kPrefix = "model.layers.";
  if (!stem.starts_with(kPrefix)) return "";
  const size_t number = kPrefix.size(), end = stem.find('.', number);
  if (end == std::string::npos) return "";
  const std::string inside = stem.substr(end + 1);
  const auto named = [&](std::string_view name) {
    return fmt::format("blk.{}.{}{}", stem.substr(number, end - number), name, suffix);
  };
  for (const Pair& pair : kBlockNames) {
    if (inside == pair.canonical) return named(pair.gguf);
  }
  for (const Pair& pair : NormsOf(family)) {
    if (inside == pair.canonical) return named(pair.gguf);
  }
  return "";
}

LlamaConfig ConfigFromGguf(const GgufFile& file) {
  if (file.FindString("general.type").value_or("model") == "imatrix") {
    Fail("{}: an importance matrix, not a model; lowbit imatrix --from shows it", file.Where());
  }
  const std::string arch = file.GetString("general.architecture");
  static const std::map<std::string, std::string> kFamilies = {{"llama", "llama"},
                                                               {"mistral", "mistral"},
                                                               {"qwen2", "qwen2"},
                                                               {"qwen3", "qwen3"},
                                                               {"gemma3", "gemma3_text"}};
  const auto family = kFamilies.find(arch);
  if (family == kFamilies.end()) {
    Fail("{}: architecture \"{}\" is not known; known: llama, mistral, qwen2, qwen3, gemma3", file.Where(),
         arch);
  }
  const auto key = [&](const char* name) { return arch + "." + name; };
  const auto integer = [&](const char* name, int64_t fallback) {
    return file.FindInteger(key(name)).value_or(fallback);
  };
  const auto number = [&](const char* name, double fallback) {
    return file.FindNumber(key(name)).value_or(fallback);
  };
  LlamaConfig c;
  c.family = family->second;
  const bool gemma = c.family == "gemma3_text";
  c.width = file.GetInteger(key("embedding_length"));
  c.layers = file.GetInteger(key("block_count"));
  c.ffn = file.GetInteger(key("feed_forward_length"));
  c.heads = file.GetInteger(key("attention.head_count"));
  c.kv_heads = integer("attention.head_count_kv", c.heads);
  if (c.heads <= 0) Fail("{}: {} must be positive", file.Where(), key("attention.head_count"));
  c.head_size = integer("attention.key_length", gemma ? 256 : c.width / c.heads);
  c.context = integer("context_length", 2048);
  c.norm_eps = number("attention.layer_norm_rms_epsilon", 1e-5);
  const TensorView embedding = file.Get("token_embd.weight");
  c.vocab = embedding.shape.at(0);
  c.tied = !file.Has("output.weight");
  c.qkv_bias = file.Has("blk.0.attn_q.bias");
  c.output_bias = file.Has("blk.0.attn_output.bias");
  c.mlp_bias = file.Has("blk.0.ffn_gate.bias");
  c.qk_norm = file.Has("blk.0.attn_q_norm.weight");
  if (gemma) {
    // The converter has added the 1 to the norms; the embedding is scaled in f32.
    c.post_norms = true;
    c.activation = "gelu_tanh";
    c.embedding_scale = std::sqrt(static_cast<float>(c.width));
    c.attention_scale = 1 / std::sqrt(static_cast<double>(c.layers == 62 ? c.width / c.heads : c.head_size));
    c.window = integer("attention.sliding_window", 0);
    for (int64_t i = 0; i < c.layers && i < 10000; ++i) c.sliding.push_back((i + 1) % 6 != 0);
    c.has_sliding_rope = true;
    c.sliding_rope.theta = number("rope.freq_base_swa", 10000);
  } else {
    // Mistral is called llama here; what tells it is the window.
    c.window = arch == "llama" || arch == "mistral" ? integer("attention.sliding_window", 0) : 0;
    if (c.window > 0) c.family = "mistral";
  }
  RopeConfig& rope = c.rope;
  rope.theta = number("rope.freq_base", 10000);
  rope.partial =
      static_cast<double>(integer("rope.dimension_count", c.head_size)) / static_cast<double>(c.head_size);
  const std::string type = file.FindString(key("rope.scaling.type")).value_or("none");
  rope.factor = number("rope.scaling.factor", 1);
  rope.original_context = integer("rope.scaling.original_context_length", 0);
  if (type == "linear" || type == "yarn") rope.type = type;
  if (type == "yarn") rope.attention_factor = 0;
  if (const auto attention = file.FindNumber(key("rope.scaling.attn_factor")))
    rope.attention_factor = *attention;
  const auto table = [&](const char* name) {
    std::vector<double> values;
    if (!file.Has(name)) return values;
    for (const float x : TensorToFloats(file, name)) values.push_back(x);
    return values;
  };
  rope.divisors = table("rope_freqs.weight");
  rope.long_factor = table("rope_factors_long.weight");
  rope.short_factor = table("rope_factors_short.weight");
  if (!rope.long_factor.empty()) rope.type = "longrope";
  return c;
}

GgufVocabulary VocabularyFromGguf(const GgufFile& file) {
  const auto id = [&](const char* name) {
    return static_cast<int32_t>(file.FindInteger(std::string("tokenizer.ggml.") + name).value_or(-1));
  };
  GgufVocabulary v;
  v.model = file.GetString("tokenizer.ggml.model");
  v.pre = file.FindString("tokenizer.ggml.pre").value_or("");
  v.tokens = file.GetStrings("tokenizer.ggml.tokens");
  if (const auto scores = file.FindNumbers("tokenizer.ggml.scores"))
    v.scores.assign(scores->begin(), scores->end());
  if (const auto types = file.FindIntegers("tokenizer.ggml.token_type"))
    v.types.assign(types->begin(), types->end());
  v.merges = file.FindStrings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  v.bos = id("bos_token_id");
  v.eos = id("eos_token_id");
  v.eot = id("eot_token_id");
  v.eom = id("eom_token_id");
  v.unknown = id("unknown_token_id");
  v.padding = id("padding_token_id");
  v.add_bos = file.FindBool("tokenizer.ggml.add_bos_token");
  v.add_eos = file.FindBool("tokenizer.ggml.add_eos_token");
  v.add_space_prefix = file.FindBool("tokenizer.ggml.add_space_prefix");
  return v;
}

GgufWeights::GgufWeights(std::shared_ptr<const GgufFile> file, const LlamaConfig& config)
    : file_(std::move(file)), head_size_(config.head_size) {
  permuted_ = config.family == "llama" || config.family == "mistral";
  const Graph graph = BuildLlama(config);
  for (const Value& value : graph.values) {
    if (value.kind != ValueKind::kWeight) continue;
    const std::string name = GgufName(value.name, config.family);
    if (!name.empty() && file_->Has(name)) names_[value.name] = name;
  }
}

std::vector<std::string> GgufWeights::Names() const {
  std::vector<std::string> names;
  for (const auto& [canonical, name] : names_) names.push_back(canonical);
  return names;
}

TensorView GgufWeights::View(const std::string& name) const {
  const auto found = names_.find(name);
  if (found == names_.end()) Fail("{}: no tensor for {}", Where(), name);
  return file_->Get(found->second);
}

std::string GgufWeights::WhereIs(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? Where() : file_->WhereIs(found->second);
}

std::string GgufWeights::StoredAs(const std::string& name) const {
  const TensorView view = View(name);
  if (const auto* type = std::get_if<DType>(&view.type)) return std::string(NameOf(*type));
  return std::string(NameOf(std::get<GgmlType>(view.type)));
}

void GgufWeights::Release(const std::string& name) const {
  if (const auto found = names_.find(name); found != names_.end()) file_->Release(found->second);
}

int64_t GgufWeights::FileRow(const std::string& name, int64_t row) const {
  const bool q_or_k = name.find("self_attn.q_proj.") != std::string::npos ||
                      name.find("self_attn.k_proj.") != std::string::npos;
  if (!permuted_ || !q_or_k) return row;
  const int64_t half = head_size_ / 2, head = row / head_size_, s = row % head_size_ / half, i = row % half;
  return head * head_size_ + 2 * i + s;
}

std::vector<float> GgufWeights::Floats(const std::string& name) const {
  const TensorView view = View(name);
  std::vector<float> stored = TensorToFloats(*file_, names_.at(name));
  const int64_t rows = view.shape[0], width = view.elements() / std::max<int64_t>(rows, 1);
  std::vector<float> values(stored.size());
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(values.data() + r * width, stored.data() + FileRow(name, r) * width,
                static_cast<size_t>(width) * sizeof(float));
  }
  return values;
}

Matrix GgufWeights::Load(const std::string& name) const {
  const TensorView view = View(name);
  if (view.shape.size() != 2)
    Fail("{}: tensor {} has {} axes, a matrix has 2", Where(), names_.at(name), view.shape.size());
  const int64_t rows = view.shape[0], cols = view.shape[1];
  const auto* type = std::get_if<GgmlType>(&view.type);
  const std::optional<PackedFormat> format = type != nullptr ? PackedFormOf(*type) : std::nullopt;
  const bool moved = FileRow(name, 1) != 1;
  if (type == nullptr && !moved) return PlainWeights(file_).Load(names_.at(name));
  Matrix own = format ? RepackGgml(*type, *format, rows, cols, view.bytes,
                                   [&](int64_t row) { return FileRow(name, row); })
                      : OwnFloats(Floats(name), rows, cols);
  Release(name);  // the file's pages need not stay beside the copy
  return own;
}

}  // namespace lowbit
