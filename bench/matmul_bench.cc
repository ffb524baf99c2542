// Packed products against the limits of this machine, measured around them:
//   bench_matmul --benchmark_filter='decode/int4-g32'    LOWBIT_TARGET=avx2 forces a target
// decode: one token through distinct 2048 x 5632 matrices of more than 1 GiB; `bandwidth_share` is the median
// over repetitions of bytes per second over the read bandwidth just before and after. prefill: 512 tokens;
// `peak_share` is over the byte-dot peak of vectors in the same way; products of tiles (avx512-amx) can
// exceed it.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/float16.h"
#include "lowbit/kernel/float_matmul.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

constexpr int64_t kRows = 2048, kCols = 5632;
constexpr size_t kMemory = size_t{1200} << 20;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// One run of bytes for all benchmarks: any bytes are valid codes, and the f16 values stay finite.
Buffer<uint8_t>& Memory() {
  static Buffer<uint8_t> memory = [] {
    Buffer<uint8_t> m(kMemory);
    const uint16_t pattern[4] = {FloatToF16(0.01f), FloatToF16(0.02f), FloatToF16(0.015f), FloatToF16(0.03f)};
    for (size_t i = 0; i + 8 <= kMemory; i += 8) std::memcpy(m.data() + i, pattern, 8);
    return m;
  }();
  return memory;
}

std::vector<float> Activations(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<int>(i * 7919 % 201) - 100) * 0.01f;
  return x;
}

void Decode(benchmark::State& state, const char* name) {
  ThreadPool& pool = ThreadPool::Global();
  const auto format = std::get<PackedFormat>(ParseFormat(name));
  const size_t bytes = (PackedLayout(format, kRows, kCols).bytes + 4095) / 4096 * 4096;
  const size_t count = kMemory / bytes;
  std::vector<PackedMatrix> matrices;
  for (size_t i = 0; i < count; ++i)
    matrices.emplace_back(format, kRows, kCols, Memory().data() + i * bytes, bytes);
  const std::vector<float> x = Activations(kCols);
  std::vector<float> y(kRows);
  QuantizedActivations q;
  q.Quantize(x.data(), 1, kCols, kCols, pool);
  const std::span<const uint8_t> all(Memory().data(), count * bytes);
  std::vector<double> shares, rates;
  double before = ReadBandwidth(all, pool);
  for (auto _ : state) {
    const double begin = Seconds();
    for (const PackedMatrix& w : matrices) MatMul(w, q, y.data(), kRows, pool);
    const double time = Seconds() - begin;
    const double after = ReadBandwidth(all, pool);
    rates.push_back(static_cast<double>(all.size()) / time);
    shares.push_back(rates.back() / ((before + after) / 2));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["bandwidth_share"] = Median(shares);
  state.counters["GB/s"] = Median(rates) * 1e-9;
}

void Prefill(benchmark::State& state, const char* name) {
  ThreadPool& pool = ThreadPool::Global();
  constexpr int64_t kTokens = 512;
  const auto format = std::get<PackedFormat>(ParseFormat(name));
  const PackedMatrix w(format, kRows, kCols, Memory().data(), kMemory);
  const std::vector<float> x = Activations(kTokens * kCols);
  Buffer<float> y(kTokens * kRows);
  QuantizedActivations q;
  q.Quantize(x.data(), kTokens, kCols, kCols, pool);
  MatMul(w, q, y.data(), kRows, pool);
  std::vector<double> shares, rates;
  double before = MeasureDotPeak(pool);
  for (auto _ : state) {
    const double begin = Seconds();
    MatMul(w, q, y.data(), kRows, pool);
    const double time = Seconds() - begin;
    const double after = MeasureDotPeak(pool);
    rates.push_back(2.0 * kTokens * kRows * kCols / time);
    shares.push_back(rates.back() / ((before + after) / 2));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["peak_share"] = Median(shares);
  state.counters["Gop/s"] = Median(rates) * 1e-9;
}

void FloatPrefill(benchmark::State& state, DType type) {
  ThreadPool& pool = ThreadPool::Global();
  constexpr int64_t kTokens = 512;
  const FloatMatrix w{type, kRows, kCols, Memory().data()};
  const std::vector<float> x = Activations(kTokens * kCols);
  Buffer<float> y(kTokens * kRows);
  std::vector<double> shares;
  double before = MeasureFmaPeak(pool);
  for (auto _ : state) {
    const double begin = Seconds();
    MatMul(w, x.data(), kTokens, kCols, y.data(), kRows, pool);
    const double time = Seconds() - begin;
    const double after = MeasureFmaPeak(pool);
    shares.push_back(2.0 * kTokens * kRows * kCols / time / ((before + after) / 2));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["peak_share"] = Median(shares);
}

void FloatDecode(benchmark::State& state, DType type) {
  ThreadPool& pool = ThreadPool::Global();
  const size_t bytes = SizeOf(type) * kRows * kCols, count = kMemory / bytes;
  const std::vector<float> x = Activations(kCols);
  std::vector<float> y(kRows);
  const std::span<const uint8_t> all(Memory().data(), count * bytes);
  std::vector<double> shares;
  double before = ReadBandwidth(all, pool);
  for (auto _ : state) {
    const double begin = Seconds();
    for (size_t i = 0; i < count; ++i) {
      MatMul(FloatMatrix{type, kRows, kCols, all.data() + i * bytes}, x.data(), 1, kCols, y.data(), kRows,
             pool);
    }
    const double time = Seconds() - begin;
    const double after = ReadBandwidth(all, pool);
    shares.push_back(static_cast<double>(all.size()) / time / ((before + after) / 2));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["bandwidth_share"] = Median(shares);
}

void PackedF32Prefill(benchmark::State& state, const char* name) {
  ThreadPool& pool = ThreadPool::Global();
  constexpr int64_t kTokens = 512;
  const PackedMatrix w(std::get<PackedFormat>(ParseFormat(name)), kRows, kCols, Memory().data(), kMemory);
  const std::vector<float> x = Activations(kTokens * kCols);
  Buffer<float> y(kTokens * kRows);
  std::vector<double> shares;
  double before = MeasureFmaPeak(pool);
  for (auto _ : state) {
    const double begin = Seconds();
    MatMulF32(w, x.data(), kTokens, kCols, y.data(), kRows, pool);
    const double time = Seconds() - begin;
    const double after = MeasureFmaPeak(pool);
    shares.push_back(2.0 * kTokens * kRows * kCols / time / ((before + after) / 2));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["peak_share"] = Median(shares);
}

void QuantizeActivations(benchmark::State& state) {
  ThreadPool pool(1);
  constexpr int64_t kTokens = 64;
  const std::vector<float> x = Activations(kTokens * kCols);
  QuantizedActivations q;
  for (auto _ : state) q.Quantize(x.data(), kTokens, kCols, kCols, pool);
  state.SetItemsProcessed(state.iterations() * kTokens * kCols);
}

const int kRegistered = [] {
  const char* const kFormats[] = {
      "int8",     "int8-g32", "int6-g64",  "q6_k",           "int5-g64", "int5-g32", "q5_k",       "int4-g32",
      "q4_1",     "q4_k",     "int4-g128", "int4-g128-asym", "int3-g64", "int3-g32", "q3_k",       "int2-g64",
      "int2-g32", "q2_k",     "nf4-g32",   "nf4-g64",        "mxfp4",    "nvfp4",    "ternary-g64"};
  for (const char* name : kFormats) {
    benchmark::RegisterBenchmark((std::string("decode/") + name).c_str(), Decode, name)
        ->UseManualTime()
        ->Iterations(7)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((std::string("prefill/") + name).c_str(), Prefill, name)
        ->UseManualTime()
        ->Iterations(9)
        ->Unit(benchmark::kMillisecond);
  }
  for (const auto& [name, type] :
       {std::pair{"f32", DType::kF32}, {"bf16", DType::kBF16}, {"f16", DType::kF16}}) {
    benchmark::RegisterBenchmark((std::string("decode/") + name).c_str(), FloatDecode, type)
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((std::string("prefill/") + name).c_str(), FloatPrefill, type)
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RegisterBenchmark("prefill_f32_activations/int4-g32", PackedF32Prefill, "int4-g32")
      ->UseManualTime()
      ->Iterations(5)
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("quantize_activations", QuantizeActivations);
  return 0;
}();

}  // namespace
}  // namespace lowbit
