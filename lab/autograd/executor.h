// The torch executor: runs a lowbit::Graph on libtorch tensors, so that autograd differentiates the very
// network that the runtime deploys. No network is written twice.
#pragma once

#include "lab/autograd/weights.h"
#include "lab/torch.h"
#include "lowbit/graph/graph.h"

namespace lowbit::lab {

// kBFloat16: matrix products (linear layers and attention) take operands rounded to bf16 and accumulate in
// f32; norms, residual stream, softmax and weights stay in f32. Twice as fast as f32 on processors with bf16
// dot products.
enum class Precision { kFloat32, kBFloat16 };

struct ExecutorOptions {
  Precision precision = Precision::kFloat32;
  torch::Device device = torch::kCPU;
};

class Executor {
 public:
  // Throws Error when the graph is not valid. The graph is copied.
  explicit Executor(const Graph& graph, ExecutorOptions options = {});

  // ids (B, L), int64, each row a sequence from its first position -> logits (B, L, vocab) in the type of the
  // weights. Throws Error naming the weight when one is missing or has another shape than the graph says.
  torch::Tensor Forward(const Weights& weights, const torch::Tensor& ids) const;

  const Graph& graph() const { return graph_; }

 private:
  torch::Tensor Linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) const;
  torch::Tensor Attention(const Node& node, const torch::Tensor& q, const torch::Tensor& k,
                          const torch::Tensor& v) const;

  Graph graph_;
  ExecutorOptions options_;
};

}  // namespace lowbit::lab
