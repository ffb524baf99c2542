// How a number (learning rate, temperature, noise) changes over a training run: a function of progress in [0,
// 1].
#pragma once

#include <string>

namespace lowbit::lab {

enum class Shape { kConstant, kCosine, kLinear };

// Rises linearly from 0 to `peak` over the first `warmup` of the run, stays there until `hold`, then falls
// along `shape` to `floor * peak` at the end.
struct Schedule {
  double peak = 1;
  double warmup = 0;  // share of the run
  double hold = 0;    // share of the run at which the fall begins; at least warmup
  double floor = 0;   // share of the peak
  Shape shape = Shape::kCosine;

  // `progress` is clamped to [0, 1].
  double operator()(double progress) const;
};

// "constant" | "cosine" | "linear"; throws UsageError naming the others otherwise.
Shape ShapeFromName(const std::string& name);

}  // namespace lowbit::lab
