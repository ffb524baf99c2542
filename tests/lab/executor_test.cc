// The torch executor is the engine's runtime with gradients: the same logits, and derivatives that are right.
#include "lab/autograd/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/runtime/language_model.h"
#include "tests/lab/tiny_model.h"

namespace lowbit::lab {
namespace {

namespace fs = std::filesystem;

// Logits (sequences, length, vocab) of the engine's runtime in f32.
torch::Tensor EngineLogits(const Model& model, const std::vector<int32_t>& tokens, int64_t sequences) {
  ThreadPool pool(2);
  LanguageModel running(model, pool, Arithmetic::kFloat);
  const auto rows = static_cast<int64_t>(tokens.size());
  std::vector<KvCache> caches;
  std::vector<Segment> segments;
  for (int64_t i = 0; i < sequences; ++i) caches.push_back(running.MakeCache(rows, CacheType::kF32));
  for (KvCache& cache : caches) segments.push_back({&cache, 0, rows / sequences, 0});
  const torch::Tensor logits = torch::empty({sequences, rows / sequences, running.vocab()});
  running.Logits(running.Forward(segments, tokens), rows, logits.data_ptr<float>());
  return logits;
}

Model EngineModel(const LlamaConfig& config, const Weights& weights) {
  Model model{.path = "random", .config = config};
  model.graph = std::make_shared<Graph>(BuildLlama(config));
  model.weights =
      std::make_shared<PlainWeights>(std::make_shared<MemoryTensors>(ToTensors(weights, DType::kF32)));
  return model;
}

double Difference(const torch::Tensor& a, const torch::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

TEST(LabExecutor, LogitsAreThoseOfEveryFamily) {
  for (const auto& entry :
       fs::directory_iterator(fs::path(LOWBIT_SOURCE_DIR) / "tests/model/data/families")) {
    const Model model = OpenModel(entry.path());
    const auto tokens =
        nlohmann::json::parse(ReadFile(entry.path() / "tokens.json")).get<std::vector<int32_t>>();
    const std::string bytes = ReadFile(entry.path() / "logits.f32");
    const torch::Tensor expected =
        torch::empty({1, static_cast<int64_t>(tokens.size()), model.config.vocab}, torch::kFloat32);
    ASSERT_EQ(bytes.size(), expected.nbytes());
    std::memcpy(expected.data_ptr(), bytes.data(), bytes.size());
    const torch::Tensor logits =
        Executor(*model.graph).Forward(ReadWeights(*model.graph, *model.weights), Ids(tokens, 1));
    EXPECT_LT(Difference(logits, expected), 1e-4) << entry.path();
    EXPECT_LT(Difference(logits, EngineLogits(model, tokens, 1)), 1e-4) << entry.path();
  }
}

TEST(LabExecutor, Bf16IsF32WithinItsRounding) {
  for (const auto& [name, config] : TinyFamilies()) {
    const Graph graph = BuildLlama(config);
    const Weights weights = RandomWeights(graph, 5);
    const torch::Tensor ids = Ids(RandomTokens(2 * 9, config.vocab, 8), 2);
    const torch::Tensor exact = Executor(graph).Forward(weights, ids);
    const torch::Tensor rounded = Executor(graph, {.precision = Precision::kBFloat16}).Forward(weights, ids);
    EXPECT_EQ(rounded.scalar_type(), torch::kFloat32);
    const double difference = Difference(exact, rounded);
    EXPECT_LT(difference, 0.08 * exact.abs().max().item<double>()) << name;
    EXPECT_GT(difference, 0) << name;
  }
}

TEST(LabExecutor, LogitsAreThoseOfTheEngine) {
  for (auto [name, config] : TinyFamilies()) {
    if (config.rope.partial < 1 || config.head_size % 8 != 0) config.head_size = 8;  // the engine wants eights
    if (config.rope.type == "longrope") {
      config.rope.short_factor.resize(static_cast<size_t>(config.head_size) / 2, 1.4);
      config.rope.long_factor.resize(static_cast<size_t>(config.head_size) / 2, 9);
    }
    const Graph graph = BuildLlama(config);
    const Weights weights = RandomWeights(graph, 6);
    const std::vector<int32_t> tokens = RandomTokens(2 * 15, config.vocab, 4);
    EXPECT_LT(Difference(Executor(graph).Forward(weights, Ids(tokens, 2)),
                         EngineLogits(EngineModel(config, weights), tokens, 2)),
              1e-4)
        << name;
  }
}

// d/dh loss(w + h d) at h = 0 along random directions d, by autograd and by central differences in double.
TEST(LabExecutor, GradientsAreTheDerivatives) {
  for (const auto& [name, config] : TinyFamilies()) {
    const Graph graph = BuildLlama(config);
    const Executor executor(graph);
    Weights weights;
    for (const auto& [weight, tensor] : RandomWeights(graph, 3)) {
      weights.emplace(weight, tensor.to(torch::kFloat64).set_requires_grad(true));
    }
    const torch::Tensor ids = Ids(RandomTokens(2 * 9, config.vocab, 8), 2);
    torch::manual_seed(1);
    const torch::Tensor direction = torch::randn({2, 9, config.vocab}, torch::kFloat64);
    const auto loss = [&] {
      return (torch::log_softmax(executor.Forward(weights, ids), -1) * direction).mean();
    };
    loss().backward();
    torch::NoGradGuard no_grad;
    for (auto& [weight, tensor] : weights) {
      const torch::Tensor d = torch::randn_like(tensor);
      const double analytic = (tensor.grad() * d).sum().item<double>();
      const double h = 1e-5;
      tensor.add_(d, h);
      const auto above = loss().item<double>();
      tensor.add_(d, -2 * h);
      const auto below = loss().item<double>();
      tensor.add_(d, h);
      const double numeric = (above - below) / (2 * h);
      EXPECT_NEAR(analytic, numeric,
                  1e-7 * std::max(1.0, tensor.grad().norm().item<double>() * d.norm().item<double>()))
          << name << ": " << weight;
      EXPECT_GT(tensor.grad().abs().max().item<double>(), 0) << name << ": " << weight << " has no gradient";
    }
  }
}

TEST(LabExecutor, LaterTokensDoNotChangeEarlierLogits) {
  for (const char* name : {"tied", "gemma"}) {
    const LlamaConfig config = TinyFamilies().at(name);
    const Graph graph = BuildLlama(config);
    const Weights weights = RandomWeights(graph, 2);
    std::vector<int32_t> tokens = RandomTokens(12, config.vocab, 1);
    const torch::Tensor before = Executor(graph).Forward(weights, Ids(tokens, 1));
    tokens.back() = (tokens.back() + 1) % static_cast<int32_t>(config.vocab);
    const torch::Tensor after = Executor(graph).Forward(weights, Ids(tokens, 1));
    EXPECT_LT(Difference(before.narrow(1, 0, 11), after.narrow(1, 0, 11)), 1e-6) << name;
    EXPECT_GT(Difference(before, after), 1e-3) << name;
  }
}

TEST(LabExecutor, NamesTheWeightThatDoesNotFit) {
  const Graph graph = BuildLlama(TinyLlama());
  const Executor executor(graph);
  const torch::Tensor ids = Ids({1, 2, 3}, 1);
  const auto message = [&](const Weights& weights) -> std::string {
    try {
      executor.Forward(weights, ids);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  Weights weights = RandomWeights(graph, 1);
  weights[name] = torch::zeros({3, 4});
  EXPECT_NE(message(weights).find(name), std::string::npos);
  weights.erase(name);
  EXPECT_NE(message(weights).find(name + " is missing"), std::string::npos);
}

TEST(LabWeights, TheInitialOnesAreAFunctionOfTheSeed) {
  const Graph graph = BuildLlama(TinyFamilies().at("gemma"));
  const Weights a = InitialWeights(graph, 1), b = InitialWeights(graph, 1), c = InitialWeights(graph, 2);
  for (const auto& [name, tensor] : a) {
    EXPECT_TRUE(tensor.equal(b.at(name))) << name;
    EXPECT_EQ(tensor.equal(c.at(name)), tensor.dim() == 1) << name;
    // Gemma's norms multiply by 1 + weight.
    if (tensor.dim() == 1) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0) << name;
    }
  }
}

TEST(LabWeights, ComeBackFromTheEngineAsTheyWent) {
  const LlamaConfig config = TinyFamilies().at("biases");
  const Graph graph = BuildLlama(config);
  const Weights weights = RandomWeights(graph, 9);
  const Weights back = ReadWeights(graph, *EngineModel(config, weights).weights);
  for (const auto& [name, tensor] : weights) EXPECT_TRUE(tensor.equal(back.at(name))) << name;
  LlamaConfig wider = config;
  wider.ffn += 8;
  EXPECT_THROW(ReadWeights(BuildLlama(wider), *EngineModel(config, weights).weights), Error);
}

}  // namespace
}  // namespace lowbit::lab
