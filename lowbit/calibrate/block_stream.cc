#include "lowbit/calibrate/block_stream.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // enough for full-speed products, little beside the hidden states

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

BlockStream::BlockStream(const Model& model, std::vector<std::vector<int32_t>> sequences, ThreadPool& pool)
    : executor_(*model.graph, pool, Arithmetic::kFloat),
      sequences_(std::move(sequences)),
      width_(model.config.width) {
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
  for (const auto& sequence : sequences_) {
    offset_.push_back(tokens_);
    tokens_ += static_cast<int64_t>(sequence.size());
  }
  hidden_ = Buffer<float>(static_cast<size_t>(tokens_ * width_));
  // The nodes before the first block, without a cache: embeddings look at one token at a time.
  weights_ = model.weights;
  const int first = blocks_.front().first;
  executor_.Load(*weights_, 0, first);
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const Segment segment{nullptr, 0, static_cast<int64_t>(sequences_[i].size())};
    executor_.Run(0, first, {&segment, 1}, sequences_[i]);
    std::memcpy(hidden_.data() + offset_[i] * width_, executor_.ValueData(blocks_.front().live_in[0]),
                sequences_[i].size() * static_cast<size_t>(width_) * sizeof(float));
  }
  executor_.Unload(0, first);
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

void BlockStream::Observe(int index, int last_node, const Observer& observer) {
  RunAll(blocks_[index], last_node + 1, &observer, Output::kDropped);
}

void BlockStream::Advance(int index, const Observer* observer) {
  RunAll(blocks_[index], blocks_[index].last, observer, Output::kKept);
}

bool BlockStream::ObserveHead(const Observer& observer) {
  const Graph& graph = executor_.graph();
  const int head = tail_.last - 1;
  if (tail_.first < blocks_.back().last || graph.nodes[head].op != Op::kLinear) return false;
  executor_.Load(*weights_, tail_.first, head);
  RunAll(tail_, head, &observer, Output::kShown);
  executor_.Unload(tail_.first, head);
  return true;
}

void BlockStream::RunAll(const Cut& cut, int last, const Observer* observer, Output output) {
  for (size_t i = 0; i < sequences_.size();) {
    CheckInterrupt();
    size_t j = i;
    int64_t rows = 0;
    std::vector<KvCache> caches;
    while (j < sequences_.size() &&
           (j == i || rows + static_cast<int64_t>(sequences_[j].size()) <= kRowsAtOnce)) {
      const auto length = static_cast<int64_t>(sequences_[j++].size());
      rows += length;
      caches.emplace_back(executor_.graph(), length, CacheType::kF32, cut.first, cut.last);
    }
    std::vector<Segment> segments;
    for (size_t k = i; k < j; ++k)
      segments.push_back({&caches[k - i], 0, static_cast<int64_t>(sequences_[k].size()), 0});
    executor_.Reserve(rows);
    float* const hidden = hidden_.data() + offset_[i] * width_;
    const size_t bytes = static_cast<size_t>(rows * width_) * sizeof(float);
    std::memcpy(executor_.ValueData(cut.live_in[0]), hidden, bytes);
    const auto count = static_cast<int64_t>(j - i);
    const Executor::Observer watch = [&](int node, const float* x, int64_t n) {
      (*observer)(node, x, n, count);
    };
    executor_.Run(cut.first, last, segments, {}, observer != nullptr ? &watch : nullptr);
    if (output == Output::kKept) std::memcpy(hidden, executor_.ValueData(cut.live_out[0]), bytes);
    if (output == Output::kShown) watch(last, executor_.ValueData(executor_.graph().nodes[last].in[0]), rows);
    i = j;
  }
}

}  // namespace lowbit
