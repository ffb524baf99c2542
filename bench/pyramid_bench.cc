// Pyramid codes, one core: decoding (index to bytes), encoding (point to index) and the search for the point
// of a normal vector. `weights` are coordinates a second of CPU time on average, `best` those of the fastest
// run.
//   bench_pyramid --benchmark_filter='decode/'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/format/pyramid.h"
#include "lowbit/kernel/pyramid_decoder.h"

namespace lowbit {
namespace {

constexpr int kPoints = 4096;

double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Sample {
  PyramidCodec codec;
  std::vector<float> x;    // normal vectors
  std::vector<int16_t> y;  // their points
  std::vector<uint64_t> indices;

  Sample(int dimension, int pulses) : codec(dimension, pulses) {
    Random random(1);
    x.resize(static_cast<size_t>(kPoints * dimension));
    y.resize(x.size());
    indices.resize(static_cast<size_t>(kPoints * codec.words()));
    for (float& v : x) v = random.Normal();
    for (size_t i = 0; i < kPoints; ++i) {
      PyramidDirection(Values(i), pulses, Point(i));
      codec.Encode(Point(i), Index(i));
    }
  }
  size_t width() const { return static_cast<size_t>(codec.dimension()); }
  std::span<const float> Values(size_t i) const { return {x.data() + i * width(), width()}; }
  std::span<int16_t> Point(size_t i) { return {y.data() + i * width(), width()}; }
  std::span<uint64_t> Index(size_t i) {
    const auto words = static_cast<size_t>(codec.words());
    return {indices.data() + i * words, words};
  }
};

void Report(benchmark::State& state, const Sample& sample) {
  state.counters["bits"] = sample.codec.bits();
  state.counters["weights"] =
      benchmark::Counter(static_cast<double>(sample.x.size()), benchmark::Counter::kIsIterationInvariantRate);
}

void DecodeAll(benchmark::State& state, int dimension, int pulses) {
  const Sample sample(dimension, pulses);
  const PyramidDecoder decoder(sample.codec);
  std::vector<int8_t> y(sample.x.size());
  double best = 1e30;
  for (auto _ : state) {
    const double start = CpuSeconds();
    decoder.Decode<int8_t>(sample.indices, y);
    best = std::min(best, CpuSeconds() - start);
    benchmark::DoNotOptimize(y.data());
  }
  Report(state, sample);
  state.counters["best"] = static_cast<double>(sample.x.size()) / best;
}

void EncodeAll(benchmark::State& state, int dimension, int pulses) {
  Sample sample(dimension, pulses);
  for (auto _ : state) {
    for (size_t i = 0; i < kPoints; ++i) sample.codec.Encode(sample.Point(i), sample.Index(i));
    benchmark::DoNotOptimize(sample.indices.data());
  }
  Report(state, sample);
}

void SearchAll(benchmark::State& state, int dimension, int pulses) {
  Sample sample(dimension, pulses);
  for (auto _ : state) {
    for (size_t i = 0; i < kPoints; ++i)
      benchmark::DoNotOptimize(PyramidDirection(sample.Values(i), pulses, sample.Point(i)));
  }
  Report(state, sample);
}

const bool registered = [] {
  constexpr int kSizes[][2] = {{8, 6},   {8, 16},  {8, 36},  {16, 4},  {16, 12},
                               {16, 27}, {16, 58}, {32, 22}, {32, 50}, {32, 105}};
  const auto add = [](const char* name, int dimension, int pulses, auto run) {
    benchmark::RegisterBenchmark(
        (std::string(name) + "/N" + std::to_string(dimension) + "/K" + std::to_string(pulses)).c_str(),
        [=](benchmark::State& state) { run(state, dimension, pulses); })
        ->Unit(benchmark::kMicrosecond);
  };
  for (const auto& [dimension, pulses] : kSizes) add("decode", dimension, pulses, DecodeAll);
  for (const auto& [dimension, pulses] : kSizes) add("encode", dimension, pulses, EncodeAll);
  for (const auto& [dimension, pulses] : kSizes) add("search", dimension, pulses, SearchAll);
  return true;
}();

}  // namespace
}  // namespace lowbit
