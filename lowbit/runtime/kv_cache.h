// The keys and values that a sequence has seen, for every attention node of a graph: plain, or packed but for
// a tail of the newest positions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/graph/graph.h"
#include "lowbit/kernel/attention.h"
#include "lowbit/runtime/cache_format.h"

namespace lowbit {

// The shape of an attention node as the kernel wants it.
AttentionShape ShapeOf(const Node& attention);

// A packed cache keeps at least this many of the newest positions plain; older ones are packed by pages of
// kCachePage once they are read.
inline constexpr int64_t kCacheTail = 128;

class KvCache {
 public:
  // `capacity` positions. Memory is taken for the attention nodes in [first, last) of the graph only; last <
  // 0 means all. Pages are touched as positions are filled. Throws Error when the format does not fit a head
  // size.
  KvCache(const Graph& graph, int64_t capacity, const CacheFormat& format = {}, int first = 0, int last = -1);
  KvCache(const Graph& graph, int64_t capacity, CacheType type, int first = 0, int last = -1)
      : KvCache(graph, capacity, CacheFormat{.plain = type}, first, last) {}
  KvCache(KvCache&&) noexcept;
  ~KvCache();

  const CacheFormat& format() const { return format_; }
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  // Positions from `length` on are not there yet. Throws Error when `length` exceeds the capacity.
  void SetLength(int64_t length);
  // Forgets the positions from `length` on and returns the length that is left: less where a page had to go
  // whole.
  int64_t Rewind(int64_t length);
  // Bytes that the filled positions take, and what a position takes in the long run.
  size_t Bytes() const;
  double BytesPerPosition() const;

  // Stores the keys and values (rows, kv_heads * head_size) of the attention node `node` at [position,
  // position + rows).
  void Append(int node, int64_t position, const float* k, const float* v, int64_t rows);
  // y (rows, heads * head_size) for queries at positions that were just appended. Then packs what has left
  // the tail.
  void Attend(int node, int64_t position, const float* q, float* y, int64_t rows, ThreadPool& pool);

 private:
  class Packed;
  struct Layer {
    AttentionShape shape;
    Buffer<uint8_t> keys, values;
    int64_t capacity = 0;  // of the plain storage
    int64_t filled = 0;    // positions [0, filled) are there
    std::unique_ptr<Packed> packed;

    int64_t packed_count() const;
    CacheView View(CacheType type) const;
  };

  Layer& At(int node);
  void MovePlain(Layer& layer, int64_t capacity, int64_t from, int64_t count) const;
  void Reserve(Layer& layer, int64_t positions) const;
  void PackOldest(Layer& layer, ThreadPool& pool) const;

  CacheFormat format_;
  int64_t capacity_ = 0, length_ = 0;
  std::vector<std::unique_ptr<Layer>> layers_;  // by node; null where there is no attention
};

}  // namespace lowbit
