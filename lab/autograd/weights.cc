#include "lab/autograd/weights.h"

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit::lab {
namespace {

torch::ScalarType TorchType(DType type) {
  switch (type) {
    case DType::kF32:
      return torch::kFloat32;
    case DType::kF16:
      return torch::kFloat16;
    case DType::kBF16:
      return torch::kBFloat16;
    default:
      Fail("weights: they are stored as F32, F16 or BF16, not as {}", NameOf(type));
  }
}

}  // namespace

Weights InitialWeights(const Graph& graph, uint64_t seed, double deviation) {
  int blocks = 0;
  std::map<std::string, double> vector_start;
  for (const Node& node : graph.nodes) {
    blocks = std::max(blocks, node.block + 1);
    if (node.op == Op::kRmsNorm) vector_start[graph.values[node.in[1]].name] = 1 - node.Real("offset");
  }
  Weights weights;
  uint64_t stream = 0;
  for (const Value& value : graph.values) {
    if (value.kind != ValueKind::kWeight) continue;
    torch::Tensor tensor = torch::zeros(value.shape, torch::kFloat32);
    if (value.shape.size() == 1) {
      const auto found = vector_start.find(value.name);
      if (found != vector_start.end()) tensor.fill_(found->second);
    } else {
      const bool ends_branch =
          value.name.ends_with("o_proj.weight") || value.name.ends_with("down_proj.weight");
      const double scale = ends_branch ? deviation / std::sqrt(2.0 * std::max(blocks, 1)) : deviation;
      Random random(seed, stream);
      float* data = tensor.data_ptr<float>();
      for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(scale) * random.Normal();
    }
    ++stream;
    weights.emplace(value.name, tensor);
  }
  return weights;
}

Weights ReadWeights(const Graph& graph, const lowbit::Weights& model) {
  Weights weights;
  for (const Value& value : graph.values) {
    if (value.kind != ValueKind::kWeight) continue;
    if (const auto shape = model.Shape(value.name); shape != value.shape) {
      Fail("{}: tensor {} is ({}), the graph needs ({})", model.Where(), value.name, fmt::join(shape, ", "),
           fmt::join(value.shape, ", "));
    }
    weights.emplace(value.name, torch::tensor(model.Floats(value.name)).view(value.shape));
  }
  return weights;
}

MemoryTensors ToTensors(const Weights& weights, DType type) {
  MemoryTensors tensors("weights of the laboratory");
  for (const auto& [name, tensor] : weights) {
    const torch::Tensor stored = tensor.detach().cpu().to(TorchType(type)).contiguous();
    const auto* data = static_cast<const std::byte*>(stored.data_ptr());
    tensors.Add(name, type, stored.sizes().vec(), {data, data + stored.nbytes()});
  }
  return tensors;
}

}  // namespace lowbit::lab
