#include "lowbit/kernel/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/attention.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A vector of at most 16 lanes: storage is laid out in runs of 16 positions.
using D = hn::CappedTag<float, kKeyLanes>;

HWY_INLINE hn::Vec<D> LoadFloats(D d, const float* p) {
  return hn::LoadU(d, p);
}
HWY_INLINE hn::Vec<D> LoadFloats(D d, const hwy::float16_t* p) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(d, hn::LoadU(half, p));
}

// s[query][t] = scale * <q, k_t> for `count` queries of one head and the chunk's positions [0, length).
template <int kQueries, typename T>
HWY_INLINE void Scores(const float* const* q, const T* keys, int64_t head_size, int64_t length, float scale,
                       float* s) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  for (int64_t t = 0; t < length; t += kKeyLanes) {
    for (size_t lane = 0; lane < kKeyLanes; lane += lanes) {
      hn::Vec<D> sum[kQueries];
      for (int i = 0; i < kQueries; ++i) sum[i] = hn::Zero(d);
      const T* k = keys + t * head_size + static_cast<int64_t>(lane);
      for (int64_t c = 0; c < head_size; ++c) {
        const auto kv = LoadFloats(d, k + c * kKeyLanes);
        for (int i = 0; i < kQueries; ++i) sum[i] = hn::MulAdd(hn::Set(d, q[i][c]), kv, sum[i]);
      }
      for (int i = 0; i < kQueries; ++i) {
        hn::StoreU(hn::Mul(sum[i], hn::Set(d, scale)), d,
                   s + i * kAttentionChunk + t + static_cast<int64_t>(lane));
      }
    }
  }
}

// acc[query][c] += sum_t p[query][t] v_t[c] over [begin, end), t in order.
template <int kQueries, typename T>
HWY_INLINE void Accumulate(const float* p, const T* values, int64_t head_size, int64_t begin, int64_t end,
                           float* acc) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + 2 * lanes <= head_size; c += 2 * lanes) {
    hn::Vec<D> a[kQueries], b[kQueries];
    for (int i = 0; i < kQueries; ++i) {
      a[i] = hn::LoadU(d, acc + i * head_size + c);
      b[i] = hn::LoadU(d, acc + i * head_size + c + lanes);
    }
    for (int64_t t = begin; t < end; ++t) {
      const auto v0 = LoadFloats(d, values + t * head_size + c),
                 v1 = LoadFloats(d, values + t * head_size + c + lanes);
      for (int i = 0; i < kQueries; ++i) {
        const auto w = hn::Set(d, p[i * kAttentionChunk + t]);
        a[i] = hn::MulAdd(w, v0, a[i]);
        b[i] = hn::MulAdd(w, v1, b[i]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      hn::StoreU(a[i], d, acc + i * head_size + c);
      hn::StoreU(b[i], d, acc + i * head_size + c + lanes);
    }
  }
  // What is left of a head narrower than two vectors: half vectors, same order over t.
  using D8 = hn::CappedTag<float, 8>;
  const D8 d8;
  const auto lanes8 = static_cast<int64_t>(hn::Lanes(d8));
  for (; c < head_size; c += lanes8) {
    for (int i = 0; i < kQueries; ++i) {
      auto a = hn::LoadU(d8, acc + i * head_size + c);
      for (int64_t t = begin; t < end; ++t) {
        const T* v = values + t * head_size + c;
        const auto w = hn::Set(d8, p[i * kAttentionChunk + t]);
        if constexpr (sizeof(T) == 2) {
          const hn::Rebind<hwy::float16_t, D8> half;
          a = hn::MulAdd(w, hn::PromoteTo(d8, hn::LoadU(half, v)), a);
        } else {
          a = hn::MulAdd(w, hn::LoadU(d8, v), a);
        }
      }
      hn::StoreU(a, d8, acc + i * head_size + c);
    }
  }
}

// In place: s -> exp(s - max) over [begin, end), zero elsewhere in [0, length); returns the maximum and the
// sum, added lane by lane in an order that depends on absolute positions alone.
HWY_INLINE void Softmax(float* s, int64_t length, int64_t begin, int64_t end, float* maximum, float* sum) {
  float m = -std::numeric_limits<float>::infinity();
  for (int64_t t = begin; t < end; ++t) m = std::max(m, s[t]);
  for (int64_t t = 0; t < begin; ++t) s[t] = -std::numeric_limits<float>::infinity();
  for (int64_t t = end; t < length; ++t) s[t] = -std::numeric_limits<float>::infinity();
  const hn::CappedTag<float, 8> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto low = hn::Set(d, -87.0f);
  float lane_sum[8] = {};
  for (int64_t t = 0; t < length; t += lanes) {
    const auto x = hn::Sub(hn::LoadU(d, s + t), hn::Set(d, m));
    const auto e = hn::IfThenElseZero(hn::Ge(x, low), hn::Exp(d, hn::Max(x, low)));
    hn::StoreU(e, d, s + t);
  }
  for (int64_t t = 0; t < length; t += 8) {
    for (int i = 0; i < 8; ++i) lane_sum[i] += s[t + i];
  }
  *maximum = m;
  *sum = ((lane_sum[0] + lane_sum[4]) + (lane_sum[2] + lane_sum[6])) +
         ((lane_sum[1] + lane_sum[5]) + (lane_sum[3] + lane_sum[7]));
}

// One key/value head, `count` queries (each a row and a head), the positions of one chunk.
struct Query {
  const float* q;
  int64_t position;
};

// partial[i] = {max, sum, y[head_size]} of query i over chunk `chunk`.
template <int kQueries, typename T>
HWY_INLINE void ChunkOf(const AttentionShape& shape, const T* keys, const T* values, int64_t chunk,
                        int64_t limit, const Query* queries, float* scratch, float* maximum, float* sum,
                        float* y) {
  const int64_t first = chunk * kAttentionChunk;
  const float* q[kQueries];
  int64_t begin[kQueries], end[kQueries], longest = 0, low = kAttentionChunk, high = 0;
  for (int i = 0; i < kQueries; ++i) {
    q[i] = queries[i].q;
    end[i] = std::clamp<int64_t>(queries[i].position + 1 - first, 0, limit);
    begin[i] =
        shape.window > 0 ? std::clamp<int64_t>(queries[i].position + 1 - shape.window - first, 0, end[i]) : 0;
    longest = std::max(longest, end[i]);
    low = std::min(low, begin[i]);
    high = std::max(high, end[i]);
  }
  const int64_t length = (longest + kKeyLanes - 1) / kKeyLanes * kKeyLanes;
  Scores<kQueries>(q, keys + first * shape.head_size, shape.head_size, length, shape.scale, scratch);
  for (int i = 0; i < kQueries; ++i) {
    Softmax(scratch + i * kAttentionChunk, length, begin[i], end[i], maximum + i, sum + i);
  }
  std::fill(y, y + kQueries * shape.head_size, 0.0f);
  // Positions outside a query's own range have p = 0: adding 0 * v keeps every bit of the sum (v is finite).
  Accumulate<kQueries>(scratch, values + first * shape.head_size, shape.head_size, low, high, y);
}

template <typename T>
void Chunk(const AttentionShape& shape, const T* keys, const T* values, int64_t chunk, int64_t limit,
           const Query* queries, int count, float* scratch, float* maximum, float* sum, float* y) {
  const int64_t n = shape.head_size;
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    ChunkOf<8>(shape, keys, values, chunk, limit, queries + i, scratch, maximum + i, sum + i, y + i * n);
  }
  for (; i + 4 <= count; i += 4) {
    ChunkOf<4>(shape, keys, values, chunk, limit, queries + i, scratch, maximum + i, sum + i, y + i * n);
  }
  for (; i + 3 <= count; i += 3) {
    ChunkOf<3>(shape, keys, values, chunk, limit, queries + i, scratch, maximum + i, sum + i, y + i * n);
  }
  for (; i < count; ++i) {
    ChunkOf<1>(shape, keys, values, chunk, limit, queries + i, scratch, maximum + i, sum + i, y + i * n);
  }
}

// Only the first `limit` positions of the chunk are there.
void ChunkAny(const AttentionShape& shape, const CacheView& cache, int64_t kv_head, int64_t chunk,
              int64_t limit, const float* const* q, const int64_t* positions, int count, float* scratch,
              float* maximum, float* sum, float* y) {
  Query queries[64];
  for (int i = 0; i < count; ++i) queries[i] = {q[i], positions[i]};
  const int64_t at = kv_head * cache.capacity * shape.head_size;
  if (cache.type == CacheType::kF16) {
    Chunk(shape, static_cast<const hwy::float16_t*>(cache.keys) + at,
          static_cast<const hwy::float16_t*>(cache.values) + at, chunk, limit, queries, count, scratch,
          maximum, sum, y);
  } else {
    Chunk(shape, static_cast<const float*>(cache.keys) + at, static_cast<const float*>(cache.values) + at,
          chunk, limit, queries, count, scratch, maximum, sum, y);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(ChunkAny);

namespace {

template <typename T, typename Convert>
void Append(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* k,
            const float* v, int64_t rows, Convert convert) {
  const int64_t n = shape.head_size, width = shape.kv_heads * n;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t p = position + r;
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      T* keys = static_cast<T*>(cache.keys) + h * cache.capacity * n + p / kKeyLanes * kKeyLanes * n +
                p % kKeyLanes;
      T* values = static_cast<T*>(cache.values) + (h * cache.capacity + p) * n;
      for (int64_t c = 0; c < n; ++c) {
        keys[c * kKeyLanes] = convert(k[r * width + h * n + c]);
        values[c] = convert(v[r * width + h * n + c]);
      }
    }
  }
}

// Running combination of chunks: y and sum are relative to `maximum`.
struct Running {
  float maximum = -std::numeric_limits<float>::infinity(), sum = 0;

  void Add(float m, float s, const float* part, float* y, int64_t n) {
    if (s == 0) return;  // the window hides this chunk
    const float top = std::max(maximum, m);
    const float old = std::exp(maximum - top), fresh = std::exp(m - top);
    for (int64_t c = 0; c < n; ++c) y[c] = y[c] * old + part[c] * fresh;
    sum = sum * old + s * fresh;
    maximum = top;
  }
};

// Queries that share a key/value head and are computed together: a few rows, some or all heads of the group.
constexpr int kBlock = 64;

struct QueryBlock {
  int64_t kv_head = 0;
  int count = 0;
  int64_t row[kBlock], head[kBlock], position[kBlock];
};

// The queries of all rows and heads cut into blocks; a partition that does not depend on the threads.
struct QueryBlocks {
  int64_t rows, position, group, kv_heads, rows_of_block, heads_of_block, row_blocks, head_blocks;

  QueryBlocks(const AttentionShape& shape, int64_t first_position, int64_t row_count)
      : rows(row_count),
        position(first_position),
        group(shape.heads / shape.kv_heads),
        kv_heads(shape.kv_heads),
        rows_of_block(std::max<int64_t>(1, std::min<int64_t>(kBlock / group, 16))),
        heads_of_block(std::min<int64_t>(group, kBlock)),
        row_blocks((rows + rows_of_block - 1) / rows_of_block),
        head_blocks((group + heads_of_block - 1) / heads_of_block) {}

  int64_t count() const { return row_blocks * head_blocks * kv_heads; }
  QueryBlock At(int64_t index) const {
    QueryBlock b;
    const int64_t row_block = index % row_blocks, head_block = index / row_blocks % head_blocks;
    b.kv_head = index / row_blocks / head_blocks;
    const int64_t row_end = std::min(rows, (row_block + 1) * rows_of_block);
    const int64_t head_end = std::min(group, (head_block + 1) * heads_of_block);
    for (int64_t r = row_block * rows_of_block; r < row_end; ++r) {
      for (int64_t h = head_block * heads_of_block; h < head_end; ++h) {
        b.row[b.count] = r;
        b.head[b.count] = b.kv_head * group + h;
        b.position[b.count++] = position + r;
      }
    }
    return b;
  }
};

// Working memory of one block: what ChunkAny needs, and its results.
struct BlockMemory {
  float *scratch, *part;
  float maximum[kBlock], sum[kBlock];

  explicit BlockMemory(int64_t head_size) {
    thread_local Buffer<float> memory;
    memory.Reserve(static_cast<size_t>(8 * kAttentionChunk + kBlock * head_size));
    scratch = memory.data();
    part = scratch + 8 * kAttentionChunk;
  }
};

// Adds the chunks of the cache's storage, whose position 0 is `base`, to what is running.
template <class Emit>
void StoredChunks(const AttentionShape& shape, const CacheView& cache, const QueryBlock& b,
                  const float* const* q, int64_t base, int64_t chunk_begin, int64_t chunk_end,
                  BlockMemory& memory, const Emit& emit) {
  int64_t positions[kBlock];
  for (int i = 0; i < b.count; ++i) positions[i] = b.position[i] - base;
  const int64_t oldest = shape.window > 0 ? std::max<int64_t>(0, positions[0] + 1 - shape.window) : 0;
  const int64_t last = positions[b.count - 1] / kAttentionChunk;
  for (int64_t chunk = std::max(chunk_begin, oldest / kAttentionChunk); chunk < std::min(chunk_end, last + 1);
       ++chunk) {
    LOWBIT_KERNEL(ChunkAny)
    (shape, cache, b.kv_head, chunk, kAttentionChunk, q, positions, b.count, memory.scratch, memory.maximum,
     memory.sum, memory.part);
    for (int i = 0; i < b.count; ++i) emit(chunk, i);
  }
}

// Adds the packed chunks: each is decoded and then read like a stored one. `q` are queries in its space.
template <class Emit>
void PackedChunks(const AttentionShape& shape, const PackedPositions& packed, const QueryBlock& b,
                  const float* const* q, BlockMemory& memory, const Emit& emit) {
  thread_local Buffer<float> decoded;
  decoded.Reserve(static_cast<size_t>(2 * kAttentionChunk * shape.head_size));
  float *const keys = decoded.data(), *const values = keys + kAttentionChunk * shape.head_size;
  const CacheView view{.type = CacheType::kF32, .keys = keys, .values = values, .capacity = kAttentionChunk};
  const int64_t oldest = shape.window > 0 ? std::max<int64_t>(0, b.position[0] + 1 - shape.window) : 0;
  for (int64_t first = oldest / kAttentionChunk * kAttentionChunk; first < packed.count();
       first += kAttentionChunk) {
    const int64_t n = std::min<int64_t>(kAttentionChunk, packed.count() - first);
    packed.Keys(b.kv_head, first, n, keys);
    packed.Values(b.kv_head, first, n, values);
    int64_t positions[kBlock];
    for (int i = 0; i < b.count; ++i) positions[i] = b.position[i] - first;
    LOWBIT_KERNEL(ChunkAny)
    (shape, view, 0, 0, n, q, positions, b.count, memory.scratch, memory.maximum, memory.sum, memory.part);
    for (int i = 0; i < b.count; ++i) emit(0, i);
  }
}

}  // namespace

void AppendToCache(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* k,
                   const float* v, int64_t rows) {
  if (position + rows > cache.capacity) {
    Fail("the key/value cache holds {} positions, {} are needed", cache.capacity, position + rows);
  }
  if (cache.type == CacheType::kF16) {
    Append<uint16_t>(shape, cache, position, k, v, rows, FloatToF16);
  } else {
    Append<float>(shape, cache, position, k, v, rows, [](float x) { return x; });
  }
}

void Attend(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* q, float* y,
            int64_t rows, ThreadPool& pool) {
  const int64_t n = shape.head_size;
  if (n % 8 != 0 || n > 512) Fail("attention: a head size of {} is not a multiple of 8 up to 512", n);
  const QueryBlocks blocks(shape, position, rows);
  const int64_t packed = cache.packed != nullptr ? cache.packed->count() : 0;
  const int64_t chunks = (position + rows - 1 - packed) / kAttentionChunk + 1;
  const auto at = [&](const auto* base, const QueryBlock& b, int i) {
    return base + (b.row[i] * shape.heads + b.head[i]) * n;
  };
  // Few queries over a long context: split the chunks too, and combine them in order afterwards. That pays
  // only in decode; the partials need (2 + n) floats a query and chunk.
  if (rows > 1 || chunks == 1 || packed > 0) {
    thread_local Buffer<float> turned;
    if (packed > 0) {
      turned.Reserve(static_cast<size_t>(rows * shape.heads * n));
      float* const to = turned.data();
      pool.Run(rows * shape.heads,
               [&](int64_t i, int) { cache.packed->TransformQuery(q + i * n, to + i * n); });
    }
    const float* const turned_queries = turned.data();
    pool.Run(blocks.count(), [&](int64_t task, int) {
      const QueryBlock b = blocks.At(task);
      BlockMemory memory(n);
      Running running[kBlock];
      const float *queries[kBlock], *packed_queries[kBlock];
      for (int i = 0; i < b.count; ++i) {
        queries[i] = at(q, b, i);
        packed_queries[i] = packed > 0 ? at(turned_queries, b, i) : nullptr;
        std::fill_n(y + (queries[i] - q), n, 0.0f);
      }
      const auto add = [&](int64_t, int i) {
        running[i].Add(memory.maximum[i], memory.sum[i], memory.part + i * n, y + (queries[i] - q), n);
      };
      if (packed > 0) {
        PackedChunks(shape, *cache.packed, b, packed_queries, memory, add);
        for (int i = 0; i < b.count; ++i) {
          if (running[i].sum > 0) cache.packed->RestoreOutput(y + (queries[i] - q));
        }
      }
      StoredChunks(shape, cache, b, queries, packed, 0, chunks, memory, add);
      for (int i = 0; i < b.count; ++i) {
        const float inverse = 1.0f / running[i].sum;
        float* const out = y + (queries[i] - q);
        for (int64_t c = 0; c < n; ++c) out[c] *= inverse;
      }
    });
    return;
  }
  const int64_t stride = n + 2;
  thread_local Buffer<float> partials;
  partials.Reserve(static_cast<size_t>(shape.heads * chunks * stride));
  float* const partial = partials.data();
  const int64_t first_chunk =
      shape.window > 0 ? std::max<int64_t>(0, position + 1 - shape.window) / kAttentionChunk : 0;
  pool.Run(blocks.count() * (chunks - first_chunk), [&](int64_t task, int) {
    const QueryBlock b = blocks.At(task % blocks.count());
    const int64_t chunk = first_chunk + task / blocks.count();
    BlockMemory memory(n);
    const float* queries[kBlock];
    for (int i = 0; i < b.count; ++i) queries[i] = at(q, b, i);
    StoredChunks(shape, cache, b, queries, 0, chunk, chunk + 1, memory, [&](int64_t, int i) {
      float* to = partial + (b.head[i] * chunks + chunk) * stride;
      to[0] = memory.maximum[i];
      to[1] = memory.sum[i];
      std::copy_n(memory.part + i * n, n, to + 2);
    });
  });
  for (int64_t head = 0; head < shape.heads; ++head) {
    Running running;
    float* out = y + head * n;
    std::fill(out, out + n, 0.0f);
    for (int64_t chunk = first_chunk; chunk < chunks; ++chunk) {
      const float* from = partial + (head * chunks + chunk) * stride;
      running.Add(from[0], from[1], from + 2, out, n);
    }
    const float inverse = 1.0f / running.sum;
    for (int64_t c = 0; c < n; ++c) out[c] *= inverse;
  }
}

}  // namespace lowbit
#endif  // HWY_ONCE
