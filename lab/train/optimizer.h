// The optimisers of the training loop, over named parameters whose gradients autograd has filled.
//
// AdamW (Loshchilov and Hutter 2019), decoupled decay:
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w = w - rate (mhat / (sqrt(vhat) + eps) + decay w)
// Muon (Jordan 2024), for matrices: the Nesterov momentum u of g is replaced by the nearest semi-orthogonal
// matrix U V^T, found by five Newton-Schulz steps X <- a X + (b A + c A^2) X, A = X X^T:
//   w = w - rate (0.2 sqrt(max(out, in)) UV^T + decay w)
// The factor gives every entry an update of about 0.2 rms, that of AdamW, so one rate serves both.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lab/torch.h"

namespace lowbit::lab {

enum class Rule { kAdamW, kMuon };

struct Parameter {
  std::string name;
  torch::Tensor tensor;  // a leaf; changed in place
  Rule rule = Rule::kAdamW;
  double rate = 1;   // times the rate given to Step
  double decay = 0;  // decoupled weight decay
};

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;  // AdamW
  double momentum = 0.95;                        // Muon
  double clip = 1;                               // largest norm of all gradients together; 0: no limit
};

class Optimizer {
 public:
  Optimizer(std::vector<Parameter> parameters, OptimizerOptions options);

  // One update from the gradients, which are cleared. Returns the norm of all gradients before clipping. A
  // step whose gradients hold Inf or NaN throws Error naming the parameter.
  double Step(double rate);

  // Moments by "<parameter>.m" and "<parameter>.v", and the number of steps as "steps" (int64).
  std::map<std::string, torch::Tensor> State() const;
  // Throws Error naming the entry that is missing or has another shape.
  void SetState(const std::map<std::string, torch::Tensor>& state);

 private:
  std::vector<Parameter> parameters_;
  OptimizerOptions options_;
  std::vector<torch::Tensor> m_, v_;  // v_ is empty for Muon
  int64_t steps_ = 0;
};

// U V^T of the singular value decomposition of `matrix`, to the accuracy that training needs (singular values
// within about [0.7, 1.2]).
torch::Tensor Orthogonalized(const torch::Tensor& matrix);

}  // namespace lowbit::lab
