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

// The oldest positions of a cache in a packed form. Keys and values may lie in spaces of their own, an
// orthogonal transform away from the network's: the query goes there once, the output comes back once, keys
// and values never.
class PackedPositions {
 public:
  virtual ~PackedPositions() = default;
  // Positions [0, count()) are packed; a multiple of 2 kKeyLanes.
  virtual int64_t count() const = 0;
  // Positions t in [first, first + n), multiples of 2 kKeyLanes inside one chunk, of one head; at most 64
  // queries and rows of s or p that are kAttentionChunk apart:
  //   s[i, t - first] = scale <q_i, k_t>,   y[i, c] += sum_t p[i, t - first] v[t, c]
  // A query's results do not depend on the others, nor on positions before the first with p > 0.
  virtual void Scores(int64_t kv_head, int64_t first, int64_t n, const float* const* q, int queries,
                      float scale, float* s) const = 0;
  virtual void Accumulate(int64_t kv_head, int64_t first, int64_t n, const float* p, int queries,
                          float* y) const = 0;
  // head_size entries: a query in the keys' space; an output from the values' space, in place.
  virtual void TransformQuery(const float* q, float* out) const = 0;
  virtual void RestoreOutput(float* y) const = 0;
};

// Keys and values of one sequence and one attention node; both for `kv_heads` heads.
//   keys    [kv_head][position / 16][head_size][16]   so that 16 positions fill a vector
//   values  [kv_head][position][head_size]
// `capacity` is a multiple of kAttentionChunk. Position 0 of the storage is position packed->count() of the
// sequence where there is a packed part.
struct CacheView {
  CacheType type = CacheType::kF16;
  void* keys = nullptr;
  void* values = nullptr;
  int64_t capacity = 0;
  const PackedPositions* packed = nullptr;
};

struct AttentionShape {
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  float scale = 1;
  int64_t window = 0;  // 0: all earlier positions
};

// y (rows, heads * head_size) for queries at positions [position, position + rows) of the sequence, whose
// keys are in the cache's storage (not its packed part). head_size must be a multiple of 8 and at most 512. A
// packed chunk is given once to the queries of up to 16 rows and all heads that share it.
void Attend(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* q, float* y,
            int64_t rows, ThreadPool& pool);

// The two products of attention over decoded positions [0, n), n a multiple of 16 up to kAttentionChunk, in
// f32 laid out as in CacheView, as Scores and Accumulate of PackedPositions.
void KeyScores(const float* keys, int64_t head_size, int64_t n, const float* const* q, int queries,
               float scale, float* s);
void ValueSums(const float* values, int64_t head_size, int64_t n, const float* p, int queries, float* y);

}  // namespace lowbit
