// The keys and values that a sequence has seen, for every attention node of a graph.
#pragma once

#include <cstdint>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/graph/graph.h"
#include "lowbit/kernel/attention.h"

namespace lowbit {

// The shape of an attention node as the kernel wants it.
AttentionShape ShapeOf(const Node& attention);

class KvCache {
 public:
  // `capacity` positions (rounded up to kAttentionChunk). Memory is taken for the attention nodes in [first,
  // last) of the graph only; last < 0 means all. Pages are touched as positions are filled.
  KvCache(const Graph& graph, int64_t capacity, CacheType type = CacheType::kF16, int first = 0,
          int last = -1);

  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  // Positions from `length` on are forgotten. Throws Error when `length` exceeds the capacity.
  void SetLength(int64_t length);
  // Bytes that `length` filled positions take.
  size_t BytesPerPosition() const;

  // The storage of the attention node with index `node`.
  CacheView View(int node) const;

 private:
  int64_t capacity_ = 0, length_ = 0;
  CacheType type_;
  std::vector<int64_t> width_;  // by node: kv_heads * head_size, 0 where there is no cache
  mutable std::vector<Buffer<uint8_t>> keys_, values_;
};

}  // namespace lowbit
