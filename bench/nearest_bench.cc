// Nearest-centroid search (k-means assignment, codebook encoding) against the machine's sgemm:
//   bench_nearest --benchmark_filter='assign/'
// `sgemm_share` is 2 n k d flop a second over the sgemm of two square matrices of 2048 measured just before
// and after (base/blas.h, all threads); `fma_share` the same over the multiply-add peak; `Gpairs` are 1e9
// point-centroid pairs a second, `Gpairs_core` those of one thread in a second of its CPU time
// (scripts/faiss_nearest.py 1 prints the same for FAISS).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>

#include "lowbit/base/blas.h"
#include "lowbit/base/buffer.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/kernel/nearest.h"

namespace lowbit {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Buffer<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  Buffer<float> values(static_cast<size_t>(n));
  for (float& v : values) v = random.Normal();
  return values;
}

// FLOP/s, best of three.
double SgemmPeak(ThreadPool& pool) {
  constexpr int64_t kSize = 2048;
  static const Buffer<float> a = Draw(kSize * kSize, 1), b = Draw(kSize * kSize, 2);
  static Buffer<float> c(kSize * kSize);
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const double start = Seconds();
    Gemm<float>(Transpose::kNo, Transpose::kYes, 1.0f, {a.data(), kSize, kSize}, {b.data(), kSize, kSize},
                0.0f, {c.data(), kSize, kSize}, pool);
    best = std::min(best, Seconds() - start);
  }
  return 2.0 * kSize * kSize * kSize / best;
}

// CPU seconds of this process: comparable between programs while a machine is busy.
double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void Assign(benchmark::State& state, int64_t width, int64_t k, int64_t count) {
  ThreadPool& pool = ThreadPool::Global();
  // About 4e9 multiply-adds, points beyond the cache.
  const int64_t n = std::clamp<int64_t>((int64_t{1} << 32) / (k * width), 4096, 400000);
  const Buffer<float> x = Draw(n * width, 3), c = Draw(k * width, 4);
  const MatrixView<const float> points(x.data(), n, width), centroids(c.data(), k, width);
  const std::vector<float> norms = HalfSquaredNorms(centroids);
  Buffer<uint32_t> index(static_cast<size_t>(n * count));
  const double before = SgemmPeak(pool);
  double best = 1e30, core = 1e30;
  for (auto _ : state) {
    const double start = Seconds();
    NearestCentroids(points, centroids, norms.data(), count, index.data(), nullptr, pool);
    best = std::min(best, Seconds() - start);
  }
  const double flop = 2.0 * static_cast<double>(n * k) * static_cast<double>(width);
  state.counters["GFLOPs"] = flop / best * 1e-9;
  state.counters["sgemm_share"] = flop / best / (0.5 * (before + SgemmPeak(pool)));
  state.counters["fma_share"] = flop / best / MeasureFmaPeak(pool);
  state.counters["Gpairs"] = static_cast<double>(n * k) / best * 1e-9;
  // One thread on a part of the points, so short that some runs are not interrupted.
  ThreadPool single(1);
  const int64_t part = std::min<int64_t>(n, std::max<int64_t>(1024, (int64_t{1} << 28) / (k * width)));
  for (int i = 0; i < 12; ++i) {
    const double start = CpuSeconds();
    NearestCentroids(points.Block(0, 0, part, width), centroids, norms.data(), count, index.data(), nullptr,
                     single);
    core = std::min(core, CpuSeconds() - start);
  }
  state.counters["Gpairs_core"] = static_cast<double>(part * k) / core * 1e-9;
}

const bool registered = [] {
  const auto add = [](const std::string& name, int64_t width, int64_t k, int64_t count) {
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) { Assign(state, width, k, count); })
        ->Unit(benchmark::kMillisecond)
        ->Iterations(5);
  };
  for (const auto& [width, k] : std::vector<std::pair<int64_t, int64_t>>{
           {64, 256}, {128, 256}, {128, 4096}, {384, 1024}, {768, 256}, {768, 4096}, {8, 65536}}) {
    add("assign/d" + std::to_string(width) + "/k" + std::to_string(k), width, k, 1);
  }
  for (const int64_t width : {2, 4, 8, 16}) {
    for (const int64_t k : {16, 256})
      add("subspace/d" + std::to_string(width) + "/k" + std::to_string(k), width, k, 1);
  }
  add("beam/d128/k256/top8", 128, 256, 8);
  add("beam/d8/k256/top8", 8, 256, 8);
  return true;
}();

}  // namespace
}  // namespace lowbit
