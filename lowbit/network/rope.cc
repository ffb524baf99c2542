#include "lowbit/network/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void ApplyYarn(const RopeConfig& c, int64_t dim, int64_t original, Rope& rope) {
  const auto correction = [&](double rotations) {
    return static_cast<double>(dim) *
           std::log(static_cast<double>(original) / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(c.theta));
  };
  double low = correction(c.beta_fast), high = correction(c.beta_slow);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rope.inverse_frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    rope.inverse_frequency[i] *= ramp / c.factor + (1 - ramp);
  }
  const auto scale = [&](double m) { return c.factor <= 1 ? 1.0 : 0.1 * m * std::log(c.factor) + 1; };
  rope.attention_factor =
      c.mscale != 0 && c.mscale_all_dim != 0 ? scale(c.mscale) / scale(c.mscale_all_dim) : scale(1);
}

void ApplyLlama3(const RopeConfig& c, int64_t original, Rope& rope) {
  const double low_wavelength = static_cast<double>(original) / c.low_freq_factor;
  const double high_wavelength = static_cast<double>(original) / c.high_freq_factor;
  for (double& f : rope.inverse_frequency) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > low_wavelength) {
      f /= c.factor;
    } else if (wavelength >= high_wavelength) {
      const double smooth = (static_cast<double>(original) / wavelength - c.low_freq_factor) /
                            (c.high_freq_factor - c.low_freq_factor);
      f = (1 - smooth) * f / c.factor + smooth * f;
    }
  }
}

void ApplyLongRope(const RopeConfig& c, int64_t context, int64_t original, Rope& rope) {
  const size_t n = rope.inverse_frequency.size();
  if (c.short_factor.size() != n || c.long_factor.size() != n) {
    Fail("rope: longrope needs short_factor and long_factor of {} entries, found {} and {}", n,
         c.short_factor.size(), c.long_factor.size());
  }
  rope.long_inverse_frequency = rope.inverse_frequency;
  for (size_t i = 0; i < n; ++i) {
    rope.inverse_frequency[i] /= c.short_factor[i];
    rope.long_inverse_frequency[i] /= c.long_factor[i];
  }
  rope.original_context = original;
  const double factor =
      c.original_context > 0 ? static_cast<double>(context) / static_cast<double>(original) : c.factor;
  rope.attention_factor =
      factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

}  // namespace

Rope MakeRope(const RopeConfig& c, int64_t head_size, int64_t context) {
  const auto dim = static_cast<int64_t>(static_cast<double>(head_size) * c.partial) / 2 * 2;
  if (dim < 2 || !(c.theta > 1) || !(c.factor > 0)) {
    Fail("rope: theta {} (must be > 1), factor {} (must be > 0) or rotary width {} (must be >= 2) is wrong",
         c.theta, c.factor, dim);
  }
  const int64_t original = c.original_context > 0 ? c.original_context : context;
  Rope rope;
  for (int64_t i = 0; i < dim / 2; ++i) {
    rope.inverse_frequency.push_back(
        std::pow(c.theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
  }
  if (c.type == "linear") {
    for (double& f : rope.inverse_frequency) f /= c.factor;
  } else if (c.type == "dynamic") {
    rope.original_context = original;
    rope.dynamic_base = c.theta;
    rope.dynamic_factor = c.factor;
  } else if (c.type == "yarn") {
    ApplyYarn(c, dim, original, rope);
  } else if (c.type == "llama3") {
    ApplyLlama3(c, original, rope);
  } else if (c.type == "longrope" || c.type == "su") {
    ApplyLongRope(c, context, original, rope);
  } else if (c.type != "default") {
    Fail("rope: type \"{}\" is not known; known: default, linear, dynamic, yarn, llama3, longrope", c.type);
  }
  if (!c.divisors.empty()) {
    if (c.divisors.size() != rope.inverse_frequency.size()) {
      Fail("rope: {} frequency divisors for {} frequencies", c.divisors.size(),
           rope.inverse_frequency.size());
    }
    for (size_t i = 0; i < c.divisors.size(); ++i) rope.inverse_frequency[i] /= c.divisors[i];
  }
  if (c.attention_factor > 0) rope.attention_factor = c.attention_factor;
  return rope;
}

std::vector<double> InverseFrequencies(const Rope& rope, int64_t length) {
  if (rope.original_context == 0 || length <= rope.original_context) return rope.inverse_frequency;
  if (!rope.long_inverse_frequency.empty()) return rope.long_inverse_frequency;
  if (rope.dynamic_base == 0) return rope.inverse_frequency;
  const auto d = static_cast<double>(2 * rope.inverse_frequency.size());
  const double stretch =
      rope.dynamic_factor * static_cast<double>(length) / static_cast<double>(rope.original_context) -
      (rope.dynamic_factor - 1);
  const double base = rope.dynamic_base * std::pow(stretch, d / (d - 2));
  std::vector<double> result = rope.inverse_frequency;
  for (size_t i = 0; i < result.size(); ++i) result[i] = std::pow(base, -2.0 * static_cast<double>(i) / d);
  return result;
}

}  // namespace lowbit
