// From logits to the next token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "lowbit/base/random.h"

namespace lowbit {

// Filters are applied in this order; each at its neutral value does nothing.
struct SamplerOptions {
  double temperature = 0;  // 0: greedy, the most likely token (lowest id on a tie)
  int64_t top_k = 0;       // keep the k most likely (0: all)
  double top_p = 1;        // keep the fewest tokens whose probabilities sum to at least p
  double min_p = 0;        // keep tokens with at least this share of the highest probability
  double repetition_penalty =
      1;  // logits of tokens already seen: divided (positive) or multiplied (negative)
  int64_t repetition_window = 64;  // how many of the last tokens count as seen
  uint64_t seed = 0;
};

// Throws UsageError naming the option that is out of range.
void CheckSamplerOptions(const SamplerOptions& options);

// The filtered distribution: (token, probability), most likely first, probabilities sum to 1. Temperature
// must be above 0. `logits` are changed by the repetition penalty.
std::vector<std::pair<int32_t, double>> FilteredDistribution(const SamplerOptions& options,
                                                             std::span<float> logits,
                                                             std::span<const int32_t> seen);

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  // `seen`: all tokens of the sequence so far. Draws are integer: probabilities are rounded to multiples of
  // 2^-48.
  int32_t Next(std::span<float> logits, std::span<const int32_t> seen);

 private:
  SamplerOptions options_;
  Random random_;
};

}  // namespace lowbit
