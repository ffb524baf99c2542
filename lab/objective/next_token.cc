#include "lab/objective/next_token.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit::lab {
namespace {

Weights OnDevice(Weights weights, torch::Device device) {
  for (auto& [name, tensor] : weights) tensor = tensor.to(device).set_requires_grad(true);
  return weights;
}

// Muon is for matrices that map activations to activations; rows of an embedding are looked up, so its
// gradient is no such map.
std::vector<Parameter> Parameters(const Weights& weights, const NextTokenOptions& options) {
  std::vector<Parameter> parameters;
  for (const auto& [name, tensor] : weights) {
    const bool matrix = tensor.dim() == 2;
    const bool hidden = matrix && name.find(".layers.") != std::string::npos;
    parameters.push_back(
        {name, tensor, hidden ? options.rule : Rule::kAdamW, 1.0, matrix ? options.decay : 0.0});
  }
  return parameters;
}

// Cross-entropy in nats. logits (N, vocab), target (N).
torch::Tensor Loss(const torch::Tensor& logits, const torch::Tensor& target,
                   torch::nn::functional::CrossEntropyFuncOptions::reduction_t reduction) {
  return torch::nn::functional::cross_entropy(
      logits, target, torch::nn::functional::CrossEntropyFuncOptions().reduction(std::move(reduction)));
}

}  // namespace

NextToken::NextToken(const Graph& graph, Weights initial, NextTokenOptions options,
                     std::vector<Window> heldout)
    : options_(options),
      train_(graph, {options.precision, options.device}),
      measure_(graph, {Precision::kFloat32, options.device}),
      weights_(OnDevice(std::move(initial), options.device)),
      optimizer_(Parameters(weights_, options), options.optimizer),
      heldout_(std::move(heldout)) {
  if (options_.average > 0) {
    for (const auto& [name, tensor] : weights_) average_.emplace(name, tensor.detach().clone());
  }
}

StepReport NextToken::Step(const Batch& batch, Clock clock) {
  const torch::Tensor input = batch.input.to(options_.device), target = batch.target.to(options_.device);
  const int64_t rows = std::max<int64_t>(1, options_.micro_tokens / input.size(1));
  const auto total = static_cast<double>(input.numel());
  double loss = 0;
  for (int64_t row = 0; row < input.size(0); row += rows) {
    const int64_t count = std::min(rows, input.size(0) - row);
    const torch::Tensor logits = train_.Forward(weights_, input.narrow(0, row, count));
    const torch::Tensor part =
        Loss(logits.flatten(0, 1), target.narrow(0, row, count).flatten(), torch::kSum) / total;
    part.backward();
    loss += part.item<double>();
  }
  // The rate of step s is the schedule at (s + 1) / steps: the first step is not lost, the last is the
  // floor's.
  const double rate = options_.rate(static_cast<double>(clock.step + 1) / static_cast<double>(clock.steps));
  const double norm = optimizer_.Step(rate);
  if (options_.average > 0) {
    torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : average_) tensor.lerp_(weights_.at(name), 1 - options_.average);
  }
  return {{"loss", loss}, {"rate", rate}, {"gradient_norm", norm}};
}

StepReport NextToken::Evaluate() {
  if (heldout_.empty()) return {};
  Weights exported;
  for (const auto& [name, tensor] : Result()) {
    exported.emplace(name, tensor.detach().to(torch::kBFloat16).to(torch::kFloat32));
  }
  return {{"heldout_bits_per_byte", Measure(measure_, exported, heldout_).bits_per_byte()}};
}

State NextToken::Save() const {
  State state;
  for (const auto& [name, tensor] : weights_) state.emplace("weight." + name, tensor);
  for (const auto& [name, tensor] : average_) state.emplace("average." + name, tensor);
  for (const auto& [name, tensor] : optimizer_.State()) state.emplace("optimizer." + name, tensor);
  return state;
}

void NextToken::Load(const State& state) {
  torch::NoGradGuard no_grad;
  const auto read = [&](const std::string& prefix, Weights& into) {
    for (auto& [name, tensor] : into) {
      const auto found = state.find(prefix + name);
      if (found == state.end() || found->second.sizes() != tensor.sizes()) {
        Fail("checkpoint: {}{} is missing or has another shape; it belongs to another recipe", prefix, name);
      }
      tensor.copy_(found->second);
    }
  };
  read("weight.", weights_);
  read("average.", average_);
  std::map<std::string, torch::Tensor> optimizer;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with("optimizer.")) optimizer.emplace(name.substr(10), tensor);
  }
  optimizer_.SetState(optimizer);
}

LmMetrics Measure(const Executor& executor, const Weights& weights, const std::vector<Window>& windows) {
  torch::NoGradGuard no_grad;
  const torch::Device device = weights.begin()->second.device();
  LmMetrics metrics;
  for (const Window& window : windows) {
    const auto length = static_cast<int64_t>(window.tokens.size()) - 1;
    const torch::Tensor ids = torch::tensor(std::vector<int64_t>(window.tokens.begin(), window.tokens.end()));
    const torch::Tensor logits = executor.Forward(weights, ids.narrow(0, 0, length).unsqueeze(0).to(device));
    const torch::Tensor nats = Loss(logits[0], ids.narrow(0, 1, length).to(device), torch::kNone).cpu();
    for (int64_t i = window.first_scored - 1; i < length; ++i) {
      metrics.Add(TokenScore{.nats = nats.data_ptr<float>()[i]});
    }
    metrics.AddBytes(window.bytes);
  }
  return metrics;
}

}  // namespace lowbit::lab
