// How positions go into the plain storage of a cache (CacheView) and come back.
#pragma once

#include <cstdint>

#include "lowbit/kernel/attention.h"

namespace lowbit {

// Stores `rows` keys and values (rows, kv_heads * head_size) at positions [position, position + rows) of the
// storage. Throws Error beyond its capacity.
void AppendToCache(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* k,
                   const float* v, int64_t rows);

// k and v (count, head_size) of one head at positions [position, position + count) of the storage.
void ReadFromCache(const AttentionShape& shape, const CacheView& cache, int64_t kv_head, int64_t position,
                   int64_t count, float* k, float* v);

}  // namespace lowbit
