#include "lowbit/runtime/language_model.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
#include "lowbit/base/progress.h"

namespace lowbit {

LanguageModel::LanguageModel(const Model& model, ThreadPool& pool, Arithmetic arithmetic)
    : model_(model), executor_(*model_.graph, pool, arithmetic) {
  executor_.LoadAll(*model_.weights);
}

const float* LanguageModel::Forward(std::span<const Segment> segments, std::span<const int32_t> tokens) {
  const int head = static_cast<int>(model_.graph->nodes.size()) - 1;
  executor_.Run(0, head, segments, tokens);
  return executor_.ValueData(model_.graph->nodes[head].in[0]);
}

void LanguageModel::Logits(const float* hidden, int64_t rows, float* logits) {
  executor_.Multiply(static_cast<int>(model_.graph->nodes.size()) - 1, hidden, rows, logits);
}

void LanguageModel::CheckLogits(std::span<const float> logits) const {
  if (AllFinite(logits)) return;
  CheckFinite(*model_.weights, *model_.graph);
  Fail("{}: the logits are not finite though every weight is: the activations overflow",
       model_.path.string());
}

void LanguageModel::Feed(KvCache& cache, std::span<const int32_t> tokens, float* logits, int64_t piece) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (count == 0) Fail("there are no tokens to run");
  if (cache.length() + count > cache.capacity()) {
    Fail("{} tokens do not fit the context of {} ({} are in use)", count, cache.capacity(), cache.length());
  }
  const int64_t total = cache.length() + count;
  for (int64_t at = 0; at < count; at += piece) {
    CheckInterrupt();
    const int64_t rows = std::min(piece, count - at);
    const Segment segment{&cache, cache.length(), rows, total};
    const float* hidden =
        Forward({&segment, 1}, tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)));
    cache.SetLength(cache.length() + rows);
    if (at + rows == count) Logits(hidden + (rows - 1) * width(), 1, logits);
  }
}

}  // namespace lowbit
