// The keys and values that a model makes of a text: real data for codes of key/value caches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/thread_pool.h"
#include "lowbit/model/model.h"

namespace lowbit {

// Of every layer, position and key/value head, in that order: (n, head_size) each. Keys are turned by the
// rotary embedding, as caches keep them.
struct CacheSample {
  int64_t head_size = 0;
  std::vector<float> keys, values;
};

// Runs `tokens` through the model in f32. Throws Error for no tokens, more than the model's context, and when
// layers differ in head size.
CacheSample SampleCache(const Model& model, std::span<const int32_t> tokens, ThreadPool& pool);

}  // namespace lowbit
