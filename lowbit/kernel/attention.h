// Causal attention over a key/value cache, in f32 arithmetic over f16 or f32 storage.
//
//   s_t = scale * <q, k_t>,  p = softmax(s),  y = sum_t p_t v_t      over the positions t that query i may
//   see
//
// The reduction over positions is cut into chunks of kAttentionChunk aligned to absolute positions; each
// chunk gives (maximum, sum, partial y), combined in order. Within a chunk the order of operations does not
// depend on how many queries are computed together, so a token's result is the same bits in prefill, in
// decode and on any thread count.
#pragma once

#include <cstdint>

#include "lowbit/base/thread_pool.h"

namespace lowbit {

inline constexpr int kAttentionChunk = 256;
inline constexpr int kKeyLanes = 16;  // positions that stand side by side in the key storage

enum class CacheType : uint8_t { kF16, kF32 };

// Keys and values of one sequence and one attention node; both for `kv_heads` heads.
//   keys    [kv_head][position / 16][head_size][16]   so that 16 positions fill a vector
//   values  [kv_head][position][head_size]
// `capacity` is a multiple of kAttentionChunk.
struct CacheView {
  CacheType type = CacheType::kF16;
  void* keys = nullptr;
  void* values = nullptr;
  int64_t capacity = 0;
};

struct AttentionShape {
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  float scale = 1;
  int64_t window = 0;  // 0: all earlier positions
};

// Stores `rows` keys and values (rows, kv_heads * head_size) at positions [position, position + rows).
void AppendToCache(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* k,
                   const float* v, int64_t rows);

// y (rows, heads * head_size) for queries at positions [position, position + rows), whose keys are in the
// cache. head_size must be a multiple of 8 and at most 512.
void Attend(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* q, float* y,
            int64_t rows, ThreadPool& pool);

}  // namespace lowbit
