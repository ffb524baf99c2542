#include "lab/autograd/executor.h"

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/network/rope.h"

namespace lowbit::lab {
namespace {

// y = x r (w + offset), r = 1 / sqrt(mean(x^2) + eps), with the backward pass in closed form: autograd
// through the elementary operations would read and write the activation three times as often.
struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, double eps, double offset) {
    const torch::Tensor r = (torch::square(x).mean(-1, true) + eps).rsqrt();
    const torch::Tensor gain = offset == 0 ? weight : weight + offset;
    context->save_for_backward({x, gain, r});
    return (x * r).mul_(gain);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &gain = saved[1], &r = saved[2], &dy = gradients[0];
    const torch::Tensor unit = x * r;  // normalised x
    torch::Tensor product = dy * unit;
    const torch::Tensor dw = product.flatten(0, -2).sum(0);
    const torch::Tensor inner = product.mul_(gain).mean(-1, true);  // mean(dy w unit)
    torch::Tensor dx = dy * gain;
    dx.sub_(unit * inner).mul_(r);
    return {dx, dw, torch::Tensor(), torch::Tensor()};
  }
};

// cos and sin (L, pairs) of positions 0..L-1.
std::pair<torch::Tensor, torch::Tensor> Angles(const Rope& rope, int64_t length, torch::Device device) {
  const auto options = torch::TensorOptions().dtype(torch::kFloat64);
  const torch::Tensor f = torch::tensor(InverseFrequencies(rope, length), options);
  const torch::Tensor angle = torch::outer(torch::arange(length, options), f);
  const auto finish = [&](const torch::Tensor& t) {
    return (t * rope.attention_factor).to(device, torch::kFloat32);
  };
  return {finish(angle.cos()), finish(angle.sin())};
}

// Turns the pairs (i, i + pairs) of every head. x (B, L, heads, size).
torch::Tensor Rotate(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) {
  const int64_t pairs = cos.size(-1);
  const torch::Tensor c = cos.view({1, -1, 1, pairs}).to(x.scalar_type());
  const torch::Tensor s = sin.view({1, -1, 1, pairs}).to(x.scalar_type());
  const torch::Tensor a = x.narrow(-1, 0, pairs), b = x.narrow(-1, pairs, pairs);
  std::vector<torch::Tensor> parts = {a * c - b * s, b * c + a * s};
  if (2 * pairs < x.size(-1)) parts.push_back(x.narrow(-1, 2 * pairs, x.size(-1) - 2 * pairs));
  return torch::cat(parts, -1);
}

}  // namespace

Executor::Executor(const Graph& graph, ExecutorOptions options) : graph_(graph), options_(options) {
  Validate(graph_);
}

torch::Tensor Executor::Linear(const torch::Tensor& x, const torch::Tensor& weight,
                               const torch::Tensor& bias) const {
  const auto type = options_.precision == Precision::kBFloat16 ? torch::kBFloat16 : weight.scalar_type();
  torch::Tensor y = torch::linear(x.to(type), weight.to(type));
  return bias.defined() ? y + bias.to(type) : y;
}

torch::Tensor Executor::Attention(const Node& node, const torch::Tensor& q, const torch::Tensor& k,
                                  const torch::Tensor& v) const {
  const int64_t batch = q.size(0), length = q.size(1);
  const int64_t heads = node.Int("heads"), kv = node.Int("kv_heads"), size = node.Int("head_size");
  const int64_t window = node.Int("window"), group = heads / kv, rope = node.Int("rope", -1);
  // Norms of queries and keys leave them in f32.
  torch::Tensor queries = q.to(v.scalar_type()).view({batch, length, heads, size});
  torch::Tensor keys = k.to(v.scalar_type()).view({batch, length, kv, size});
  if (rope >= 0) {
    auto [cos, sin] = Angles(graph_.ropes[rope], length, q.device());
    queries = Rotate(queries, cos, sin);
    keys = Rotate(keys, cos, sin);
  }
  // The heads that share keys become rows of one product: (B kv, group L, size).
  queries = (queries * node.Real("scale"))
                .view({batch, length, kv, group, size})
                .permute({0, 2, 3, 1, 4})
                .reshape({batch * kv, group * length, size});
  keys = keys.permute({0, 2, 3, 1}).reshape({batch * kv, size, length});
  const torch::Tensor values =
      v.view({batch, length, kv, size}).transpose(1, 2).reshape({batch * kv, length, size});

  const auto allowed = torch::TensorOptions().dtype(torch::kBool).device(q.device());
  torch::Tensor hidden = torch::ones({length, length}, allowed).triu(1);
  if (window > 0) hidden = hidden.logical_or(torch::ones({length, length}, allowed).tril(-window));
  torch::Tensor scores = torch::bmm(queries, keys).view({batch * kv, group, length, length});
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const torch::Tensor probability = torch::softmax(scores, -1).view({batch * kv, group * length, length});
  return torch::bmm(probability, values)
      .view({batch, kv, group, length, size})
      .permute({0, 3, 1, 2, 4})
      .reshape({batch, length, heads * size});
}

torch::Tensor Executor::Forward(const Weights& weights, const torch::Tensor& ids) const {
  if (ids.dim() != 2) Fail("executor: token ids must be (batch, length), they have {} axes", ids.dim());
  std::vector<torch::Tensor> values(graph_.values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& value = graph_.values[i];
    if (value.kind != ValueKind::kWeight) continue;
    const auto found = weights.find(value.name);
    if (found == weights.end()) Fail("executor: weight {} is missing", value.name);
    if (found->second.sizes().vec() != value.shape) {
      Fail("executor: weight {} has {} elements in {} axes, not the shape of the graph", value.name,
           found->second.numel(), found->second.dim());
    }
    values[i] = found->second;
  }
  values[graph_.inputs.at(0)] = ids;
  std::vector<size_t> last_use(values.size(), graph_.nodes.size());
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    for (int v : graph_.nodes[n].in) last_use[v] = n;
  }
  for (int v : graph_.outputs) last_use[v] = graph_.nodes.size();

  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    const auto in = [&](size_t i) -> const torch::Tensor& { return values[node.in[i]]; };
    torch::Tensor& out = values[node.out[0]];
    switch (node.op) {
      case Op::kEmbedding: {
        out = torch::embedding(in(1), in(0));
        const double scale = node.Real("scale", 1);
        if (scale != 1) out = out * scale;
        break;
      }
      case Op::kLinear:
        out = Linear(in(0), in(1), node.in.size() == 3 ? in(2) : torch::Tensor());
        break;
      case Op::kRmsNorm: {
        torch::Tensor x = in(0).to(in(1).scalar_type());
        const auto shape = x.sizes().vec();
        const int64_t run = in(1).size(0);
        if (run != shape.back()) x = x.view({shape[0], shape[1], shape[2] / run, run});
        out = RmsNorm::apply(x, in(1), node.Real("eps"), node.Real("offset")).view(shape);
        break;
      }
      case Op::kAttention:
        out = Attention(node, in(0), in(1), in(2));
        break;
      case Op::kGlu: {
        const torch::Tensor active =
            node.Text("activation") == "silu" ? torch::silu(in(0)) : torch::gelu(in(0), "tanh");
        out = active * in(1);
        break;
      }
      case Op::kAdd:
        out = in(0) + in(1).to(in(0).scalar_type());
        break;
    }
    for (int v : node.in) {
      if (last_use[v] == n) values[v] = torch::Tensor();  // autograd keeps what the backward pass needs
    }
  }
  const torch::Tensor& logits = values[graph_.outputs.at(0)];
  return logits.scalar_type() == torch::kBFloat16 ? logits.to(torch::kFloat32) : logits;
}

}  // namespace lowbit::lab
