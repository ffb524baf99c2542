#include "lowbit/calibrate/block_stream.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // enough for full-speed products, little beside the hidden states

// Floats that a stream keeps for a token. Two streams are the residual and the widest output of an attention:
// what lives between the products of a transformer block, its feed-forward layer's inside aside.
int64_t TokenRoom(const Graph& graph, int64_t width, StreamMemory memory) {
  int64_t attention = 0;
  for (const Node& node : graph.nodes) {
    if (node.op == Op::kAttention) attention = std::max(attention, graph.values[node.out[0]].shape.back());
  }
  return memory == StreamMemory::kOneStream ? width : width + std::max(width, attention);
}

}  // namespace

std::vector<std::vector<int32_t>> DrawSamples(std::span<const int32_t> tokens, const SampleOptions& options,
                                              const std::string& where) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (options.samples < 1 || options.length < 2)
    FailUsage("calibration needs at least 1 sample of at least 2 tokens");
  if (count < options.length) {
    Fail(
        "{}: the calibration text has {} tokens, one sample needs {}; give a longer text or a smaller "
        "--length",
        where, count, options.length);
  }
  std::vector<std::vector<int32_t>> samples;
  for (int64_t i = 0; i < options.samples; ++i) {
    Random random(options.seed, static_cast<uint64_t>(i));
    const auto start =
        static_cast<std::ptrdiff_t>(random.Below(static_cast<uint64_t>(count - options.length + 1)));
    samples.emplace_back(tokens.begin() + start, tokens.begin() + start + options.length);
  }
  return samples;
}

BlockStream::BlockStream(const Model& model, std::vector<std::vector<int32_t>> sequences, StreamMemory memory,
                         ThreadPool& pool)
    : executor_(*model.graph, pool, Arithmetic::kFloat),
      weights_(model.weights),
      sequences_(std::move(sequences)),
      token_room_(TokenRoom(*model.graph, model.config.width, memory)) {
  for (const Cut& cut : Partition(*model.graph)) {
    if (cut.block < 0) {
      tail_ = cut;
      continue;
    }
    if (cut.live_in.size() != 1 || cut.live_out.size() != 1) {
      Fail("block {} exchanges {} and {} values with its neighbours; streaming needs one each", cut.block,
           cut.live_in.size(), cut.live_out.size());
    }
    blocks_.push_back(cut);
  }
  if (blocks_.empty()) Fail("{}: the network has no blocks to stream", model.path.string());
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const auto length = static_cast<int64_t>(sequences_[i].size());
    if (batches_.empty() || batches_.back().rows + length > kRowsAtOnce)
      batches_.push_back({i, i, tokens_, 0});
    batches_.back().last = i + 1;
    batches_.back().rows += length;
    tokens_ += length;
  }
  kept_ = Buffer<float>(static_cast<size_t>(tokens_ * token_room_));
  // The nodes before the first block: embeddings look at one token at a time.
  const Cut before{.block = -1, .first = 0, .last = blocks_.front().first, .live_in = {}, .live_out = {}};
  executor_.Load(*weights_, before.first, before.last);
  Pass(before, before.last, {}, {});
  executor_.Unload(before.first, before.last);
}

size_t BlockStream::KeptBytes(const Model& model, int64_t tokens, StreamMemory memory) {
  return static_cast<size_t>(tokens * TokenRoom(*model.graph, model.config.width, memory)) * sizeof(float);
}

void BlockStream::Load(int index) {
  executor_.Load(*weights_, blocks_[index].first, blocks_[index].last);
}

void BlockStream::Unload(int index) {
  executor_.Unload(blocks_[index].first, blocks_[index].last);
  const Graph& graph = executor_.graph();
  for (int i = blocks_[index].first; i < blocks_[index].last; ++i) {
    for (int v : graph.nodes[i].in) {
      if (graph.values[v].kind == ValueKind::kWeight) weights_->Release(graph.values[v].name);
    }
  }
}

void BlockStream::Observe(int index, std::span<const int> nodes, const Observer& observer) {
  Pass(blocks_[index], KeepPoint(nodes.front()), nodes, observer);
}

void BlockStream::Advance(int index, std::span<const int> nodes, const Observer& observer) {
  Pass(blocks_[index], blocks_[index].last, nodes, observer);
}

bool BlockStream::ObserveHead(const Observer& observer) {
  const int head = tail_.last - 1;
  if (tail_.first < blocks_.back().last || executor_.graph().nodes[head].op != Op::kLinear) return false;
  executor_.Load(*weights_, tail_.first, head);
  Pass(tail_, -1, {&head, 1}, observer);
  executor_.Unload(tail_.first, head);
  return true;
}

int64_t BlockStream::WidthAt(int node) const {
  int64_t width = 0;
  for (const int v : LiveAt(executor_.graph(), node)) width += executor_.graph().values[v].shape.back();
  return width;
}

int BlockStream::KeepPoint(int node) const {
  for (; node > position_; --node) {
    if (WidthAt(node) <= token_room_) return node;
  }
  return -1;
}

void BlockStream::Pass(const Cut& range, int keep_at, std::span<const int> nodes, const Observer& observer) {
  const Graph& graph = executor_.graph();
  const auto move = [&](int node, const Batch& batch, bool keep) {
    float* kept = kept_.data() + batch.row * token_room_;
    for (const int v : LiveAt(graph, node)) {
      if (graph.values[v].kind == ValueKind::kTokens) continue;
      const int64_t size = batch.rows * graph.values[v].shape.back();
      float* const data = executor_.ValueData(v);
      std::memcpy(keep ? kept : data, keep ? data : kept, static_cast<size_t>(size) * sizeof(float));
      kept += size;
    }
  };
  for (const Batch& batch : batches_) {
    CheckInterrupt();
    std::vector<KvCache> caches;
    std::vector<int32_t> tokens;
    caches.reserve(batch.last - batch.first);
    std::vector<Segment> segments;
    for (size_t i = batch.first; i < batch.last; ++i) {
      const auto length = static_cast<int64_t>(sequences_[i].size());
      caches.emplace_back(graph, length, CacheType::kF32, range.first, range.last);
      segments.push_back({&caches.back(), 0, length, 0});
      if (position_ == 0) tokens.insert(tokens.end(), sequences_[i].begin(), sequences_[i].end());
    }
    executor_.Reserve(batch.rows);
    move(position_, batch, false);
    int from = position_;
    const auto run_to = [&](int node) {
      executor_.Run(from, node, segments, tokens);
      from = node;
    };
    bool to_keep = keep_at >= 0;
    const auto keep = [&] {
      run_to(keep_at);
      move(keep_at, batch, true);
      to_keep = false;
    };
    for (const int node : nodes) {
      if (to_keep && node >= keep_at) keep();
      run_to(node);
      observer(node, executor_.ValueData(graph.nodes[node].in[0]), batch.rows,
               static_cast<int64_t>(segments.size()));
    }
    if (to_keep) keep();
  }
  if (keep_at >= 0) position_ = keep_at;
}

}  // namespace lowbit
