#include "lowbit/model/weights.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/io/read_tensor.h"

namespace lowbit {
namespace {

DType PlainType(const TensorView& view, const std::string& where, const std::string& name) {
  const auto* type = std::get_if<DType>(&view.type);
  if (type == nullptr)
    Fail("{}: tensor {} is stored in blocks of type {}", where, name,
         static_cast<uint32_t>(std::get<GgmlType>(view.type)));
  // Integers and 8-bit floats are codes of some format whose scales lie elsewhere: as values they mean
  // nothing.
  if (*type != DType::kF64 && *type != DType::kF32 && *type != DType::kF16 && *type != DType::kBF16) {
    Fail(
        "{}: tensor {} is stored as {}; weights are F64, F32, F16 or BF16 (a quantized checkpoint says in "
        "\"quantization_config\" of config.json how its codes are read)",
        where, name, NameOf(*type));
  }
  return *type;
}

}  // namespace

const std::string& PlainWeights::Stored(const std::string& name) const {
  static const std::string kEmbedding = "model.embed_tokens.weight", kHead = "lm_head.weight";
  return name == kEmbedding && !source_->Has(kEmbedding) && source_->Has(kHead) ? kHead : name;
}

std::string PlainWeights::StoredAs(const std::string& name) const {
  return std::string(NameOf(PlainType(source_->Get(Stored(name)), WhereIs(name), name)));
}

Matrix PlainWeights::Load(const std::string& name) const {
  const TensorView view = source_->Get(Stored(name));
  if (view.shape.size() != 2)
    Fail("{}: tensor {} has {} axes, a matrix has 2", Where(), name, view.shape.size());
  const DType type = PlainType(view, WhereIs(name), name);
  if (type == DType::kF64) {
    return OwnFloats(Floats(name), view.shape[0], view.shape[1]);
  }
  Matrix matrix{.format = type, .rows = view.shape[0], .cols = view.shape[1]};
  matrix.bytes = reinterpret_cast<const uint8_t*>(view.bytes.data());
  matrix.size = view.bytes.size();
  matrix.owner = source_;
  return matrix;
}

std::vector<float> PlainWeights::Floats(const std::string& name) const {
  PlainType(source_->Get(Stored(name)), WhereIs(name), name);
  return ReadFloats(*source_, Stored(name));
}

void CheckShape(const Weights& weights, const Value& weight) {
  const std::vector<int64_t> shape = weights.Shape(weight.name);
  if (shape == weight.shape) return;
  Fail("{}: tensor {} has shape ({}), the configuration needs ({})", weights.WhereIs(weight.name),
       weight.name, fmt::join(shape, ", "), fmt::join(weight.shape, ", "));
}

void CheckFinite(const Weights& weights, const std::string& name, std::span<const float> values,
                 int64_t cols) {
  constexpr int64_t kTask = 1 << 16;
  const auto count = static_cast<int64_t>(values.size());
  std::vector<int64_t> first(static_cast<size_t>((count + kTask - 1) / kTask), -1);
  ThreadPool::Global().Run(static_cast<int64_t>(first.size()), [&](int64_t task, int) {
    const int64_t begin = task * kTask, end = std::min(count, begin + kTask);
    if (AllFinite(values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)))) return;
    first[task] = std::find_if(values.begin() + begin, values.begin() + end,
                               [](float x) { return !std::isfinite(x); }) -
                  values.begin();
  });
  for (const int64_t at : first) {
    if (at < 0) continue;
    const std::string place =
        cols > 0 ? fmt::format("row {}, column {}", at / cols, at % cols) : fmt::format("entry {}", at);
    Fail("{}: tensor {} holds {} at {}: the checkpoint is damaged", weights.WhereIs(name), name, values[at],
         place);
  }
}

void CheckFinite(const Weights& weights, const Graph& graph) {
  for (const Value& value : graph.values) {
    if (value.kind != ValueKind::kWeight) continue;
    CheckInterrupt();
    CheckFinite(weights, value.name, weights.Floats(value.name),
                value.shape.size() == 2 ? value.shape[1] : 0);
    weights.Release(value.name);
  }
}

}  // namespace lowbit
