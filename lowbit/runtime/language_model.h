// A language model loaded to run: tokens in, hidden states and logits out.
#pragma once

#include <memory>
#include <span>

#include "lowbit/model/model.h"
#include "lowbit/runtime/executor.h"

namespace lowbit {

class LanguageModel {
 public:
  LanguageModel(const Model& model, ThreadPool& pool, Arithmetic arithmetic = Arithmetic::kInt8);

  const Model& model() const { return model_; }
  int64_t vocab() const { return model_.config.vocab; }
  int64_t width() const { return model_.config.width; }
  Executor& executor() { return executor_; }

  KvCache MakeCache(int64_t capacity, const CacheFormat& format = {}) const {
    return KvCache(*model_.graph, capacity, format);
  }
  KvCache MakeCache(int64_t capacity, CacheType type) const {
    return KvCache(*model_.graph, capacity, type);
  }

  // Runs the tokens of all segments and returns the hidden states before the head, (rows, width), valid until
  // the next call. Lengths of the caches are not advanced.
  const float* Forward(std::span<const Segment> segments, std::span<const int32_t> tokens);

  // logits (rows, vocab) of `rows` hidden states. `hidden` may be the pointer that Forward returned.
  void Logits(const float* hidden, int64_t rows, float* logits);

  // Throws Error when a logit is NaN or infinite, naming the weight that is to blame where there is one.
  void CheckLogits(std::span<const float> logits) const;

  // Feeds `tokens` to the cache in pieces of at most `piece` rows (the memory of activations is bounded by
  // it), advances its length, and writes the logits of the last token.
  void Feed(KvCache& cache, std::span<const int32_t> tokens, float* logits, int64_t piece = 512);

 private:
  Model model_;
  Executor executor_;
};

}  // namespace lowbit
