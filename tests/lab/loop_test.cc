// The training loop with the next-token objective: it learns, and what it does is a function of the recipe.
#include "lab/train/loop.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "lab/data/text.h"
#include "lab/objective/next_token.h"
#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "tests/io/scratch.h"
#include "tests/lab/tiny_model.h"

namespace lowbit::lab {
namespace {

constexpr int64_t kVocab = 24, kLength = 16;

// A walk in which every token has two likely successors.
std::vector<int32_t> Walk(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens = {3};
  while (static_cast<int64_t>(tokens.size()) < count) {
    const int32_t last = tokens.back();
    const auto next = random.Below(10) == 0
                          ? static_cast<int32_t>(random.Below(kVocab))
                          : (last * 5 + 3 + static_cast<int32_t>(random.Below(2))) % int32_t{kVocab};
    tokens.push_back(next);
  }
  return tokens;
}

struct Trial {
  uint64_t seed = 1;
  Rule rule = Rule::kMuon;
  Precision precision = Precision::kFloat32;
  int64_t micro_tokens = 4096;
  double average = 0;
};

LlamaConfig Network() {
  LlamaConfig c = TinyLlama();
  c.vocab = kVocab, c.context = kLength;
  return c;
}

NextToken MakeObjective(const Trial& trial) {
  NextTokenOptions options;
  options.rate = {.peak = 0.01, .warmup = 0.1, .floor = 0.1};
  options.rule = trial.rule;
  options.precision = trial.precision;
  options.micro_tokens = trial.micro_tokens;
  options.average = trial.average;
  Window heldout{.tokens = Walk(kLength, 99), .bytes = 2 * (kLength - 1)};
  const Graph graph = BuildLlama(Network());
  return NextToken(graph, InitialWeights(graph, trial.seed), options, {heldout, heldout});
}

Windows MakeData(uint64_t seed) {
  return Windows(Walk(4000, 7), {.block = kLength, .blocks = 8, .seed = seed});
}

// The reports of the log, one a step.
std::vector<nlohmann::json> ReadLog(const std::filesystem::path& path) {
  std::vector<nlohmann::json> entries;
  std::istringstream lines(ReadFile(path));
  for (std::string line; std::getline(lines, line);) entries.push_back(nlohmann::json::parse(line));
  return entries;
}

void Train(NextToken& objective, const Trial& trial, LoopOptions options) {
  Windows data = MakeData(trial.seed);
  Loop(objective, data, options);
}

bool Same(const Weights& a, const Weights& b) {
  for (const auto& [name, tensor] : a) {
    if (!tensor.equal(b.at(name))) return false;
  }
  return a.size() == b.size();
}

TEST(Loop, TheLossFalls) {
  const ScratchFolder folder;
  for (const Rule rule : {Rule::kMuon, Rule::kAdamW}) {
    for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
      const Trial trial{.rule = rule, .precision = precision};
      NextToken objective = MakeObjective(trial);
      Train(objective, trial, {.steps = 60, .log = folder / "log", .log_every = 5, .evaluate_every = 30});
      const auto log = ReadLog(folder / "log");
      ASSERT_EQ(log.size(), 12u);
      EXPECT_NEAR(log[0]["loss"].get<double>(), std::log(double{kVocab}), 0.35);  // nothing known at first
      // The entropy of the walk is 1.22 nats a token.
      EXPECT_LT(log[11]["loss"].get<double>(), 2.2);
      EXPECT_GT(log[11]["loss"].get<double>(), 1.1);
      EXPECT_FALSE(log[4].contains("heldout_bits_per_byte"));
      EXPECT_LT(log[11]["heldout_bits_per_byte"].get<double>(),
                log[5]["heldout_bits_per_byte"].get<double>());
      EXPECT_NEAR(log[11]["rate"].get<double>(), 0.001, 0.0005);
    }
  }
}

TEST(Loop, TheSeedDecidesEverything) {
  const ScratchFolder folder;
  std::vector<Weights> results;
  for (const uint64_t seed : {1, 1, 2}) {
    const Trial trial{.seed = seed};
    NextToken objective = MakeObjective(trial);
    Train(objective, trial, {.steps = 12, .log = folder / std::to_string(results.size()), .log_every = 1});
    results.push_back(objective.Result());
  }
  EXPECT_TRUE(Same(results[0], results[1]));
  EXPECT_EQ(ReadFile(folder / "0"), ReadFile(folder / "1"));
  EXPECT_FALSE(Same(results[0], results[2]));
}

TEST(Loop, ABatchIsTheSumOfItsParts) {
  // Gradients of parts add up to the gradient of the whole, but for rounding.
  std::vector<double> norms, losses;
  for (const int64_t micro : {4096, 32, 1}) {
    NextToken objective = MakeObjective({.micro_tokens = micro});
    const StepReport report = objective.Step(MakeData(1).At({0, 10}), {0, 10});
    norms.push_back(report.at("gradient_norm"));
    losses.push_back(report.at("loss"));
  }
  for (size_t i : {1, 2}) {
    EXPECT_NEAR(norms[i], norms[0], 1e-5 * norms[0]);
    EXPECT_NEAR(losses[i], losses[0], 1e-5);
  }
}

TEST(Loop, AnInterruptedRunEndsAsIfItHadNotBeen) {
  const ScratchFolder folder;
  for (const double average : {0.0, 0.9}) {
    const Trial trial{.average = average};
    const LoopOptions whole{.steps = 20, .log = folder / "whole.jsonl", .log_every = 3, .evaluate_every = 6};
    NextToken expected = MakeObjective(trial);
    Train(expected, trial, whole);

    LoopOptions part = whole;
    part.log = folder / "part.jsonl";
    part.checkpoint = folder / "checkpoint";
    for (const int64_t stop : {4, 6, 13}) {  // inside and at the end of a line of the log
      NextToken objective = MakeObjective(trial);
      part.stop_after = stop;
      part.resume = stop > 4;
      EXPECT_THROW(Train(objective, trial, part), Interrupted);
    }
    // What a lost part of a run has written after the checkpoint is forgotten.
    WriteFile(part.log, ReadFile(part.log) + "{\"step\":15,\"loss\":99}\n{\"step\":18,\"lo");
    part.stop_after = 0;
    NextToken resumed = MakeObjective({.seed = 5, .average = average});  // the checkpoint has the last word
    Train(resumed, trial, part);
    EXPECT_TRUE(Same(expected.Result(), resumed.Result()));
    EXPECT_EQ(ReadFile(folder / "whole.jsonl"), ReadFile(folder / "part.jsonl"));
    std::filesystem::remove(part.checkpoint);
  }
}

TEST(Loop, RefusesACheckpointThatDoesNotFit) {
  const ScratchFolder folder;
  const Trial trial;
  const LoopOptions options{.steps = 4, .checkpoint = folder / "checkpoint", .resume = true};
  NextToken objective = MakeObjective(trial);
  Train(objective, trial, options);
  const auto message = [&](NextToken& other, const LoopOptions& with) -> std::string {
    try {
      Train(other, trial, with);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was refused";
  };
  LoopOptions fewer = options;
  fewer.steps = 3;
  EXPECT_NE(message(objective, fewer).find("is at step 4, past the 3 steps asked for"), std::string::npos);
  LlamaConfig wider = Network();
  wider.ffn += 8;
  const Graph graph = BuildLlama(wider);
  NextToken other(graph, InitialWeights(graph, 1), {});
  EXPECT_NE(message(other, options).find("belongs to another recipe"), std::string::npos);
  const std::string bytes = ReadFile(options.checkpoint);
  WriteFile(options.checkpoint, bytes.substr(0, bytes.size() / 2));
  EXPECT_NE(message(objective, options).find(options.checkpoint.string() + ": not a checkpoint"),
            std::string::npos);
}

TEST(Loop, ARunThatDivergesSaysSo) {
  const ScratchFolder folder;
  const Graph graph = BuildLlama(Network());
  Weights weights = InitialWeights(graph, 1);
  weights.at("model.norm.weight").fill_(std::numeric_limits<float>::infinity());
  NextToken objective(graph, std::move(weights), {});
  try {
    Train(objective, {}, {.steps = 2});
    FAIL() << "training went on with infinite weights";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("training diverged"), std::string::npos) << error.what();
  }
}

TEST(Measure, AddsUpTheScoredTokensOfEveryWindow) {
  const Graph graph = BuildLlama(Network());
  const Executor executor(graph);
  const Weights weights = RandomWeights(graph, 3);
  const std::vector<Window> windows = {{.tokens = Walk(9, 1), .first_scored = 1, .bytes = 20},
                                       {.tokens = Walk(12, 2), .first_scored = 5, .bytes = 10}};
  const LmMetrics metrics = Measure(executor, weights, windows);
  double nats = 0;
  for (const Window& window : windows) {
    const auto length = static_cast<int64_t>(window.tokens.size());
    const torch::Tensor log_p = torch::log_softmax(executor.Forward(weights, Ids(window.tokens, 1))[0], -1);
    for (int64_t i = window.first_scored; i < length; ++i)
      nats -= log_p[i - 1][window.tokens[static_cast<size_t>(i)]].item<double>();
  }
  EXPECT_EQ(metrics.tokens(), 8 + 7);
  EXPECT_EQ(metrics.bytes(), 30);
  EXPECT_NEAR(metrics.nats_per_token(), nats / 15, 1e-5);
}

}  // namespace
}  // namespace lowbit::lab
