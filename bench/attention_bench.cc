// Attention over key/value caches of every format: 32 query heads, 8 key/value heads of 128 channels.
//   bench_attention --benchmark_filter='decode/tq'      LOWBIT_TARGET=avx2 forces a target,
// LOWBIT_BENCH_THREADS=1 the number of threads. decode/NAME: one token over 32768 positions of each of eight
// layers, whose caches together are far larger than the last-level cache. Time is for one layer; `MB` the
// bytes of a layer's cache; `bandwidth_share` the median over repetitions of bytes per second over the read
// bandwidth just before and after; `speedup` the f16 cache's time over this one's, both measured one right
// after the other in every repetition; `cpu_us` and `cpu_speedup` the same of the processors' time, which
// others' work disturbs less. prefill/NAME: 64 tokens at once over the same positions, one layer. fill/NAME:
// 1024 positions appended, 512 at once, and packed but for the tail; `GB_per_second` is the f32 that came in
// by the processors' time, `cpu_speedup` the f16 cache's time over this one's.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/network/llama.h"
#include "lowbit/runtime/kv_cache.h"

namespace lowbit {
namespace {

constexpr int64_t kHeads = 32, kKvHeads = 8, kHeadSize = 128, kLayers = 8, kPositions = 32768;
constexpr int64_t kPiece = 512, kPrefill = 64;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Times {
  double wall, cpu;  // seconds; of all threads together
};
Times Now() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return {Seconds(), static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec)};
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

Graph Network() {
  LlamaConfig c;
  c.vocab = 16, c.width = 64, c.layers = kLayers, c.heads = kHeads, c.kv_heads = kKvHeads,
  c.head_size = kHeadSize, c.ffn = 64, c.context = kPositions;
  return BuildLlama(c);
}

std::vector<float> Normal(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random.Normal();
  return x;
}

// A cache of kPositions positions in every layer.
class FilledCache {
 public:
  explicit FilledCache(const char* name)
      : graph_(Network()), cache_(graph_, kPositions, ParseCacheFormat(name)) {
    const std::vector<float> k = Normal(kPiece * kKvHeads * kHeadSize, 1),
                             v = Normal(kPiece * kKvHeads * kHeadSize, 2);
    query_ = Normal(kPrefill * kHeads * kHeadSize, 3);
    output_.resize(query_.size());
    ThreadPool& pool = ThreadPool::Global();
    for (const State& state : graph_.states) {
      for (int64_t p = 0; p < kPositions; p += kPiece) {
        cache_.Append(state.node, p, k.data(), v.data(), kPiece);
        // Packs what is older than the tail.
        if (cache_.format().packed())
          cache_.Attend(state.node, p + kPiece - 1, query_.data(), output_.data(), 1, pool);
      }
    }
    cache_.SetLength(kPositions);
  }

  double bytes_of_layer() const { return static_cast<double>(cache_.Bytes()) / kLayers; }

  // What one layer takes: `rows` last tokens, in `layers` layers.
  Times Attend(int64_t rows, int64_t layers) {
    const Times begin = Now();
    for (int64_t l = 0; l < layers; ++l) {
      cache_.Attend(graph_.states[static_cast<size_t>(l)].node, kPositions - rows, query_.data(),
                    output_.data(), rows, ThreadPool::Global());
    }
    const Times end = Now();
    const auto n = static_cast<double>(layers);
    return {(end.wall - begin.wall) / n, (end.cpu - begin.cpu) / n};
  }

 private:
  Graph graph_;
  KvCache cache_;
  std::vector<float> query_, output_;
};

// One layer's cache that is filled again and again.
class FreshCache {
 public:
  static constexpr int64_t kFilled = 2 * kPiece;

  explicit FreshCache(const char* name)
      : graph_(Network()),
        cache_(graph_, kFilled, ParseCacheFormat(name), 0, graph_.states[1].node),
        rows_(Normal(kPiece * kKvHeads * kHeadSize, 1)),
        query_(Normal(kHeads * kHeadSize, 3)),
        output_(query_.size()) {}

  static double bytes() { return static_cast<double>(2 * kFilled * kKvHeads * kHeadSize) * 4; }

  Times Fill() {
    const int node = graph_.states[0].node;
    cache_.Rewind(0);
    const Times begin = Now();
    for (int64_t p = 0; p < kFilled; p += kPiece) {
      cache_.Append(node, p, rows_.data(), rows_.data(), kPiece);
      cache_.Attend(node, p + kPiece - 1, query_.data(), output_.data(), 1, ThreadPool::Global());
    }
    const Times end = Now();
    return {end.wall - begin.wall, end.cpu - begin.cpu};
  }

 private:
  Graph graph_;
  KvCache cache_;
  std::vector<float> rows_, query_, output_;
};

void RunFill(benchmark::State& state, const char* name) {
  FreshCache cache(name), plain("f16");
  cache.Fill();
  plain.Fill();
  std::vector<double> cpu, speedups;
  for (auto _ : state) {
    const Times time = cache.Fill();
    cpu.push_back(time.cpu);
    speedups.push_back(plain.Fill().cpu / time.cpu);
    state.SetIterationTime(time.wall);
  }
  state.counters["cpu_us"] = Median(cpu) * 1e6;
  state.counters["GB_per_second"] = FreshCache::bytes() / Median(cpu) * 1e-9;
  state.counters["cpu_speedup"] = Median(speedups);
}

FilledCache& PlainCache() {
  static FilledCache cache("f16");
  return cache;
}

void Run(benchmark::State& state, const char* name, int64_t rows, int64_t layers) {
  ThreadPool& pool = ThreadPool::Global();
  static const Buffer<uint8_t> memory = [] {
    Buffer<uint8_t> m(size_t{1} << 30);
    std::fill(m.begin(), m.end(), uint8_t{1});
    return m;
  }();
  FilledCache& plain = PlainCache();
  std::unique_ptr<FilledCache> own;
  if (std::string_view(name) != "f16") own = std::make_unique<FilledCache>(name);
  FilledCache& cache = own ? *own : plain;
  cache.Attend(rows, 1);
  std::vector<double> shares, cpu_shares, cpu, speedups, cpu_speedups;
  // Bytes per second of reading, by the clock and by the processors.
  const auto read = [&] {
    const double begin = Now().cpu;
    const double wall = ReadBandwidth(memory, pool);
    return Times{wall, static_cast<double>(memory.size()) / (Now().cpu - begin)};
  };
  Times before = read();
  for (auto _ : state) {
    const Times time = cache.Attend(rows, layers);
    const Times after = read();
    shares.push_back(cache.bytes_of_layer() / time.wall / ((before.wall + after.wall) / 2));
    cpu_shares.push_back(cache.bytes_of_layer() / time.cpu / ((before.cpu + after.cpu) / 2));
    cpu.push_back(time.cpu);
    before = after;
    if (own) {
      const Times other = plain.Attend(rows, layers);
      speedups.push_back(other.wall / time.wall);
      cpu_speedups.push_back(other.cpu / time.cpu);
      before = read();
    }
    state.SetIterationTime(time.wall);
  }
  state.counters["MB"] = cache.bytes_of_layer() * 1e-6;
  state.counters["cpu_us"] = Median(cpu) * 1e6;
  if (rows == 1) {
    state.counters["bandwidth_share"] = Median(shares);
    state.counters["cpu_share"] = Median(cpu_shares);
  }
  if (own) {
    state.counters["speedup"] = Median(speedups);
    state.counters["cpu_speedup"] = Median(cpu_speedups);
  }
}

const int kRegistered = [] {
  if (const char* threads = std::getenv("LOWBIT_BENCH_THREADS"))
    ThreadPool::SetGlobalThreads(std::atoi(threads));
  for (const char* name :
       {"f16", "int8", "kivi4", "kivi2", "tq4", "tq3.5", "tq3", "tq2.5", "tq2", "vidkv1.5", "sign"}) {
    benchmark::RegisterBenchmark((std::string("decode/") + name).c_str(), Run, name, 1, kLayers)
        ->UseManualTime()
        ->Iterations(9)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((std::string("prefill/") + name).c_str(), Run, name, kPrefill, 1)
        ->UseManualTime()
        ->Iterations(3)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((std::string("fill/") + name).c_str(), RunFill, name)
        ->UseManualTime()
        ->Iterations(15)
        ->Unit(benchmark::kMicrosecond);
  }
  return 0;
}();

}  // namespace
}  // namespace lowbit
