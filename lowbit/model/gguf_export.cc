#include "lowbit/model/gguf_export.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/format/ggml_blocks.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/rotary_rows.h"
#include "lowbit/model/bundle.h"
#include "lowbit/model/gguf_model.h"

namespace lowbit {
namespace {

std::string Architecture(const std::string& family) {
  if (family == "gemma3_text") return "gemma3";
  return family == "mistral" ? "llama" : family;
}

void AddTokenizer(const Model& model, GgufMetadata& metadata) {
  if (!model.tokenizer) {
    metadata.emplace_back("tokenizer.ggml.model", std::string("none"));
    return;
  }
  const GgufVocabulary v = model.tokenizer->ToGguf();
  const auto add = [&](const char* key, GgufValue value) {
    metadata.emplace_back(std::string("tokenizer.ggml.") + key, std::move(value));
  };
  std::vector<std::string> tokens = v.tokens;
  std::vector<float> scores = v.scores;
  std::vector<int32_t> types = v.types;
  // llama.cpp wants one entry a row of the embedding.
  const auto rows = static_cast<size_t>(model.config.vocab);
  types.resize(tokens.size(), GgufVocabulary::kNormal);
  for (size_t i = tokens.size(); i < rows; ++i) {
    tokens.push_back(fmt::format("[PAD{}]", i));
    types.push_back(GgufVocabulary::kUnused);
    if (!scores.empty()) scores.push_back(-1e6f);
  }
  add("model", v.model);
  if (!v.pre.empty() || v.model == "gpt2") add("pre", v.pre.empty() ? std::string("default") : v.pre);
  add("tokens", tokens);
  if (!scores.empty()) add("scores", scores);
  add("token_type", types);
  if (!v.merges.empty()) add("merges", v.merges);
  const auto add_id = [&](const char* key, int32_t id) {
    if (id >= 0) add(key, static_cast<uint32_t>(id));
  };
  add_id("bos_token_id", v.bos);
  add_id("eos_token_id", v.eos);
  add_id("eot_token_id", v.eot);
  add_id("eom_token_id", v.eom);
  add_id("unknown_token_id", v.unknown);
  add_id("padding_token_id", v.padding);
  if (v.add_bos) add("add_bos_token", *v.add_bos);
  if (v.add_eos) add("add_eos_token", *v.add_eos);
  if (v.add_space_prefix) add("add_space_prefix", *v.add_space_prefix);
  if (!model.chat_template.empty()) metadata.emplace_back("tokenizer.chat_template", model.chat_template);
}

GgufMetadata MakeMetadata(const Model& model) {
  const LlamaConfig& c = model.config;
  const std::string arch = Architecture(c.family);
  GgufMetadata m = {{"general.architecture", arch},
                    {"general.name", model.path.stem().string()},
                    {"general.quantization_version", uint32_t{2}}};
  const auto integer = [&](const char* key, int64_t value) {
    m.emplace_back(arch + "." + key, static_cast<uint32_t>(value));
  };
  const auto number = [&](const char* key, double value) {
    m.emplace_back(arch + "." + key, static_cast<float>(value));
  };
  integer("context_length", c.context);
  integer("embedding_length", c.width);
  integer("block_count", c.layers);
  integer("feed_forward_length", c.ffn);
  integer("attention.head_count", c.heads);
  integer("attention.head_count_kv", c.kv_heads);
  integer("attention.key_length", c.head_size);
  integer("attention.value_length", c.head_size);
  integer("vocab_size", c.vocab);
  number("attention.layer_norm_rms_epsilon", c.norm_eps);
  number("rope.freq_base", c.rope.theta);
  integer("rope.dimension_count", static_cast<int64_t>(static_cast<double>(c.head_size) * c.rope.partial));
  if (c.window > 0) integer("attention.sliding_window", c.window);
  if (c.rope.type == "linear" || c.rope.type == "yarn") {
    m.emplace_back(arch + ".rope.scaling.type", c.rope.type);
    number("rope.scaling.factor", c.rope.factor);
    if (c.rope.original_context > 0) integer("rope.scaling.original_context_length", c.rope.original_context);
  } else if (c.rope.type == "longrope" || c.rope.type == "su") {
    m.emplace_back(arch + ".rope.scaling.type", std::string("longrope"));
    integer("rope.scaling.original_context_length",
            c.rope.original_context > 0 ? c.rope.original_context : c.context);
    number("rope.scaling.attn_factor", MakeRope(c.rope, c.head_size, c.context).attention_factor);
  } else if (c.rope.type == "dynamic") {
    Fail("{}: dynamic rope scaling has no place in GGUF", model.path.string());
  }
  AddTokenizer(model, m);
  return m;
}

// Tables of rotary frequencies: divisors where the type is not one of GGUF's own, the two factor tables of
// longrope.
std::vector<std::pair<std::string, std::vector<float>>> RopeTables(const LlamaConfig& c) {
  if (!c.rope.long_factor.empty()) {
    return {{"rope_factors_long.weight", {c.rope.long_factor.begin(), c.rope.long_factor.end()}},
            {"rope_factors_short.weight", {c.rope.short_factor.begin(), c.rope.short_factor.end()}}};
  }
  if (c.rope.type != "llama3" && c.rope.divisors.empty()) return {};
  RopeConfig plain;
  plain.theta = c.rope.theta;
  plain.partial = c.rope.partial;
  const Rope base = MakeRope(plain, c.head_size, c.context),
             scaled = MakeRope(c.rope, c.head_size, c.context);
  std::vector<float> divisors;
  for (size_t i = 0; i < base.inverse_frequency.size(); ++i) {
    divisors.push_back(static_cast<float>(base.inverse_frequency[i] / scaled.inverse_frequency[i]));
  }
  return {{"rope_freqs.weight", divisors}};
}

// Rows of blocks with the same codes and numbers.
std::vector<std::byte> ToBlocks(const QuantizedMatrix& m, GgmlType type) {
  const GgmlIntegerLayout layout = *IntegerLayoutOf(type);
  const auto block_bytes = static_cast<size_t>(BlockSizeOf(type).bytes);
  const int64_t blocks = m.cols / layout.block, groups = m.groups();
  std::vector<std::byte> bytes(static_cast<size_t>(m.rows * blocks) * block_bytes);
  const bool two_level = m.format.scale == ScaleKind::kSuper;
  ThreadPool::Global().Run(m.rows, [&](int64_t r, int) {
    GgmlBlock block{};
    for (int64_t b = 0; b < blocks; ++b) {
      std::memcpy(block.code.data(), m.codes.data() + r * m.cols + b * layout.block,
                  static_cast<size_t>(layout.block));
      block.scale.fill(1);
      block.min.fill(layout.min_high > 0 ? 1 : 0);
      block.dmin = 0;
      if (two_level) {
        const int64_t at = r * groups + b * layout.groups();
        std::copy_n(m.sub_scale.begin() + at, layout.groups(), block.scale.begin());
        block.d = m.super[r * m.supers() + b];
        if (!m.super_min.empty()) {
          std::copy_n(m.zero.begin() + at, layout.groups(), block.min.begin());
          block.dmin = m.super_min[r * m.supers() + b];
        }
      } else {
        const int64_t group = m.format.group == 0 ? 0 : b * layout.block / m.format.group;
        block.d = m.scale[r * groups + group];
        if (!m.min.empty()) block.dmin = static_cast<uint16_t>(m.min[r * groups + group] ^ 0x8000u);
      }
      PackGgml(type, block, {bytes.data() + static_cast<size_t>(r * blocks + b) * block_bytes, block_bytes});
    }
  });
  return bytes;
}

class Exporter {
 public:
  explicit Exporter(const Model& model) : model_(model), c_(model.config) {}

  void Run(const std::filesystem::path& path) {
    const auto tables = RopeTables(c_);
    std::vector<GgufWriter::Tensor> tensors;
    for (const auto& [name, values] : tables)
      tensors.push_back({name, DType::kF32, {static_cast<int64_t>(values.size())}});
    std::vector<std::string> names;
    for (const Value& value : model_.graph->values) {
      if (value.kind != ValueKind::kWeight) continue;
      const std::string name = GgufName(value.name, c_.family);
      if (name.empty()) Fail("{}: tensor {} has no name in GGUF", model_.path.string(), value.name);
      tensors.push_back({name, TypeOf(value), value.shape});
      names.push_back(value.name);
    }
    GgufWriter writer(path, MakeMetadata(model_), tensors);
    for (const auto& [name, values] : tables) writer.Write(name, std::as_bytes(std::span(values)));
    Progress progress("exporting", static_cast<int64_t>(names.size()), "tensors");
    for (size_t i = 0; i < names.size(); ++i) {
      progress.Update(static_cast<int64_t>(i));
      const auto& tensor = tensors[i + tables.size()];
      const int64_t cols = tensor.shape.size() == 2 ? tensor.shape[1] : 0;
      writer.Write(tensor.name, Reorder(names[i], Bytes(names[i], tensor.type, cols)));
      model_.weights->Release(names[i]);
    }
    writer.Finish();
  }

 private:
  StoredType TypeOf(const Value& value) const {
    if (value.shape.size() == 1) return DType::kF32;  // norms and biases
    const Matrix matrix = model_.weights->Load(value.name);
    const auto* format = std::get_if<PackedFormat>(&matrix.format);
    if (format == nullptr) return std::get<DType>(matrix.format);
    const std::optional<GgmlType> type = GgmlTypeFor(*format);
    if (!type || !matrix.order.empty() || value.shape[1] % IntegerLayoutOf(*type)->block != 0) {
      Fail(
          "{}: {} of tensor {} has no GGUF type; quantize to q2_k ... q6_k, q4_1, q5_1, or symmetric int4, "
          "int5, int8 in "
          "groups of 32 (embedding and head too: --embedding int8-g32), without activation order",
          model_.path.string(), model_.weights->StoredAs(value.name), value.name);
    }
    return *type;
  }

  std::vector<std::byte> Bytes(const std::string& name, const StoredType& type, int64_t cols) const {
    if (const auto* ggml = std::get_if<GgmlType>(&type))
      return ToBlocks(*Codes(*model_.weights, name), *ggml);
    const DType plain = std::get<DType>(type);
    std::vector<float> values = model_.weights->Floats(name);
    CheckFinite(*model_.weights, name, values, cols);
    // GGUF's Gemma norms carry the 1 that the graph adds.
    if (c_.norm_offset != 0 && name.find("norm") != std::string::npos) {
      for (float& x : values) x += static_cast<float>(c_.norm_offset);
    }
    std::vector<std::byte> bytes(values.size() * SizeOf(plain));
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = plain == DType::kF16 ? FloatToF16(values[i]) : FloatToBF16(values[i]);
      std::memcpy(bytes.data() + i * SizeOf(plain),
                  plain == DType::kF32 ? static_cast<const void*>(&values[i]) : &half, SizeOf(plain));
    }
    return bytes;
  }

  // Rows of q and k stand as neighbour pairs in files of the llama family.
  std::vector<std::byte> Reorder(const std::string& name, std::vector<std::byte> bytes) const {
    if (c_.family != "llama" && c_.family != "mistral") return bytes;
    if (name.find("self_attn.q_proj.") != std::string::npos)
      return HalvesToNeighbours(bytes, c_.heads, c_.head_size);
    if (name.find("self_attn.k_proj.") != std::string::npos)
      return HalvesToNeighbours(bytes, c_.kv_heads, c_.head_size);
    return bytes;
  }

  const Model& model_;
  const LlamaConfig& c_;
};

}  // namespace

std::optional<GgmlType> GgmlTypeFor(const PackedFormat& f) {
  if (f.scale == ScaleKind::kSuper) {
    switch (f.bits) {
      case 2:
        return GgmlType::kQ2_K;
      case 3:
        return GgmlType::kQ3_K;
      case 4:
        return GgmlType::kQ4_K;
      case 5:
        return GgmlType::kQ5_K;
      default:
        return GgmlType::kQ6_K;
    }
  }
  if (f.offset == OffsetKind::kMinF16) return f.bits == 4 ? GgmlType::kQ4_1 : GgmlType::kQ5_1;
  if (f.offset != OffsetKind::kCentre) return std::nullopt;
  if (f.bits == 4) return GgmlType::kQ4_0;
  if (f.bits == 5) return GgmlType::kQ5_0;
  if (f.bits == 8) return GgmlType::kQ8_0;
  return std::nullopt;
}

void WriteGguf(const Model& model, const std::filesystem::path& path) {
  Exporter(model).Run(path);
}

}  // namespace lowbit
