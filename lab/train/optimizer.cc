#include "lab/train/optimizer.h"

#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit::lab {

torch::Tensor Orthogonalized(const torch::Tensor& matrix) {
  // Coefficients of the quintic that pushes every singular value of (0, 1] near 1 in five steps (Jordan
  // 2024).
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  const bool tall = matrix.size(0) > matrix.size(1);
  torch::Tensor x = tall ? matrix.t() : matrix;
  x = x / (x.norm() + 1e-7);
  for (int step = 0; step < 5; ++step) {
    const torch::Tensor a = torch::mm(x, x.t());
    const torch::Tensor b = torch::addmm(a, a, a, kB, kC);
    x = torch::addmm(x, b, x, kA, 1);
  }
  return tall ? x.t() : x;
}

Optimizer::Optimizer(std::vector<Parameter> parameters, OptimizerOptions options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const Parameter& parameter : parameters_) {
    if (parameter.rule == Rule::kMuon && parameter.tensor.dim() != 2) {
      Fail("optimizer: Muon updates matrices, and {} has {} axes", parameter.name, parameter.tensor.dim());
    }
    m_.push_back(torch::zeros_like(parameter.tensor));
    v_.push_back(parameter.rule == Rule::kAdamW ? torch::zeros_like(parameter.tensor) : torch::Tensor());
  }
}

double Optimizer::Step(double rate) {
  torch::NoGradGuard no_grad;
  double sum = 0;
  for (const Parameter& parameter : parameters_) {
    const torch::Tensor& gradient = parameter.tensor.grad();
    if (!gradient.defined()) continue;
    const double norm = gradient.norm().item<double>();
    if (!std::isfinite(norm))
      Fail("training diverged: the gradient of {} is not finite; lower the rate", parameter.name);
    sum += norm * norm;
  }
  const double norm = std::sqrt(sum);
  const double scale = options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1;
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, steps_),
               correction2 = 1 - std::pow(options_.beta2, steps_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    if (!parameter.tensor.grad().defined()) continue;
    const torch::Tensor gradient = scale == 1 ? parameter.tensor.grad() : parameter.tensor.grad() * scale;
    const double step = rate * parameter.rate;
    if (parameter.decay != 0) parameter.tensor.mul_(1 - step * parameter.decay);
    if (parameter.rule == Rule::kMuon) {
      m_[i].mul_(options_.momentum).add_(gradient);
      const torch::Tensor update = Orthogonalized(gradient.add(m_[i], options_.momentum));
      const auto longest = static_cast<double>(std::max(update.size(0), update.size(1)));
      parameter.tensor.add_(update, -step * 0.2 * std::sqrt(longest));
    } else {
      m_[i].mul_(options_.beta1).add_(gradient, 1 - options_.beta1);
      v_[i].mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
      const torch::Tensor root = (v_[i] / correction2).sqrt_().add_(options_.eps);
      parameter.tensor.addcdiv_(m_[i], root, -step / correction1);
    }
    parameter.tensor.mutable_grad() = torch::Tensor();
  }
  return norm;
}

std::map<std::string, torch::Tensor> Optimizer::State() const {
  std::map<std::string, torch::Tensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state.emplace(parameters_[i].name + ".m", m_[i]);
    if (v_[i].defined()) state.emplace(parameters_[i].name + ".v", v_[i]);
  }
  state.emplace("steps", torch::tensor(steps_, torch::kInt64));
  return state;
}

void Optimizer::SetState(const std::map<std::string, torch::Tensor>& state) {
  const auto read = [&](const std::string& name, torch::Tensor& into) {
    const auto found = state.find(name);
    if (found == state.end()) Fail("checkpoint: optimizer state {} is missing", name);
    if (found->second.sizes() != into.sizes()) Fail("checkpoint: optimizer state {} has another shape", name);
    into.copy_(found->second);
  };
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    read(parameters_[i].name + ".m", m_[i]);
    if (v_[i].defined()) read(parameters_[i].name + ".v", v_[i]);
  }
  torch::Tensor steps = torch::zeros({}, torch::kInt64);
  read("steps", steps);
  steps_ = steps.item<int64_t>();
}

}  // namespace lowbit::lab
