#include "lowbit/runtime/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/kernel/cache_storage.h"

namespace lowbit {
namespace {

int64_t RoundUp(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

size_t BytesOf(CacheType type) {
  return type == CacheType::kF16 ? 2 : 4;
}

}  // namespace

AttentionShape ShapeOf(const Node& attention) {
  return {attention.Int("heads"), attention.Int("kv_heads"), attention.Int("head_size"),
          static_cast<float>(attention.Real("scale")), attention.Int("window")};
}

// The packed pages of one node. The transforms are chosen when the first page is packed, from the positions
// that are there then, and never change.
class KvCache::Packed : public PackedPositions {
 public:
  Packed(const CacheFormat& format, const AttentionShape& shape, int64_t capacity, uint64_t seed)
      : format_(format), shape_(shape), pages_(capacity / kCachePage), seed_(seed) {
    const std::vector<float> nothing(static_cast<size_t>(shape.head_size), 0.0f);
    Choose(nothing, nothing, nothing, nothing);  // the sizes; and whether the format fits the head
    chosen_ = false;
  }

  int64_t count() const override { return count_; }
  void Truncate(int64_t positions) { count_ = std::min(count_, positions / kCachePage * kCachePage); }
  bool chosen() const { return chosen_; }
  void Choose(std::span<const float> key_range, std::span<const float> key_magnitude,
              std::span<const float> value_range, std::span<const float> value_magnitude) {
    keys_ = std::make_unique<CacheSide>(format_.keys, true, key_range, key_magnitude, seed_);
    values_ = std::make_unique<CacheSide>(format_.values, false, value_range, value_magnitude, seed_ + 1);
    const auto heads = static_cast<size_t>(shape_.kv_heads * pages_);
    if (key_pages_.size() == 0) {
      key_pages_ = Buffer<uint8_t>(heads * keys_->codec().bytes());
      value_pages_ = Buffer<uint8_t>(heads * values_->codec().bytes());
    }
    chosen_ = true;
  }
  size_t page_bytes() const {
    return static_cast<size_t>(shape_.kv_heads) * (keys_->codec().bytes() + values_->codec().bytes());
  }
  size_t bytes() const { return static_cast<size_t>(count_ / kCachePage) * page_bytes(); }

  // k and v (32, head_size) of one head, of the page after the last.
  void Pack(int64_t kv_head, const float* k, const float* v) {
    Pack(*keys_, kv_head, k, key_pages_);
    Pack(*values_, kv_head, v, value_pages_);
  }
  void Advance() { count_ += kCachePage; }

  void Scores(int64_t kv_head, int64_t first, int64_t n, const float* const* q, int queries, float scale,
              float* s) const override {
    const auto runs = keys_->codec().products();
    if (!runs.empty()) {
      Pages pages = PagesOf(*keys_, key_pages_, kv_head, first, n);
      pages.ahead = BytesOf(PagesOf(*values_, value_pages_, kv_head, first, n));
      PageScores(runs, pages, q, queries, scale, s, kAttentionChunk);
      return;
    }
    const int64_t size = shape_.head_size;
    float* const keys = Decoded(n);
    Decode(*keys_, key_pages_, kv_head, first, n, [&](int64_t position, const float* page) {
      // (channel, 32) to two blocks of (channel, 16).
      for (int64_t half = 0; half < kCachePage / kKeyLanes; ++half) {
        float* to = keys + (position + half * kKeyLanes) * size;
        for (int64_t c = 0; c < size; ++c)
          std::copy_n(page + c * kCachePage + half * kKeyLanes, kKeyLanes, to + c * kKeyLanes);
      }
    });
    KeyScores(keys, size, n, q, queries, scale, s);
  }
  void Accumulate(int64_t kv_head, int64_t first, int64_t n, const float* p, int queries,
                  float* y) const override {
    const int64_t size = shape_.head_size;
    const auto runs = values_->codec().products();
    if (!runs.empty()) {
      Pages pages = PagesOf(*values_, value_pages_, kv_head, first, n);
      const int64_t next = std::min<int64_t>(count_ - first - n, kAttentionChunk);
      pages.ahead = BytesOf(PagesOf(*keys_, key_pages_, kv_head, first + n, next));
      PageSums(runs, pages, p, kAttentionChunk, queries, y, size);
      return;
    }
    float* const values = Decoded(n);
    Decode(*values_, value_pages_, kv_head, first, n, [&](int64_t position, const float* page) {
      for (int64_t t = 0; t < kCachePage; ++t) {
        for (int64_t c = 0; c < size; ++c) values[(position + t) * size + c] = page[c * kCachePage + t];
      }
    });
    ValueSums(values, size, n, p, queries, y);
  }
  void TransformQuery(const float* q, float* out) const override { keys_->Apply(q, out); }
  void RestoreOutput(float* y) const override { values_->Inverse(y, y); }

 private:
  uint8_t* Page(const CacheSide& side, const Buffer<uint8_t>& pages, int64_t kv_head, int64_t page) const {
    return const_cast<uint8_t*>(pages.data()) +
           static_cast<size_t>(kv_head * pages_ + page) * side.codec().bytes();
  }
  void Pack(const CacheSide& side, int64_t kv_head, const float* x, Buffer<uint8_t>& pages) {
    const int64_t size = shape_.head_size;
    thread_local std::vector<float> turned;
    turned.resize(static_cast<size_t>(kCachePage * size));
    for (int64_t t = 0; t < kCachePage; ++t) side.Apply(x + t * size, turned.data() + t * size);
    side.codec().Encode(turned.data(), Page(side, pages, kv_head, count_ / kCachePage));
  }
  Pages PagesOf(const CacheSide& side, const Buffer<uint8_t>& pages, int64_t kv_head, int64_t first,
                int64_t n) const {
    return {Page(side, pages, kv_head, first / kCachePage), side.codec().bytes(), n / kCachePage};
  }
  static std::span<const uint8_t> BytesOf(const Pages& pages) {
    return {pages.data, static_cast<size_t>(pages.count) * pages.stride};
  }
  float* Decoded(int64_t positions) const {
    thread_local Buffer<float> memory;
    memory.Reserve(static_cast<size_t>(positions * shape_.head_size));
    return memory.data();
  }
  template <class Emit>
  void Decode(const CacheSide& side, const Buffer<uint8_t>& pages, int64_t kv_head, int64_t first, int64_t n,
              const Emit& emit) const {
    thread_local std::vector<float> page;
    page.resize(static_cast<size_t>(kCachePage * shape_.head_size));
    for (int64_t p = 0; p < n; p += kCachePage) {
      side.codec().Decode(Page(side, pages, kv_head, (first + p) / kCachePage), page.data());
      emit(p, page.data());
    }
  }

  CacheFormat format_;
  AttentionShape shape_;
  int64_t pages_;
  uint64_t seed_;
  int64_t count_ = 0;
  bool chosen_ = false;
  std::unique_ptr<CacheSide> keys_, values_;
  Buffer<uint8_t> key_pages_, value_pages_;  // [kv_head][page]
};

KvCache::KvCache(const Graph& graph, int64_t capacity, const CacheFormat& format, int first, int last)
    : format_(format), capacity_(RoundUp(capacity, kAttentionChunk)) {
  layers_.resize(graph.nodes.size());
  for (const State& state : graph.states) {
    if (state.node < first || (last >= 0 && state.node >= last)) continue;
    auto layer = std::make_unique<Layer>();
    layer->shape = ShapeOf(graph.nodes[state.node]);
    if (format.packed()) {
      layer->packed =
          std::make_unique<Packed>(format, layer->shape, capacity_, static_cast<uint64_t>(state.node) << 32);
    } else {
      Reserve(*layer, capacity_);
    }
    layers_[state.node] = std::move(layer);
  }
}

KvCache::KvCache(KvCache&&) noexcept = default;
KvCache::~KvCache() = default;

int64_t KvCache::Layer::packed_count() const {
  return packed ? packed->count() : 0;
}

CacheView KvCache::Layer::View(CacheType type) const {
  return {type, const_cast<uint8_t*>(keys.data()), const_cast<uint8_t*>(values.data()), capacity,
          packed.get()};
}

KvCache::Layer& KvCache::At(int node) {
  if (layers_[node] == nullptr) Fail("no key/value cache was made for node {}", node);
  return *layers_[node];
}

// Plain storage of `capacity` positions, of which the first `count` are those that were at `from`. Whole runs
// of kKeyLanes positions move, whatever their last ones hold.
void KvCache::MovePlain(Layer& layer, int64_t capacity, int64_t from, int64_t count) const {
  const size_t entry = static_cast<size_t>(layer.shape.head_size) * BytesOf(format_.plain);
  const auto bytes_of = [&](int64_t positions) { return static_cast<size_t>(positions) * entry; };
  for (Buffer<uint8_t>* storage : {&layer.keys, &layer.values}) {
    Buffer<uint8_t> resized;
    if (capacity != layer.capacity) resized = Buffer<uint8_t>(bytes_of(layer.shape.kv_heads * capacity));
    uint8_t* const to = capacity != layer.capacity ? resized.data() : storage->data();
    for (int64_t h = 0; h < layer.shape.kv_heads && count > 0; ++h) {
      std::memmove(to + bytes_of(h * capacity), storage->data() + bytes_of(h * layer.capacity + from),
                   bytes_of(RoundUp(count, kKeyLanes)));
    }
    if (capacity != layer.capacity) *storage = std::move(resized);
  }
  layer.capacity = capacity;
}

// Plain storage for `positions`; what is stored stays.
void KvCache::Reserve(Layer& layer, int64_t positions) const {
  if (positions > layer.capacity) MovePlain(layer, RoundUp(positions, kAttentionChunk), 0, layer.capacity);
}

void KvCache::SetLength(int64_t length) {
  if (length < 0 || length > capacity_) Fail("the context holds {} tokens, {} are needed", capacity_, length);
  length_ = length;
}

int64_t KvCache::Rewind(int64_t length) {
  length = std::min(length, length_);
  for (const auto& layer : layers_) {
    if (layer && length < layer->packed_count()) length = length / kCachePage * kCachePage;
  }
  for (const auto& layer : layers_) {
    if (!layer) continue;
    if (layer->packed) layer->packed->Truncate(length);
    layer->filled = std::min(layer->filled, length);
  }
  SetLength(length);
  return length;
}

size_t KvCache::Bytes() const {
  size_t bytes = 0;
  for (const auto& layer : layers_) {
    if (!layer) continue;
    const int64_t plain = layer->filled - layer->packed_count();
    bytes += static_cast<size_t>(plain * layer->shape.kv_heads * layer->shape.head_size) * 2 *
             BytesOf(format_.plain);
    if (layer->packed) bytes += layer->packed->bytes();
  }
  return bytes;
}

double KvCache::BytesPerPosition() const {
  double bytes = 0;
  for (const auto& layer : layers_) {
    if (!layer) continue;
    bytes += layer->packed ? static_cast<double>(layer->packed->page_bytes()) / kCachePage
                           : static_cast<double>(layer->shape.kv_heads * layer->shape.head_size * 2) *
                                 static_cast<double>(BytesOf(format_.plain));
  }
  return bytes;
}

void KvCache::Append(int node, int64_t position, const float* k, const float* v, int64_t rows) {
  Layer& layer = At(node);
  const int64_t at = position - layer.packed_count();
  if (at < 0) Fail("key/value cache: position {} is packed and cannot be written again", position);
  if (position + rows > capacity_)
    Fail("the key/value cache holds {} positions, {} are needed", capacity_, position + rows);
  if (layer.packed) Reserve(layer, at + rows);
  AppendToCache(layer.shape, layer.View(format_.plain), at, k, v, rows);
  layer.filled = position + rows;
}

void KvCache::Attend(int node, int64_t position, const float* q, float* y, int64_t rows, ThreadPool& pool) {
  Layer& layer = At(node);
  lowbit::Attend(layer.shape, layer.View(format_.plain), position, q, y, rows, pool);
  if (layer.packed && layer.filled - layer.packed->count() >= kCacheTail + kCachePage)
    PackOldest(layer, pool);
}

void KvCache::PackOldest(Layer& layer, ThreadPool& pool) const {
  const AttentionShape& shape = layer.shape;
  const int64_t n = shape.head_size, plain = layer.filled - layer.packed->count();
  const int64_t pages = (plain - kCacheTail) / kCachePage;
  const CacheView view = layer.View(format_.plain);
  if (!layer.packed->chosen()) {
    const auto size = static_cast<size_t>(n);
    std::vector<float> x[2], low[2], high[2], range[2], magnitude[2];
    for (int side = 0; side < 2; ++side) {
      x[side].resize(static_cast<size_t>(plain) * size);
      low[side].assign(size, INFINITY);
      high[side].assign(size, -INFINITY);
    }
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      ReadFromCache(shape, view, h, 0, plain, x[0].data(), x[1].data());
      for (int side = 0; side < 2; ++side) {
        for (const float* row = x[side].data(); row < x[side].data() + x[side].size(); row += size) {
          for (size_t c = 0; c < size; ++c) {
            low[side][c] = std::min(low[side][c], row[c]);
            high[side][c] = std::max(high[side][c], row[c]);
          }
        }
      }
    }
    for (int side = 0; side < 2; ++side) {
      for (size_t c = 0; c < size; ++c) {
        range[side].push_back(high[side][c] - low[side][c]);
        magnitude[side].push_back(std::max(-low[side][c], high[side][c]));
      }
    }
    layer.packed->Choose(range[0], magnitude[0], range[1], magnitude[1]);
  }
  for (int64_t page = 0; page < pages; ++page) {
    pool.Run(shape.kv_heads, [&](int64_t h, int) {
      thread_local Buffer<float> rows;
      rows.Reserve(static_cast<size_t>(2 * kCachePage * n));
      float *const k = rows.data(), *const v = k + kCachePage * n;
      ReadFromCache(shape, view, h, page * kCachePage, kCachePage, k, v);
      layer.packed->Pack(h, k, v);
    });
    layer.packed->Advance();
  }
  // What is left moves to the front. The room of a long prefill is given back, that of another tail stays.
  const int64_t left = plain - pages * kCachePage;
  MovePlain(layer, RoundUp(2 * kCacheTail + kCachePage, kAttentionChunk), pages * kCachePage, left);
}

}  // namespace lowbit
