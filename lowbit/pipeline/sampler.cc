#include "lowbit/pipeline/sampler.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void PenalizeRepetition(const SamplerOptions& o, std::span<float> logits, std::span<const int32_t> seen) {
  if (o.repetition_penalty == 1) return;
  const size_t window = std::min(seen.size(), static_cast<size_t>(std::max<int64_t>(0, o.repetition_window)));
  std::vector<int32_t> recent(seen.end() - static_cast<std::ptrdiff_t>(window), seen.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  const auto penalty = static_cast<float>(o.repetition_penalty);
  for (const int32_t token : recent) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
  }
}

}  // namespace

void CheckSamplerOptions(const SamplerOptions& o) {
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    FailUsage("--temperature {}: must be 0 (greedy) or more", o.temperature);
  if (o.top_k < 0) FailUsage("--top-k {}: must be 0 (all) or more", o.top_k);
  if (!(o.top_p > 0 && o.top_p <= 1)) FailUsage("--top-p {}: must lie in (0, 1]", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) FailUsage("--min-p {}: must lie in [0, 1]", o.min_p);
  if (!(o.repetition_penalty > 0) || !std::isfinite(o.repetition_penalty))
    FailUsage("--repeat-penalty {}: must be above 0", o.repetition_penalty);
}

std::vector<std::pair<int32_t, double>> FilteredDistribution(const SamplerOptions& o, std::span<float> logits,
                                                             std::span<const int32_t> seen) {
  PenalizeRepetition(o, logits, seen);
  std::vector<std::pair<int32_t, double>> kept(logits.size());
  float top = logits[0];
  for (const float x : logits) top = std::max(top, x);
  for (size_t i = 0; i < logits.size(); ++i) {
    kept[i] = {static_cast<int32_t>(i), std::exp((double{logits[i]} - top) / o.temperature)};
  }
  const auto likelier = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < kept.size()) {
    std::nth_element(kept.begin(), kept.begin() + o.top_k, kept.end(), likelier);
    kept.resize(static_cast<size_t>(o.top_k));
  }
  std::sort(kept.begin(), kept.end(), likelier);
  const auto normalize = [&] {
    double sum = 0;
    for (const auto& [token, p] : kept) sum += p;
    for (auto& [token, p] : kept) p /= sum;
  };
  normalize();
  if (o.top_p < 1) {
    double sum = 0;
    size_t n = 0;
    while (n < kept.size() && sum < o.top_p) sum += kept[n++].second;
    kept.resize(std::max<size_t>(1, n));
    normalize();
  }
  if (o.min_p > 0) {
    const double least = o.min_p * kept[0].second;
    while (kept.size() > 1 && kept.back().second < least) kept.pop_back();
    normalize();
  }
  return kept;
}

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  CheckSamplerOptions(options);
}

int32_t Sampler::Next(std::span<float> logits, std::span<const int32_t> seen) {
  if (logits.empty()) Fail("there are no logits to choose from");
  if (options_.temperature == 0) {
    PenalizeRepetition(options_, logits, seen);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  const auto kept = FilteredDistribution(options_, logits, seen);
  constexpr double kUnit = 0x1p48;
  uint64_t total = 0;
  for (const auto& [token, p] : kept) total += static_cast<uint64_t>(p * kUnit);
  uint64_t draw = random_.Below(std::max<uint64_t>(total, 1));
  for (const auto& [token, p] : kept) {
    const auto share = static_cast<uint64_t>(p * kUnit);
    if (draw < share) return token;
    draw -= share;
  }
  return kept[0].first;
}

}  // namespace lowbit
