#include "lab/autograd/executor.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/network/llama.h"

namespace lowbit::lab {
namespace {

LlamaConfig Tiny() {
  LlamaConfig config;
  config.vocab = 11, config.width = 8, config.layers = 2, config.heads = 4, config.kv_heads = 2,
  config.head_size = 4;
  config.ffn = 12, config.context = 16;
  return config;
}

Weights Doubles(const Graph& graph) {
  Weights weights = InitialWeights(graph, 3, 0.5);
  for (auto& [name, tensor] : weights) tensor = tensor.to(torch::kFloat64).set_requires_grad(true);
  return weights;
}

torch::Tensor Ids() {
  return torch::tensor({1, 4, 7, 2, 9, 9, 3, 0, 5, 10, 6, 8}, torch::kInt64).view({2, 6});
}

// A scalar of the logits in which every entry counts differently.
torch::Tensor Score(const Executor& executor, const Weights& weights) {
  const torch::Tensor logits = executor.Forward(weights, Ids());
  const torch::Tensor factor =
      torch::arange(logits.numel(), torch::kFloat64).mul(0.37).sin().view(logits.sizes());
  return (logits.log_softmax(-1) * factor).sum();
}

// Autograd against central differences, in double, for every weight tensor of every variant of the graph.
void CheckGradients(const LlamaConfig& config) {
  const Graph graph = BuildLlama(config);
  const Executor executor(graph);
  Weights weights = Doubles(graph);
  Score(executor, weights).backward();
  torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : weights) {
    const int64_t entries = tensor.numel();
    for (int64_t i : {int64_t{0}, entries / 3, entries - 1}) {
      double& entry = tensor.data_ptr<double>()[i];
      const double kept = entry, h = 1e-5;
      entry = kept + h;
      const double above = Score(executor, weights).item<double>();
      entry = kept - h;
      const double below = Score(executor, weights).item<double>();
      entry = kept;
      const double expected = (above - below) / (2 * h);
      EXPECT_NEAR(tensor.grad().data_ptr<double>()[i], expected, 1e-6 * (1 + std::abs(expected)))
          << name << " " << i;
    }
  }
}

TEST(ExecutorTest, GradientsOfLlamaAreTheDifferences) {
  CheckGradients(Tiny());
}

TEST(ExecutorTest, GradientsOfEveryOptionAreTheDifferences) {
  LlamaConfig config = Tiny();
  config.tied = false, config.qkv_bias = true, config.qk_norm = true, config.post_norms = true;
  config.norm_offset = 1, config.embedding_scale = 2.5, config.activation = "gelu_tanh", config.window = 3;
  config.rope.partial = 0.5;
  CheckGradients(config);
}

// What the batched tensor code computes is what the definition says: attention written as loops over one
// head.
TEST(ExecutorTest, AttentionEqualsItsDefinition) {
  constexpr int64_t kLength = 7, kHeads = 4, kKv = 2, kSize = 4, kWindow = 3;
  Graph graph;
  graph.ropes.push_back({{1.0, 0.1}, {}, 1, 0, 0, 1});
  const int tokens = graph.AddValue({"tokens", ValueKind::kTokens, {-1}, {"tokens"}});
  graph.inputs = {tokens};
  const auto table = [&](const std::string& name, int64_t width) {
    const int weight = graph.AddWeight(name + ".weight", {11, width}, {"vocab", "width"});
    return graph.AddNode(Op::kEmbedding, name, 0, {tokens, weight}, width, {{"scale", 1.0}});
  };
  const int q = table("q", kHeads * kSize), k = table("k", kKv * kSize), v = table("v", kKv * kSize);
  graph.outputs = {graph.AddNode(Op::kAttention, "attention", 0, {q, k, v}, kHeads * kSize,
                                 {{"heads", kHeads},
                                  {"kv_heads", kKv},
                                  {"head_size", kSize},
                                  {"scale", 0.7},
                                  {"window", kWindow},
                                  {"rope", int64_t{0}}})};
  const Weights weights = Doubles(graph);
  const std::vector<int64_t> ids = {3, 1, 4, 1, 5, 9, 2};
  torch::NoGradGuard no_grad;
  const torch::Tensor got =
      Executor(graph).Forward(weights, torch::tensor(ids, torch::kInt64).view({1, kLength}));

  const auto entry = [&](const char* name, int64_t position, int64_t column) {
    return weights.at(std::string(name) + ".weight")[ids[static_cast<size_t>(position)]][column]
        .item<double>();
  };
  const auto turned = [&](const char* name, int64_t position, int64_t head, int64_t i) {
    const int64_t pair = i % 2;
    const double angle =
        static_cast<double>(position) * graph.ropes[0].inverse_frequency[static_cast<size_t>(pair)];
    const double a = entry(name, position, head * kSize + pair),
                 b = entry(name, position, head * kSize + pair + 2);
    return i < 2 ? a * std::cos(angle) - b * std::sin(angle) : b * std::cos(angle) + a * std::sin(angle);
  };
  for (int64_t t = 0; t < kLength; ++t) {
    for (int64_t head = 0; head < kHeads; ++head) {
      const int64_t kv = head / (kHeads / kKv);
      double total = 0, out[kSize] = {};
      for (int64_t s = std::max<int64_t>(0, t - kWindow + 1); s <= t; ++s) {
        double dot = 0;
        for (int64_t i = 0; i < kSize; ++i) dot += turned("q", t, head, i) * turned("k", s, kv, i);
        const double weight = std::exp(0.7 * dot);
        total += weight;
        for (int64_t i = 0; i < kSize; ++i) out[i] += weight * entry("v", s, kv * kSize + i);
      }
      for (int64_t i = 0; i < kSize; ++i) {
        EXPECT_NEAR(got[0][t][head * kSize + i].item<double>(), out[i] / total, 1e-6) << t << " " << head;
      }
    }
  }
}

TEST(ExecutorTest, LaterTokensDoNotChangeEarlierLogits) {
  const Graph graph = BuildLlama(Tiny());
  const Executor executor(graph);
  const Weights weights = Doubles(graph);
  torch::NoGradGuard no_grad;
  torch::Tensor changed = Ids().clone();
  changed[0][5] = 1;
  const torch::Tensor a = executor.Forward(weights, Ids()), b = executor.Forward(weights, changed);
  EXPECT_TRUE(torch::equal(a.narrow(1, 0, 5), b.narrow(1, 0, 5)));
  EXPECT_FALSE(torch::equal(a[0][5], b[0][5]));
}

TEST(ExecutorTest, MissingAndMisshapenWeightsAreNamed) {
  const Graph graph = BuildLlama(Tiny());
  Weights weights = InitialWeights(graph, 1);
  weights["model.norm.weight"] = torch::ones({3});
  const auto message = [&] {
    try {
      Executor(graph).Forward(weights, Ids());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message().find("model.norm.weight"), std::string::npos);
  weights.erase("model.norm.weight");
  EXPECT_NE(message().find("model.norm.weight is missing"), std::string::npos);
}

}  // namespace
}  // namespace lowbit::lab
