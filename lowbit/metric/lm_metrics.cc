#include "lowbit/metric/lm_metrics.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

struct Normalizer {
  double maximum = 0, log_sum = 0;
  size_t argmax = 0;

  explicit Normalizer(std::span<const float> logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
      if (std::isnan(logits[i])) Fail("the logit of token {} is NaN", i);
      if (logits[i] > logits[argmax]) argmax = i;
    }
    maximum = logits[argmax];
    double sum = 0;
    for (const float x : logits) sum += std::exp(double{x} - maximum);
    log_sum = std::log(sum);
  }
  double LogP(float logit) const { return double{logit} - maximum - log_sum; }
};

}  // namespace

TokenScore ScoreToken(std::span<const float> logits, int32_t target, std::span<const float> reference) {
  if (target < 0 || static_cast<size_t>(target) >= logits.size()) {
    Fail("token {} is outside the vocabulary of {} entries", target, logits.size());
  }
  const Normalizer model(logits);
  TokenScore score{.nats = -model.LogP(logits[target])};
  if (reference.empty()) return score;
  if (reference.size() != logits.size())
    Fail("logits of {} and {} entries cannot be compared", logits.size(), reference.size());
  const Normalizer truth(reference);
  score.has_reference = true;
  score.reference_nats = -truth.LogP(reference[target]);
  score.agrees = truth.argmax == model.argmax;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_p = truth.LogP(reference[i]);
    score.kl += std::exp(log_p) * (log_p - model.LogP(logits[i]));
  }
  score.kl = std::max(score.kl, 0.0);  // rounding may leave -1e-16
  return score;
}

void LmMetrics::Add(const TokenScore& score) {
  ++tokens_;
  nats_ += score.nats;
  if (!score.has_reference) return;
  reference_nats_ += score.reference_nats;
  agreed_ += score.agrees ? 1 : 0;
  kl_sum_ += score.kl;
  kl_squares_ += score.kl * score.kl;
  kl_.push_back(static_cast<float>(score.kl));
}

double LmMetrics::nats_per_token() const {
  return nats_ / static_cast<double>(tokens_);
}
double LmMetrics::perplexity() const {
  return std::exp(nats_per_token());
}
double LmMetrics::bits_per_byte() const {
  return nats_ / std::log(2.0) / static_cast<double>(bytes_);
}
double LmMetrics::reference_perplexity() const {
  return std::exp(reference_nats_ / static_cast<double>(tokens_));
}
double LmMetrics::kl_mean() const {
  return kl_sum_ / static_cast<double>(kl_.size());
}

double LmMetrics::kl_standard_error() const {
  const auto n = static_cast<double>(kl_.size());
  const double variance = std::max(0.0, kl_squares_ / n - kl_mean() * kl_mean());
  return std::sqrt(variance / n);
}

double LmMetrics::kl_percentile(double share) const {
  if (kl_.empty()) return 0;
  std::vector<float> sorted = kl_;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  const size_t index = std::min(sorted.size() - 1, rank > 0 ? rank - 1 : 0);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(index), sorted.end());
  return sorted[index];
}

double LmMetrics::agreement() const {
  return static_cast<double>(agreed_) / static_cast<double>(kl_.size());
}

}  // namespace lowbit
