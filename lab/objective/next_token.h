// The language-model objective: cross-entropy of the next token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/autograd/executor.h"
#include "lab/train/loop.h"
#include "lab/train/optimizer.h"
#include "lab/train/schedule.h"

namespace lowbit::lab {

// Held-out text, tokenized without a start token.
struct HeldOutText {
  std::vector<int32_t> tokens;
  int64_t bytes = 0;
};

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
  int64_t context = 512;  // of the evaluation
  int64_t start_token = 1;
};

class NextToken : public Objective {
 public:
  NextToken(const Graph& graph, Weights initial, NextTokenOptions options,
            std::vector<HeldOutText> heldout = {});

  // Reports "loss" (nats per token) and "rate".
  StepReport Step(const Batch& batch, Clock clock) override;
  // Reports "heldout_bits_per_byte".
  StepReport Evaluate() override;
  State Save() const override;
  void Load(const State& state) override;

  // What is exported: the average when there is one, otherwise the weights.
  const Weights& Result() const { return options_.average > 0 ? average_ : weights_; }

 private:
  NextTokenOptions options_;
  Executor train_, measure_;
  Weights weights_, average_;
  Optimizer optimizer_;
  std::vector<HeldOutText> heldout_;
};

// Total code length of the texts in nats and in tokens: non-overlapping windows of `context` positions, each
// with the start token before it, so that every token is scored once. bits/byte = nats / (ln 2 * bytes).
struct CodeLength {
  double nats = 0;
  int64_t tokens = 0, bytes = 0;
  double BitsPerByte() const;
};
CodeLength Measure(const Executor& executor, const Weights& weights, const std::vector<HeldOutText>& texts,
                   int64_t context, int64_t start_token);

}  // namespace lowbit::lab
