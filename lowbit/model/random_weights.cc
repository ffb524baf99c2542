#include "lowbit/model/random_weights.h"

#include <cmath>
#include <cstring>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"
#include "lowbit/format/code_table.h"

namespace lowbit {
namespace {

class RandomWeights : public Weights {
 public:
  RandomWeights(const Graph& graph, const Format& format, const Format& embedding, uint64_t seed)
      : seed_(seed) {
    for (const Value& value : graph.values) {
      if (value.kind == ValueKind::kWeight) shapes_[value.name] = value.shape;
    }
    for (const Node& node : graph.nodes) {
      if (node.op == Op::kLinear || node.op == Op::kEmbedding) {
        formats_.try_emplace(graph.values[node.in[1]].name, node.block >= 0 ? format : embedding);
      }
    }
  }

  std::string Where() const override { return "random weights"; }
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, shape] : shapes_) names.push_back(name);
    return names;
  }
  bool Has(const std::string& name) const override { return shapes_.contains(name); }
  std::vector<int64_t> Shape(const std::string& name) const override {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) Fail("random weights: no tensor named {}", name);
    return found->second;
  }
  std::string StoredAs(const std::string& name) const override {
    const auto found = formats_.find(name);
    return found == formats_.end() ? "f32" : NameOf(found->second);
  }
  size_t StoredBytes(const std::string& name) const override {
    const std::vector<int64_t> shape = Shape(name);
    const auto found = formats_.find(name);
    if (found == formats_.end()) return static_cast<size_t>(shape[0]) * 4;
    if (const auto* integer = std::get_if<PackedFormat>(&found->second))
      return PackedLayout(*integer, shape[0], shape[1]).bytes;
    return static_cast<size_t>(shape[0] * shape[1]) * SizeOf(std::get<DType>(found->second));
  }
  std::vector<float> Floats(const std::string& name) const override {
    if (formats_.contains(name)) return ToFloats(Load(name));
    return std::vector<float>(static_cast<size_t>(Shape(name)[0]), 1.0f);  // norms and biases
  }
  Matrix Load(const std::string& name) const override {
    const std::vector<int64_t> shape = Shape(name);
    auto owner = std::make_shared<Buffer<uint8_t>>(StoredBytes(name));
    Matrix m{.format = formats_.at(name),
             .rows = shape[0],
             .cols = shape[1],
             .bytes = owner->data(),
             .size = owner->size()};
    CheckInterrupt();
    Random random(seed_, std::hash<std::string>()(name));
    uint64_t state = random.Next64() | 1;
    for (size_t i = 0; i + 8 <= owner->size(); i += 8) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;  // xorshift64: any bits are codes
      std::memcpy(owner->data() + i, &state, 8);
    }
    const float spread = 0.02f / std::sqrt(static_cast<float>(shape[1]) / 2048);
    if (const auto* f = std::get_if<PackedFormat>(&m.format); f != nullptr && f->alphabet) {
      return OwnPacked(RandomTable(*f, m.rows, m.cols, spread, state));
    } else if (f != nullptr) {
      const PackedLayout layout(*f, m.rows, m.cols);
      const auto fill16 = [&](size_t begin, size_t end, float value) {
        const uint16_t half = FloatToF16(value);
        for (size_t i = begin; i + 2 <= end; i += 2) std::memcpy(owner->data() + i, &half, 2);
      };
      const float step = spread / static_cast<float>(1 << (f->bits - 1));
      const int sub = f->bits == 2 ? 8 : 16;  // in the range of every type's integer scales and minima
      if (f->scale == ScaleKind::kF16) {
        fill16(layout.scale, layout.offset, step);
      } else {
        std::memset(owner->data() + layout.scale, NumbersShareByte(*f) ? sub | sub << 4 : sub,
                    layout.offset - layout.scale);
        fill16(layout.super, layout.super_min, step / static_cast<float>(sub));
      }
      if (f->offset == OffsetKind::kMinF16) fill16(layout.offset, layout.super, -spread);
      if (f->offset == OffsetKind::kZeroPoint)
        std::memset(owner->data() + layout.offset, 1 << (f->bits - 1), layout.super - layout.offset);
      if (f->offset == OffsetKind::kSuperMin) {
        std::memset(owner->data() + layout.offset, sub, layout.super - layout.offset);
        fill16(layout.super_min, layout.bytes, spread / static_cast<float>(sub));
      }
    } else {
      const DType type = std::get<DType>(m.format);
      for (size_t i = 0; i < static_cast<size_t>(m.rows * m.cols); ++i) {
        const float value = spread * (2 * random.Uniform() - 1);
        const uint16_t half = type == DType::kF16 ? FloatToF16(value) : FloatToBF16(value);
        std::memcpy(owner->data() + i * SizeOf(type),
                    type == DType::kF32 ? static_cast<const void*>(&value) : &half, SizeOf(type));
      }
    }
    m.owner = owner;
    return m;
  }

 private:
  // Codes that the table knows, and scales under which levels reach `spread`.
  static QuantizedMatrix RandomTable(const PackedFormat& format, int64_t rows, int64_t cols, float spread,
                                     uint64_t state) {
    const Table& table = CodeTableOf(*format.alphabet).table;
    QuantizedMatrix m{.format = format, .rows = rows, .cols = cols};
    m.codes.resize(static_cast<size_t>(rows * cols));
    for (uint8_t& code : m.codes) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      code = table.code[(state >> 32) % table.code.size()];
    }
    const float step = spread / table.MaxMagnitude();
    const auto numbers = static_cast<size_t>(rows * m.groups());
    if (format.scale == ScaleKind::kF16) {
      m.scale.assign(numbers, FloatToF16(step));
    } else {
      m.tensor_scale = step / 2;
      // 2^(e - 127) <= step, or 2 in E4M3.
      const auto exponent = static_cast<uint8_t>(127 + std::ilogb(step));
      m.scale_code.assign(numbers, format.scale == ScaleKind::kE8M0 ? exponent : uint8_t{0x40});
    }
    return m;
  }

  uint64_t seed_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  std::map<std::string, Format> formats_;
};

}  // namespace

LlamaConfig ShapeByName(const std::string& name) {
  LlamaConfig c;
  if (name == "llama-1.1b") {
    c.vocab = 32000, c.width = 2048, c.layers = 22, c.heads = 32, c.kv_heads = 4, c.head_size = 64,
    c.ffn = 5632, c.tied = false;
  } else if (name == "llama-7b") {
    c.vocab = 32000, c.width = 4096, c.layers = 32, c.heads = 32, c.kv_heads = 32, c.head_size = 128,
    c.ffn = 11008, c.tied = false;
  } else if (name == "smollm2-135m") {
    c.vocab = 49152, c.width = 576, c.layers = 30, c.heads = 9, c.kv_heads = 3, c.head_size = 64,
    c.ffn = 1536;
  } else {
    FailUsage("--shape {}: not known; known: llama-1.1b, llama-7b, smollm2-135m", name);
  }
  return c;
}

Model RandomModel(const LlamaConfig& config, const Format& format, const Format& embedding, uint64_t seed) {
  Model model{.path = "random", .kind = "random weights", .config = config};
  model.graph = std::make_shared<Graph>(BuildLlama(config));
  model.weights = std::make_shared<RandomWeights>(*model.graph, format, embedding, seed);
  return model;
}

}  // namespace lowbit
