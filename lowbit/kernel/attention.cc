#include "lowbit/kernel/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/attention.cc"
#include "lowbit/kernel/simd.h"

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

// Memory that will be read in the next phase. While scores are computed the chunk's values come to the
// second-level cache, while values are added up the next chunk's keys: the memory is never idle. The lines
// come from four places in turn, as when bandwidth is measured: on an Intel server CPU memory then sends a
// twentieth more than from one place.
class Ahead {
 public:
  // `bytes` may be 0; `from` is an address that can be read.
  Ahead(const void* from, size_t bytes)
      : from_(static_cast<const char*>(from)),
        lines_((bytes + 63) / 64),
        part_((lines_ + kParts - 1) / kParts) {}
  HWY_INLINE void FetchLine() {
    __builtin_prefetch(from_ + (next_ % kParts * part_ + next_ / kParts) * 64, 0, 2);
    next_ = next_ + 1 < lines_ ? next_ + 1 : next_;
  }

 private:
  static constexpr size_t kParts = 4;
  const char* from_;
  size_t lines_, part_, next_ = 0;
};

// s[query][t] = scale * <q, k_t> for `count` queries of one head and kRuns runs of 16 positions, from t on.
template <int kQueries, int kRuns, typename T>
HWY_INLINE void ScoresOfRuns(const float* const* q, const T* keys, int64_t head_size, int64_t t, float scale,
                             float* s, Ahead& ahead) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t lane = 0; lane < kKeyLanes; lane += lanes) {
    hn::Vec<D> sum[kRuns][kQueries];
    for (int r = 0; r < kRuns; ++r) {
      for (int i = 0; i < kQueries; ++i) sum[r][i] = hn::Zero(d);
    }
    const T* k = keys + t * head_size + lane;
    constexpr int64_t kStep = 4;
    constexpr auto kLines = std::max<size_t>(1, kStep * kRuns * hn::MaxLanes(d) * sizeof(T) / 64);
    for (int64_t c = 0; c < head_size; c += kStep) {
#pragma GCC unroll 8
      for (size_t i = 0; i < kLines; ++i) ahead.FetchLine();
#pragma GCC unroll 4
      for (int64_t j = c; j < c + kStep; ++j) {
        hn::Vec<D> kv[kRuns];
#pragma GCC unroll 2
        for (int r = 0; r < kRuns; ++r) kv[r] = LoadFloats(d, k + (r * head_size + j) * kKeyLanes);
#pragma GCC unroll 8
        for (int i = 0; i < kQueries; ++i) {
          const auto x = hn::Set(d, q[i][j]);
#pragma GCC unroll 2
          for (int r = 0; r < kRuns; ++r) sum[r][i] = hn::MulAdd(x, kv[r], sum[r][i]);
        }
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      for (int r = 0; r < kRuns; ++r) {
        hn::StoreU(hn::Mul(sum[r][i], hn::Set(d, scale)), d,
                   s + i * kAttentionChunk + t + r * kKeyLanes + lane);
      }
    }
  }
}

// The same for the chunk's positions [0, length).
template <int kQueries, typename T>
HWY_INLINE void Scores(const float* const* q, const T* keys, int64_t head_size, int64_t length, float scale,
                       float* s, Ahead ahead) {
  // Enough sums to hide the latency of one.
  constexpr int kRuns = kQueries <= 4 && HWY_TARGET == HWY_AVX3 ? 2 : 1;
  int64_t t = 0;
  for (; t + kRuns * kKeyLanes <= length; t += kRuns * kKeyLanes)
    ScoresOfRuns<kQueries, kRuns>(q, keys, head_size, t, scale, s, ahead);
  for (; t < length; t += kKeyLanes) ScoresOfRuns<kQueries, 1>(q, keys, head_size, t, scale, s, ahead);
}

// Positions whose values are read once from the first-level cache and kept there for all channels.
constexpr int64_t kValueBlock = 32;

// acc[query][c] += sum_t p[query][t] v_t[c] over [begin, end), t in order.
template <int kQueries, typename T>
HWY_INLINE void AccumulateBlock(const float* p, const T* values, int64_t head_size, int64_t begin,
                                int64_t end, float* acc, Ahead& ahead) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr auto kLines = std::max<size_t>(1, 2 * hn::MaxLanes(d) * sizeof(T) / 64);
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
      if constexpr (kLines > 0) ahead.FetchLine();
      if constexpr (kLines > 1) ahead.FetchLine();
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
template <int kQueries, typename T>
HWY_INLINE void Accumulate(const float* p, const T* values, int64_t head_size, int64_t begin, int64_t end,
                           float* acc, Ahead ahead) {
  for (int64_t t = begin; t < end; t += kValueBlock)
    AccumulateBlock<kQueries>(p, values, head_size, t, std::min(end, t + kValueBlock), acc, ahead);
}

// e^x for x <= 0 within 2 ulp, zero below -87: 2^n times a polynomial in what is left, |r| <= ln 2 / 2 (the
// minimax coefficients of Cephes' expf).
HWY_INLINE hn::Vec<D> ExpOfNegative(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto magic = hn::Set(d, 0x1.8p23f);  // its low bits are the integer that was added
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const auto n = hn::Sub(shifted, magic);
  const auto r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x));
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4f), r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto scaled =
      hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  return hn::IfThenElseZero(hn::Ge(x, hn::Set(d, -87.0f)), scaled);
}

// In place: s -> exp(s - max) over [begin, end), zero elsewhere in [0, length), a multiple of kKeyLanes;
// gives the maximum and the sum. Position t belongs to lane t mod 16, the lanes are added in a fixed tree:
// the same order on every target.
HWY_INLINE void Softmax(float* s, int64_t length, int64_t begin, int64_t end, float* maximum, float* sum) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  std::fill(s, s + begin, kNone);
  std::fill(s + end, s + length, kNone);
  const D d;
  constexpr int kParts = kKeyLanes / static_cast<int>(hn::MaxLanes(D()));
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> most[kParts], sums[kParts];
  for (int i = 0; i < kParts; ++i) {
    most[i] = hn::Set(d, kNone);
    sums[i] = hn::Zero(d);
  }
  for (int64_t t = begin / kKeyLanes * kKeyLanes; t < length; t += kKeyLanes) {
    for (int i = 0; i < kParts; ++i) most[i] = hn::Max(most[i], hn::LoadU(d, s + t + i * lanes));
  }
  for (int i = 1; i < kParts; ++i) most[0] = hn::Max(most[0], most[i]);
  const float m = hn::GetLane(hn::MaxOfLanes(d, most[0]));
  const auto top = hn::Set(d, m);
  for (int64_t t = 0; t < length; t += kKeyLanes) {
    for (int i = 0; i < kParts; ++i) {
      const auto e = ExpOfNegative(d, hn::Sub(hn::LoadU(d, s + t + i * lanes), top));
      hn::StoreU(e, d, s + t + i * lanes);
      sums[i] = hn::Add(sums[i], e);
    }
  }
  alignas(64) float lane_sum[kKeyLanes];
  for (int i = 0; i < kParts; ++i) hn::StoreU(sums[i], d, lane_sum + i * lanes);
  for (int n = kKeyLanes / 2; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) lane_sum[i] += lane_sum[i + n];
  }
  *maximum = m;
  *sum = lane_sum[0];
}

void SoftmaxOf(float* s, int64_t length, const int64_t* begin, int queries, float* maximum, float* sum) {
  for (int i = 0; i < queries; ++i)
    Softmax(s + i * kAttentionChunk, length, begin[i], length, maximum + i, sum + i);
}

// f(first query, constant number of queries) over groups that cover `count`.
template <class F>
HWY_INLINE void ForGroups(int count, const F& f) {
  int i = 0;
  for (; i + 8 <= count; i += 8) f(i, std::integral_constant<int, 8>());
  for (; i + 4 <= count; i += 4) f(i, std::integral_constant<int, 4>());
  for (; i + 3 <= count; i += 3) f(i, std::integral_constant<int, 3>());
  for (; i < count; ++i) f(i, std::integral_constant<int, 1>());
}

void ScoresOfFloats(const float* keys, int64_t head_size, int64_t length, const float* const* q, int queries,
                    float scale, float* s) {
  ForGroups(queries, [&](int i, auto count) HWY_ATTR {
    Scores<decltype(count)::value>(q + i, keys, head_size, length, scale, s + i * kAttentionChunk,
                                   Ahead(keys, 0));
  });
}
void SumsOfFloats(const float* values, int64_t head_size, int64_t length, const float* p, int queries,
                  float* y) {
  ForGroups(queries, [&](int i, auto count) HWY_ATTR {
    Accumulate<decltype(count)::value>(p + i * kAttentionChunk, values, head_size, 0, length,
                                       y + i * head_size, Ahead(values, 0));
  });
}

// One key/value head, `count` queries (each a row and a head), the positions of one chunk.
struct Query {
  const float* q;
  int64_t position;
};

// partial[i] = {max, sum, y[head_size]} of query i over chunk `chunk`.
template <int kQueries, typename T>
HWY_INLINE void ChunkOf(const AttentionShape& shape, const T* keys, const T* values, int64_t chunk, bool more,
                        const Query* queries, float* scratch, float* maximum, float* sum, float* y) {
  const int64_t first = chunk * kAttentionChunk;
  const float* q[kQueries];
  int64_t begin[kQueries], end[kQueries], longest = 0, low = kAttentionChunk, high = 0;
  for (int i = 0; i < kQueries; ++i) {
    q[i] = queries[i].q;
    end[i] = std::clamp<int64_t>(queries[i].position + 1 - first, 0, kAttentionChunk);
    begin[i] =
        shape.window > 0 ? std::clamp<int64_t>(queries[i].position + 1 - shape.window - first, 0, end[i]) : 0;
    longest = std::max(longest, end[i]);
    low = std::min(low, begin[i]);
    high = std::max(high, end[i]);
  }
  const int64_t length = (longest + kKeyLanes - 1) / kKeyLanes * kKeyLanes;
  const int64_t at = first * shape.head_size;
  const auto bytes = [&](int64_t positions) {
    return static_cast<size_t>(positions * shape.head_size) * sizeof(T);
  };
  Scores<kQueries>(q, keys + at, shape.head_size, length, shape.scale, scratch,
                   Ahead(values + at, bytes(high)));
  for (int i = 0; i < kQueries; ++i) {
    Softmax(scratch + i * kAttentionChunk, length, begin[i], end[i], maximum + i, sum + i);
  }
  std::fill(y, y + kQueries * shape.head_size, 0.0f);
  // Positions outside a query's own range have p = 0: adding 0 * v keeps every bit of the sum (v is finite).
  const T* const next = keys + at + (more ? kAttentionChunk * shape.head_size : 0);
  Accumulate<kQueries>(scratch, values + at, shape.head_size, low, high, y,
                       Ahead(next, more ? bytes(kAttentionChunk) : 0));
}

// `more`: the next chunk will be asked for next.
void ChunkAny(const AttentionShape& shape, const CacheView& cache, int64_t kv_head, int64_t chunk, bool more,
              const float* const* q, const int64_t* positions, int count, float* scratch, float* maximum,
              float* sum, float* y) {
  Query queries[64];
  for (int i = 0; i < count; ++i) queries[i] = {q[i], positions[i]};
  const int64_t n = shape.head_size, at = kv_head * cache.capacity * n;
  const auto run = [&](const auto* keys, const auto* values) HWY_ATTR {
    ForGroups(count, [&](int i, auto group) HWY_ATTR {
      ChunkOf<decltype(group)::value>(shape, keys + at, values + at, chunk, more && i + group == count,
                                      queries + i, scratch, maximum + i, sum + i, y + i * n);
    });
  };
  if (cache.type == CacheType::kF16) {
    run(static_cast<const hwy::float16_t*>(cache.keys), static_cast<const hwy::float16_t*>(cache.values));
  } else {
    run(static_cast<const float*>(cache.keys), static_cast<const float*>(cache.values));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(ChunkAny);
HWY_EXPORT(SoftmaxOf);
HWY_EXPORT(ScoresOfFloats);
HWY_EXPORT(SumsOfFloats);

namespace {

// Running combination of chunks: y and sum are relative to `maximum`.
struct Running {
  float maximum = -std::numeric_limits<float>::infinity(), sum = 0;

  void Add(float m, float s, const float* part, float* y, int64_t n) {
    if (s == 0) return;  // the window hides this chunk
    // The larger of the two maxima has the factor exp(0) = 1.
    if (m <= maximum) {
      const float fresh = std::exp(m - maximum);
      for (int64_t c = 0; c < n; ++c) y[c] += part[c] * fresh;
      sum += s * fresh;
    } else {
      const float old = std::exp(maximum - m);
      for (int64_t c = 0; c < n; ++c) y[c] = y[c] * old + part[c];
      sum = sum * old + s;
      maximum = m;
    }
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

// Working memory of one block: its scores, and the results of a chunk.
struct BlockMemory {
  float *scratch, *part;
  float maximum[kBlock], sum[kBlock];

  explicit BlockMemory(int64_t head_size) {
    thread_local Buffer<float> memory;
    memory.Reserve(static_cast<size_t>(kBlock * (kAttentionChunk + head_size)));
    scratch = memory.data();
    part = scratch + kBlock * kAttentionChunk;
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
  const int64_t end = std::min(chunk_end, last + 1);
  for (int64_t chunk = std::max(chunk_begin, oldest / kAttentionChunk); chunk < end; ++chunk) {
    LOWBIT_KERNEL(ChunkAny)
    (shape, cache, b.kv_head, chunk, chunk + 1 < end, q, positions, b.count, memory.scratch, memory.maximum,
     memory.sum, memory.part);
    for (int i = 0; i < b.count; ++i) emit(chunk, i);
  }
}

// Chunks [chunk_begin, chunk_end) of the packed part. `q` are queries in its space.
template <class Emit>
void PackedChunks(const AttentionShape& shape, const PackedPositions& packed, const QueryBlock& b,
                  const float* const* q, int64_t chunk_begin, int64_t chunk_end, BlockMemory& memory,
                  const Emit& emit) {
  const int64_t oldest = shape.window > 0 ? std::max<int64_t>(0, b.position[0] + 1 - shape.window) : 0;
  for (int64_t chunk = std::max(chunk_begin, oldest / kAttentionChunk); chunk < chunk_end; ++chunk) {
    const int64_t first = chunk * kAttentionChunk;
    const int64_t n = std::min<int64_t>(kAttentionChunk, packed.count() - first);
    int64_t begin[kBlock];
    for (int i = 0; i < b.count; ++i)
      begin[i] = shape.window > 0 ? std::clamp<int64_t>(b.position[i] + 1 - shape.window - first, 0, n) : 0;
    // Queries are in ascending order of positions: nobody sees what is before the first one's window.
    const int64_t hidden = begin[0] / (2 * kKeyLanes) * (2 * kKeyLanes);
    if (hidden == n) {
      for (int i = 0; i < b.count; ++i) memory.sum[i] = 0;
    } else {
      packed.Scores(b.kv_head, first + hidden, n - hidden, q, b.count, shape.scale, memory.scratch + hidden);
      LOWBIT_KERNEL(SoftmaxOf)(memory.scratch, n, begin, b.count, memory.maximum, memory.sum);
      std::fill_n(memory.part, b.count * shape.head_size, 0.0f);
      packed.Accumulate(b.kv_head, first + hidden, n - hidden, memory.scratch + hidden, b.count, memory.part);
    }
    for (int i = 0; i < b.count; ++i) emit(chunk, i);
  }
}

}  // namespace

void KeyScores(const float* keys, int64_t head_size, int64_t n, const float* const* q, int queries,
               float scale, float* s) {
  LOWBIT_KERNEL(ScoresOfFloats)(keys, head_size, n, q, queries, scale, s);
}
void ValueSums(const float* values, int64_t head_size, int64_t n, const float* p, int queries, float* y) {
  LOWBIT_KERNEL(SumsOfFloats)(values, head_size, n, p, queries, y);
}

void Attend(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* q, float* y,
            int64_t rows, ThreadPool& pool) {
  const int64_t n = shape.head_size;
  if (n % 8 != 0 || n > 512) Fail("attention: a head size of {} is not a multiple of 8 up to 512", n);
  const QueryBlocks blocks(shape, position, rows);
  // Packed chunks come first, then those of the storage.
  const int64_t packed = cache.packed != nullptr ? cache.packed->count() : 0;
  const int64_t packed_chunks = (packed + kAttentionChunk - 1) / kAttentionChunk;
  const int64_t stored_chunks = (position + rows - 1 - packed) / kAttentionChunk + 1;
  const int64_t chunks = packed_chunks + stored_chunks;
  const auto at = [&](auto* base, const QueryBlock& b, int i) {
    return base + (b.row[i] * shape.heads + b.head[i]) * n;
  };
  thread_local Buffer<float> turned;
  if (packed > 0) {
    turned.Reserve(static_cast<size_t>(rows * shape.heads * n));
    float* const to = turned.data();
    pool.Run(rows * shape.heads,
             [&](int64_t i, int) { cache.packed->TransformQuery(q + i * n, to + i * n); });
  }
  const float* const turned_queries = turned.data();
  // emit(chunk, query of the block) for chunks [begin, end), numbered through both parts.
  const auto chunks_of = [&](const QueryBlock& b, int64_t begin, int64_t end, BlockMemory& memory,
                             const auto& emit) {
    const float *queries[kBlock], *packed_queries[kBlock];
    for (int i = 0; i < b.count; ++i) {
      queries[i] = at(q, b, i);
      packed_queries[i] = packed > 0 ? at(turned_queries, b, i) : nullptr;
    }
    if (begin < packed_chunks)
      PackedChunks(shape, *cache.packed, b, packed_queries, begin, std::min(end, packed_chunks), memory,
                   emit);
    if (end > packed_chunks) {
      StoredChunks(shape, cache, b, queries, packed, std::max<int64_t>(0, begin - packed_chunks),
                   end - packed_chunks, memory,
                   [&](int64_t chunk, int i) { emit(packed_chunks + chunk, i); });
    }
  };
  const auto divide = [&](const Running& running, float* out) {
    const float inverse = 1.0f / running.sum;
    for (int64_t c = 0; c < n; ++c) out[c] *= inverse;
  };
  if (rows > 1 || chunks == 1) {
    pool.Run(blocks.count(), [&](int64_t task, int) {
      const QueryBlock b = blocks.At(task);
      BlockMemory memory(n);
      Running running[kBlock];
      for (int i = 0; i < b.count; ++i) std::fill_n(at(y, b, i), n, 0.0f);
      const auto add = [&](int64_t, int i) {
        running[i].Add(memory.maximum[i], memory.sum[i], memory.part + i * n, at(y, b, i), n);
      };
      chunks_of(b, 0, packed_chunks, memory, add);
      for (int i = 0; i < b.count; ++i) {
        if (running[i].sum > 0) cache.packed->RestoreOutput(at(y, b, i));
      }
      chunks_of(b, packed_chunks, chunks, memory, add);
      for (int i = 0; i < b.count; ++i) divide(running[i], at(y, b, i));
    });
    return;
  }
  // Few queries over a long context: split the chunks too, and combine them in order afterwards. That pays
  // only in decode; the partials need (2 + n) floats a query and chunk.
  const int64_t stride = n + 2;
  thread_local Buffer<float> partials;
  partials.Reserve(static_cast<size_t>(shape.heads * chunks * stride));
  float* const partial = partials.data();
  const int64_t oldest = shape.window > 0 ? std::max<int64_t>(0, position + 1 - shape.window) : 0;
  const int64_t first_chunk =
      oldest < packed ? oldest / kAttentionChunk : packed_chunks + (oldest - packed) / kAttentionChunk;
  // The chunks of all blocks in one row: long runs, whose memory is fetched ahead.
  const int64_t left = chunks - first_chunk;
  pool.RunRanges(blocks.count() * left, [&](int64_t from, int64_t to, int) {
    BlockMemory memory(n);
    for (int64_t block = from / left; block * left < to; ++block) {
      const QueryBlock b = blocks.At(block);
      const int64_t begin = std::max<int64_t>(0, from - block * left),
                    end = std::min(left, to - block * left);
      chunks_of(b, first_chunk + begin, first_chunk + end, memory, [&](int64_t chunk, int i) {
        float* out = partial + (b.head[i] * chunks + chunk) * stride;
        out[0] = memory.maximum[i];
        out[1] = memory.sum[i];
        std::copy_n(memory.part + i * n, n, out + 2);
      });
    }
  });
  pool.Run(shape.heads, [&](int64_t head, int) {
    Running running;
    float* out = y + head * n;
    std::fill(out, out + n, 0.0f);
    for (int64_t chunk = first_chunk; chunk < chunks; ++chunk) {
      if (chunk == packed_chunks && running.sum > 0) cache.packed->RestoreOutput(out);
      const float* from = partial + (head * chunks + chunk) * stride;
      running.Add(from[0], from[1], from + 2, out, n);
    }
    divide(running, out);
  });
}

}  // namespace lowbit
#endif  // HWY_ONCE
