// Scores of a language model over a text.
//
//   nats per token  -mean log p(target)          perplexity = exp(nats per token)
//   bits per byte   nats / ln 2 / bytes of text
//   KL(reference || model) = sum_v p_ref(v) (log p_ref(v) - log p(v)), per token; mean, standard error, 99th
//   percentile agreement       share of tokens where both distributions have the same most likely token
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

// One scored token.
struct TokenScore {
  double nats = 0;
  double kl = 0;  // only with a reference
  double reference_nats = 0;
  bool agrees = false;
  bool has_reference = false;
};

// Log-softmax in f64. `logits` and `reference` have one entry a vocabulary item. Throws Error when a logit is
// NaN.
TokenScore ScoreToken(std::span<const float> logits, int32_t target, std::span<const float> reference = {});

// Sums in the order of the calls.
class LmMetrics {
 public:
  void Add(const TokenScore& score);
  void AddBytes(int64_t bytes) { bytes_ += bytes; }

  int64_t tokens() const { return tokens_; }
  int64_t bytes() const { return bytes_; }
  double nats_per_token() const;
  double perplexity() const;
  double bits_per_byte() const;

  bool has_reference() const { return !kl_.empty(); }
  double reference_perplexity() const;
  double kl_mean() const;
  double kl_standard_error() const;
  double kl_percentile(double share) const;  // share in [0, 1]; nearest rank
  double agreement() const;                  // in [0, 1]
  const std::vector<float>& kl_values() const { return kl_; }

 private:
  int64_t tokens_ = 0, bytes_ = 0, agreed_ = 0;
  double nats_ = 0, reference_nats_ = 0, kl_sum_ = 0, kl_squares_ = 0;
  std::vector<float> kl_;
};

}  // namespace lowbit
