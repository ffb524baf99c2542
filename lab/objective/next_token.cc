#include "lab/objective/next_token.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

torch::Tensor Loss(const torch::Tensor& logits, const torch::Tensor& target) {
  return torch::nn::functional::cross_entropy(
      logits.flatten(0, 1), target.flatten(),
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
}

}  // namespace

NextToken::NextToken(const Graph& graph, Weights initial, NextTokenOptions options,
                     std::vector<HeldOutText> heldout)
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
    const torch::Tensor part =
        Loss(train_.Forward(weights_, input.narrow(0, row, count)), target.narrow(0, row, count)) / total;
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
  const CodeLength length = Measure(measure_, Result(), heldout_, options_.context, options_.start_token);
  return {{"heldout_bits_per_byte", length.BitsPerByte()}};
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

double CodeLength::BitsPerByte() const {
  return nats / (std::numbers::ln2 * static_cast<double>(bytes));
}

CodeLength Measure(const Executor& executor, const Weights& weights, const std::vector<HeldOutText>& texts,
                   int64_t context, int64_t start_token) {
  torch::NoGradGuard no_grad;
  const torch::Device device = weights.begin()->second.device();
  CodeLength result;
  for (const HeldOutText& text : texts) {
    const auto count = static_cast<int64_t>(text.tokens.size());
    for (int64_t begin = 0; begin < count; begin += context) {
      const int64_t length = std::min(context, count - begin);
      torch::Tensor input = torch::empty({1, length}, torch::kInt64),
                    target = torch::empty({1, length}, torch::kInt64);
      for (int64_t i = 0; i < length; ++i) {
        target.data_ptr<int64_t>()[i] = text.tokens[static_cast<size_t>(begin + i)];
        input.data_ptr<int64_t>()[i] = i == 0 ? start_token : text.tokens[static_cast<size_t>(begin + i - 1)];
      }
      result.nats += Loss(executor.Forward(weights, input.to(device)), target.to(device)).item<double>();
    }
    result.tokens += count;
    result.bytes += text.bytes;
  }
  return result;
}

}  // namespace lowbit::lab
