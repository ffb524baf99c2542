#include "lowbit/model/quantized_checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/progress.h"
#include "lowbit/io/file.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/bundle.h"
#include "lowbit/model/hf_config.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kWeight = ".weight";

std::string PrefixOf(const std::string& name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : std::string();
}

int64_t IntegerOf(const json& config, std::initializer_list<const char*> keys, int64_t fallback,
                  const std::string& where) {
  for (const char* key : keys) {
    if (!config.contains(key) || config[key].is_null()) continue;
    if (!config[key].is_number_integer())
      Fail("{}: \"{}\" of the quantization configuration must be an integer", where, key);
    return config[key].get<int64_t>();
  }
  return fallback;
}

std::string TextOf(const json& config, const char* key, const std::string& fallback,
                   const std::string& where) {
  if (!config.contains(key) || config[key].is_null()) return fallback;
  if (!config[key].is_string())
    Fail("{}: \"{}\" of the quantization configuration must be a string", where, key);
  return config[key].get<std::string>();
}

// Bits of a code; every layout packs some of 1 to 8 into words of 32.
int WidthOf(const json& config, std::initializer_list<const char*> keys, const std::string& where) {
  const int64_t bits = IntegerOf(config, keys, 4, where);
  if (bits < 1 || bits > 8) {
    Fail("{}: \"{}\" of the quantization configuration is {}, 1 to 8 are possible", where, *keys.begin(),
         bits);
  }
  return static_cast<int>(bits);
}

// The packed form with the same values, or nothing when there is none.
std::optional<QuantizedMatrix> ToPacked(const CheckpointMatrix& c) {
  constexpr int kBits[] = {2, 3, 4, 5, 6, 8};
  if (std::find(std::begin(kBits), std::end(kBits), c.bits) == std::end(kBits) || c.groups == 0)
    return std::nullopt;
  // Columns by group; where the file has them in order this changes nothing.
  std::vector<int32_t> order(static_cast<size_t>(c.cols));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return c.group[a] < c.group[b]; });
  const int64_t size = (c.cols + c.groups - 1) / c.groups;
  for (int64_t j = 0; j < c.cols; ++j) {
    if (c.group[order[j]] != j / size) return std::nullopt;
  }
  if (c.groups > 1 && size % kTileColumns != 0) return std::nullopt;
  QuantizedMatrix m{.rows = c.rows, .cols = c.cols};
  m.format = {c.bits, c.groups == 1 ? 0 : static_cast<int>(size), ScaleKind::kF16, OffsetKind::kCentre};
  const bool sorted = std::is_sorted(order.begin(), order.end());
  m.codes.resize(c.codes.size());
  for (int64_t r = 0; r < c.rows; ++r) {
    for (int64_t j = 0; j < c.cols; ++j) m.codes[r * c.cols + j] = c.codes[r * c.cols + order[j]];
  }
  for (const float scale : c.scales) {
    m.scale.push_back(FloatToF16(scale));
    if (F16ToFloat(m.scale.back()) != scale) return std::nullopt;
  }
  const int32_t centre = 1 << (c.bits - 1);
  if (!std::all_of(c.zeros.begin(), c.zeros.end(), [&](int32_t z) { return z == centre; })) {
    m.format.offset = OffsetKind::kZeroPoint;
    for (const int32_t zero : c.zeros) {
      if (zero < 0 || zero > 255) return std::nullopt;
      m.zero.push_back(static_cast<uint8_t>(zero));
    }
  }
  if (!sorted) m.order = std::move(order);
  return m;
}

}  // namespace

QuantizedCheckpoint::QuantizedCheckpoint(std::shared_ptr<const TensorSource> source, const json& config,
                                         const std::string& where)
    : source_(std::move(source)), plain_(source_) {
  if (!config.is_object()) Fail("{}: the quantization configuration is not a JSON object", where);
  const std::string method = TextOf(config, "quant_method",
                                    config.contains("bits") || config.contains("wbits") ? "gptq" : "", where);
  if (method == "gptq") {
    layout_.bits = WidthOf(config, {"bits", "wbits", "w_bit"}, where);
    layout_.group_size = IntegerOf(config, {"group_size", "q_group_size"}, -1, where);
    const std::string format = TextOf(config, "checkpoint_format", "gptq", where);
    if (format == "gptq") {
      layout_.version = GptqLayout::Version::kV1;
    } else if (format == "gptq_v2") {
      layout_.version = GptqLayout::Version::kV2;
    } else if (format == "gptq_p") {
      layout_.version = GptqLayout::Version::kPlanar;
    } else {
      Fail("{}: checkpoint_format \"{}\" is not supported; supported: gptq, gptq_v2, gptq_p", where, format);
    }
  } else if (method == "awq") {
    kind_ = Kind::kAwq;
    const std::string version = TextOf(config, "version", "gemm", where);
    if ((version != "gemm" && version != "GEMM") || IntegerOf(config, {"bits", "w_bit"}, 4, where) != 4) {
      Fail("{}: AWQ version \"{}\" is not supported; supported: gemm with 4 bits", where, version);
    }
  } else if (method == "compressed-tensors") {
    kind_ = Kind::kCompressedTensors;
    const std::string format = TextOf(config, "format", "", where);
    if (format != "pack-quantized")
      Fail("{}: compressed-tensors format \"{}\" is not supported; supported: pack-quantized", where, format);
    layout_.bits = 0;
    if (config.contains("config_groups")) {
      for (const auto& [name, group] : config["config_groups"].items()) {
        if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) continue;
        const int bits = WidthOf(group["weights"], {"num_bits"}, where);
        if (layout_.bits != 0 && bits != layout_.bits)
          Fail("{}: groups of different widths ({} and {} bits) are not supported", where, layout_.bits,
               bits);
        layout_.bits = bits;
      }
    }
    if (layout_.bits == 0)
      Fail("{}: the quantization configuration names no width (config_groups ... num_bits)", where);
  } else {
    Fail("{}: quantization method \"{}\" is not supported; supported: gptq, awq, compressed-tensors", where,
         method);
  }
}

bool QuantizedCheckpoint::Quantized(const std::string& name) const {
  const std::string prefix = PrefixOf(name);
  return !prefix.empty() &&
         source_->Has(prefix + (kind_ == Kind::kCompressedTensors ? ".weight_packed" : ".qweight"));
}

std::string QuantizedCheckpoint::WhereIs(const std::string& name) const {
  return Quantized(name) ? source_->WhereIs(Parts(name).front()) : plain_.WhereIs(name);
}

std::vector<std::string> QuantizedCheckpoint::Parts(const std::string& name) const {
  std::vector<std::string> parts;
  for (const char* part : {".qweight", ".qzeros", ".scales", ".g_idx", ".weight_packed", ".weight_scale",
                           ".weight_shape", ".weight_zero_point", ".weight_g_idx"}) {
    if (source_->Has(PrefixOf(name) + part)) parts.push_back(PrefixOf(name) + part);
  }
  return parts;
}

CheckpointMatrix QuantizedCheckpoint::Read(const std::string& name) const {
  switch (kind_) {
    case Kind::kGptq:
      return ReadGptq(*source_, PrefixOf(name), layout_);
    case Kind::kAwq:
      return ReadAwq(*source_, PrefixOf(name));
    default:
      return ReadCompressedTensors(*source_, PrefixOf(name), layout_.bits);
  }
}

std::vector<std::string> QuantizedCheckpoint::Names() const {
  std::vector<std::string> names;
  for (const std::string& name : source_->Names()) {
    for (const std::string_view marker : {std::string_view(".qweight"), std::string_view(".weight_packed")}) {
      if (name.ends_with(marker))
        names.push_back(name.substr(0, name.size() - marker.size()) + std::string(kWeight));
    }
    if (name.ends_with(kWeight) || name.ends_with(".bias")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int64_t> QuantizedCheckpoint::Shape(const std::string& name) const {
  if (!Quantized(name)) return plain_.Shape(name);
  const CheckpointMatrix m = Read(name);
  return {m.rows, m.cols};
}

std::string QuantizedCheckpoint::StoredAs(const std::string& name) const {
  if (!Quantized(name)) return plain_.StoredAs(name);
  return kind_ == Kind::kGptq  ? fmt::format("GPTQ {} bit", layout_.bits)
         : kind_ == Kind::kAwq ? std::string("AWQ 4 bit")
                               : fmt::format("compressed-tensors {} bit", layout_.bits);
}

size_t QuantizedCheckpoint::StoredBytes(const std::string& name) const {
  if (!Quantized(name)) return plain_.StoredBytes(name);
  size_t bytes = 0;
  for (const std::string& part : Parts(name)) bytes += source_->Get(part).bytes.size();
  return bytes;
}

Matrix QuantizedCheckpoint::Load(const std::string& name) const {
  if (!Quantized(name)) return plain_.Load(name);
  const CheckpointMatrix m = Read(name);
  const auto packed = ToPacked(m);
  Matrix own = packed ? OwnPacked(*packed) : OwnFloats(Dequantize(m), m.rows, m.cols);
  Release(name);  // the file's pages need not stay beside the copy
  return own;
}

std::vector<float> QuantizedCheckpoint::Floats(const std::string& name) const {
  return Quantized(name) ? Dequantize(Read(name)) : plain_.Floats(name);
}

void QuantizedCheckpoint::Release(const std::string& name) const {
  if (!Quantized(name)) return plain_.Release(name);
  for (const std::string& part : Parts(name)) source_->Release(part);
}

namespace {

// A packed matrix as GPTQ knows it: columns in input order, the group of each.
CheckpointMatrix FromPacked(const QuantizedMatrix& m) {
  CheckpointMatrix c{.bits = m.format.bits, .rows = m.rows, .cols = m.cols, .groups = m.groups()};
  c.codes.resize(m.codes.size());
  c.group.resize(static_cast<size_t>(m.cols));
  const int64_t size = m.format.group == 0 ? m.cols : m.format.group;
  for (int64_t j = 0; j < m.cols; ++j) {
    const int64_t column = m.order.empty() ? j : m.order[j];
    c.group[column] = static_cast<int32_t>(j / size);
    for (int64_t r = 0; r < m.rows; ++r) c.codes[r * m.cols + column] = m.codes[r * m.cols + j];
  }
  for (const uint16_t scale : m.scale) c.scales.push_back(F16ToFloat(scale));
  if (m.zero.empty()) {
    c.zeros.assign(m.scale.size(), 1 << (m.format.bits - 1));
  } else {
    c.zeros.assign(m.zero.begin(), m.zero.end());
  }
  return c;
}

template <typename T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

}  // namespace

void WriteGptqFolder(const Model& model, const fs::path& folder, GptqLayout::Version version) {
  const Graph& graph = *model.graph;
  std::vector<bool> linear(graph.values.size());
  for (const Node& node : graph.nodes) {
    if (node.op == Op::kLinear && node.block >= 0) linear[node.in[1]] = true;
  }
  std::optional<PackedFormat> format;
  bool ordered = false;
  std::vector<SafetensorsWriter::Tensor> tensors;
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    if (value.kind != ValueKind::kWeight) continue;
    if (!linear[v]) {
      tensors.push_back({value.name, DType::kF16, value.shape});
      continue;
    }
    const Matrix matrix = model.weights->Load(value.name);
    const auto* found = std::get_if<PackedFormat>(&matrix.format);
    if (found == nullptr || found->scale != ScaleKind::kF16 || found->offset == OffsetKind::kMinF16 ||
        found->alphabet || (format && !(*format == *found))) {
      Fail(
          "{}: {} of tensor {} cannot be in a GPTQ checkpoint; all linear layers must be intB or intB-gN of "
          "one kind",
          model.path.string(), model.weights->StoredAs(value.name), value.name);
    }
    format = *found;
    ordered = ordered || !matrix.order.empty();
    const int64_t groups = found->group == 0 ? 1 : (matrix.cols + found->group - 1) / found->group;
    const std::string prefix = PrefixOf(value.name);
    tensors.push_back({prefix + ".qweight", DType::kI32, {matrix.cols * found->bits / 32, matrix.rows}});
    tensors.push_back({prefix + ".qzeros", DType::kI32, {groups, matrix.rows * found->bits / 32}});
    tensors.push_back({prefix + ".scales", DType::kF16, {groups, matrix.rows}});
    tensors.push_back({prefix + ".g_idx", DType::kI32, {matrix.cols}});
  }
  if (!format) Fail("{}: the model has no linear layers", model.path.string());
  OutputFolder made(folder);
  SafetensorsWriter writer(folder / "model.safetensors", tensors, {{"format", "pt"}}, {.alignment = 1});
  Progress progress("exporting", static_cast<int64_t>(graph.values.size()), "tensors");
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    if (value.kind != ValueKind::kWeight) continue;
    progress.Update(static_cast<int64_t>(v));
    if (!linear[v]) {
      const std::vector<float> values = model.weights->Floats(value.name);
      CheckFinite(*model.weights, value.name, values, value.shape.size() == 2 ? value.shape[1] : 0);
      std::vector<uint16_t> halves(values.size());
      std::transform(values.begin(), values.end(), halves.begin(), FloatToF16);
      writer.Write(value.name, BytesOf(halves));
      continue;
    }
    const CheckpointMatrix matrix = FromPacked(*Codes(*model.weights, value.name));
    if (version == GptqLayout::Version::kV1 && HasZeroPoint0(matrix)) {
      Fail(
          "{}: tensor {} has a zero point of 0, which readers of GPTQ v1 disagree about; export with --to "
          "gptq-v2",
          model.path.string(), value.name);
    }
    const GptqTensors packed = PackGptq(matrix, version);
    const std::string prefix = PrefixOf(value.name);
    writer.Write(prefix + ".qweight", BytesOf(packed.qweight));
    writer.Write(prefix + ".qzeros", BytesOf(packed.qzeros));
    writer.Write(prefix + ".scales", BytesOf(packed.scales));
    writer.Write(prefix + ".g_idx", BytesOf(packed.g_idx));
  }
  const json quantization = {{"quant_method", "gptq"},
                             {"bits", format->bits},
                             {"group_size", format->group == 0 ? -1 : format->group},
                             {"desc_act", ordered},
                             {"sym", format->offset == OffsetKind::kCentre},
                             {"static_groups", false},
                             {"true_sequential", true},
                             {"damp_percent", 0.01},
                             {"lm_head", false},
                             {"checkpoint_format", version == GptqLayout::Version::kV1 ? "gptq" : "gptq_v2"}};
  WriteFile(folder / "quantize_config.json", quantization.dump(2) + "\n");
  WriteHfTables(model, folder, {{"torch_dtype", "float16"}, {"quantization_config", quantization}});
  writer.Finish();
  made.Keep();
}

}  // namespace lowbit
