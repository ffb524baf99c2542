// The language-model objective: cross-entropy of the next token.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/autograd/executor.h"
#include "lab/train/loop.h"
#include "lab/train/optimizer.h"
#include "lab/train/schedule.h"
#include "lowbit/metric/score.h"

namespace lowbit::lab {

struct NextTokenOptions {
  Schedule rate;
  double decay = 0.1;       // of the matrices; vectors have none
  Rule rule = Rule::kMuon;  // of the matrices inside the blocks; the embedding and vectors use AdamW
  OptimizerOptions optimizer;
  Precision precision = Precision::kFloat32;
  torch::Device device = torch::kCPU;
  int64_t micro_tokens =
      4096;  // tokens whose activations are in memory at once; a batch is a sum of such parts
  double average =
      0;  // decay of the running average of the weights (EMA) that is evaluated and exported; 0: none
};

class NextToken : public Objective {
 public:
  NextToken(const Graph& graph, Weights initial, NextTokenOptions options, std::vector<Window> heldout = {});

  // Reports "loss" (nats per token) and "rate".
  StepReport Step(const Batch& batch, Clock clock) override;
  // Reports "heldout_bits_per_byte" of the weights as they are exported, rounded to bf16: what `lowbit eval`
  // prints for the exported folder.
  StepReport Evaluate() override;
  State Save() const override;
  void Load(const State& state) override;

  // What is exported, in f32: the average when there is one, otherwise the weights.
  const Weights& Result() const { return options_.average > 0 ? average_ : weights_; }

 private:
  NextTokenOptions options_;
  Executor train_, measure_;
  Weights weights_, average_;
  Optimizer optimizer_;
  std::vector<Window> heldout_;
};

// The code length of the scored tokens of every window, as metric/score has it for the engine.
LmMetrics Measure(const Executor& executor, const Weights& weights, const std::vector<Window>& windows);

}  // namespace lowbit::lab
