#include "lowbit/runtime/kv_cache.h"

#include "lowbit/base/error.h"

namespace lowbit {

AttentionShape ShapeOf(const Node& attention) {
  return {attention.Int("heads"), attention.Int("kv_heads"), attention.Int("head_size"),
          static_cast<float>(attention.Real("scale")), attention.Int("window")};
}

KvCache::KvCache(const Graph& graph, int64_t capacity, CacheType type, int first, int last)
    : capacity_((capacity + kAttentionChunk - 1) / kAttentionChunk * kAttentionChunk), type_(type) {
  const size_t n = graph.nodes.size();
  width_.resize(n);
  keys_.resize(n);
  values_.resize(n);
  for (const State& state : graph.states) {
    if (state.node < first || (last >= 0 && state.node >= last)) continue;
    const AttentionShape shape = ShapeOf(graph.nodes[state.node]);
    width_[state.node] = shape.kv_heads * shape.head_size;
    const auto bytes =
        static_cast<size_t>(capacity_ * width_[state.node]) * (type == CacheType::kF16 ? 2 : 4);
    keys_[state.node] = Buffer<uint8_t>(bytes);
    values_[state.node] = Buffer<uint8_t>(bytes);
  }
}

void KvCache::SetLength(int64_t length) {
  if (length < 0 || length > capacity_) Fail("the context holds {} tokens, {} are needed", capacity_, length);
  length_ = length;
}

size_t KvCache::BytesPerPosition() const {
  size_t bytes = 0;
  for (int64_t width : width_) bytes += static_cast<size_t>(width) * 2 * (type_ == CacheType::kF16 ? 2 : 4);
  return bytes;
}

CacheView KvCache::View(int node) const {
  if (width_[node] == 0) Fail("no key/value cache was made for node {}", node);
  return {type_, keys_[node].data(), values_[node].data(), capacity_};
}

}  // namespace lowbit
