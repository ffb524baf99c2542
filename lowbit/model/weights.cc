#include "lowbit/model/weights.h"

#include "lowbit/base/error.h"
#include "lowbit/io/read_tensor.h"

namespace lowbit {
namespace {

DType PlainType(const TensorView& view, const std::string& where, const std::string& name) {
  const auto* type = std::get_if<DType>(&view.type);
  if (type == nullptr)
    Fail("{}: tensor {} is stored in blocks of type {}", where, name,
         static_cast<uint32_t>(std::get<GgmlType>(view.type)));
  return *type;
}

}  // namespace

const std::string& PlainWeights::Stored(const std::string& name) const {
  static const std::string kEmbedding = "model.embed_tokens.weight", kHead = "lm_head.weight";
  return name == kEmbedding && !source_->Has(kEmbedding) && source_->Has(kHead) ? kHead : name;
}

std::string PlainWeights::StoredAs(const std::string& name) const {
  return std::string(NameOf(PlainType(source_->Get(Stored(name)), Where(), name)));
}

Matrix PlainWeights::Load(const std::string& name) const {
  const TensorView view = source_->Get(Stored(name));
  if (view.shape.size() != 2)
    Fail("{}: tensor {} has {} axes, a matrix has 2", Where(), name, view.shape.size());
  const DType type = PlainType(view, Where(), name);
  if (type != DType::kF32 && type != DType::kF16 && type != DType::kBF16) {
    return OwnFloats(Floats(name), view.shape[0], view.shape[1]);
  }
  Matrix matrix{.format = type, .rows = view.shape[0], .cols = view.shape[1]};
  matrix.bytes = reinterpret_cast<const uint8_t*>(view.bytes.data());
  matrix.size = view.bytes.size();
  matrix.owner = source_;
  return matrix;
}

std::vector<float> PlainWeights::Floats(const std::string& name) const {
  return ReadFloats(*source_, Stored(name));
}

}  // namespace lowbit
