#include "lab/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lowbit/base/error.h"

namespace lowbit::lab {

double Schedule::operator()(double progress) const {
  const double p = std::clamp(progress, 0.0, 1.0);
  if (p < warmup) return peak * p / warmup;
  const double start = std::max(hold, warmup);
  if (shape == Shape::kConstant || p <= start || start >= 1) return peak;
  const double fall = (p - start) / (1 - start);  // 0 .. 1
  const double share = shape == Shape::kLinear ? 1 - fall : 0.5 * (1 + std::cos(std::numbers::pi * fall));
  return peak * (floor + (1 - floor) * share);
}

Shape ShapeFromName(const std::string& name) {
  if (name == "constant") return Shape::kConstant;
  if (name == "cosine") return Shape::kCosine;
  if (name == "linear") return Shape::kLinear;
  FailUsage("schedule '{}' is unknown; known are constant, cosine, linear", name);
}

}  // namespace lowbit::lab
