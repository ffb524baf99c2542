// Vector codes: encoding, and scanning with a query.
//   bench_vector_code                             LOWBIT_TARGET=avx2 forces a target
// encode/NAME/D: one core; GB/s of float input, and `pass_share`, that over a pass which only reads the same
// vectors (the best of the passes just before and after). scan/NAME/D: one query against more codes than the
// caches hold, on one core; codes per second, GB/s, and `bandwidth_share` over reading the same bytes.
// batch/NAME/D: 32 queries share the decoding of each code; pairs per second. Compare trellisB with rabitqB,
// the plain code of the same bytes.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/quantize/grid_code.h"
#include "lowbit/quantize/trellis_codebook.h"
#include "lowbit/quantize/vector_code.h"

namespace lowbit {
namespace {

// Of the calling thread's processor: everything here runs on one core, which others may want too.
double Seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Bytes per second of a pass that only reads, with four streams.
double ReadRate(std::span<const uint8_t> memory) {
  ThreadPool pool(1);
  const double wall = ReadBandwidth(memory, pool);  // warms up
  const double begin = Seconds();
  uint64_t sum[4] = {};
  const size_t quarter = memory.size() / 32;
  const auto* words = reinterpret_cast<const uint64_t*>(memory.data());
  for (size_t i = 0; i < quarter; ++i) {
    for (size_t s = 0; s < 4; ++s) sum[s] += words[s * quarter + i];
  }
  benchmark::DoNotOptimize(sum);
  const double own = static_cast<double>(quarter * 32) / (Seconds() - begin);
  return std::max(own, wall);
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

Buffer<float> Vectors(int64_t n) {
  Buffer<float> x(static_cast<size_t>(n));
  Random random(3);
  for (float& v : x) v = static_cast<float>(static_cast<int32_t>(random.Next32())) * 0x1p-31f;
  return x;
}

std::span<const uint8_t> Bytes(const Buffer<float>& x) {
  return {reinterpret_cast<const uint8_t*>(x.data()), x.size() * sizeof(float)};
}

void Encode(benchmark::State& state, const char* name, int64_t dim) {
  ThreadPool pool(1);
  const auto code = MakeVectorCode(name, dim);
  // Fast codes read from memory, slow ones get less work.
  const std::string_view of = name;
  const bool slow = !of.starts_with("tq") || of.ends_with("-prod");
  const int64_t rows = (slow ? int64_t{1} << 18 : int64_t{1} << 25) / dim;
  const Buffer<float> x = Vectors(rows * dim);
  code->Train({x.data(), std::min<int64_t>(rows, 1000), dim}, pool);  // the split codes choose dimensions
  Buffer<uint8_t> codes(static_cast<size_t>(rows * code->bytes()));
  code->Encode({x.data(), rows, dim}, codes.data(), pool);
  std::vector<double> rates, shares;
  double before = ReadRate(Bytes(x));
  for (auto _ : state) {
    const double begin = Seconds();
    code->Encode({x.data(), rows, dim}, codes.data(), pool);
    const double time = Seconds() - begin;
    const double after = ReadRate(Bytes(x));
    rates.push_back(static_cast<double>(rows * dim) * sizeof(float) / time);
    shares.push_back(rates.back() / std::max(before, after));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["GB/s"] = Median(rates) * 1e-9;
  state.counters["pass_share"] = Median(shares);
  state.counters["bits"] = code->bits();
}

void ScanOne(benchmark::State& state, const char* name, int64_t dim) {
  const auto code = MakeVectorCode(name, dim);
  const int64_t n = (int64_t{256} << 20) / code->bytes();
  Buffer<uint8_t> codes(static_cast<size_t>(n * code->bytes()));
  std::fill(codes.begin(), codes.end(), uint8_t{0x35});  // any bytes are codes; the factors are finite
  const Buffer<float> query = Vectors(dim);
  const auto prepared = code->Prepare(query.data());
  std::vector<float> estimates(static_cast<size_t>(n));
  std::vector<double> rates, shares;
  double before = ReadRate(codes);
  for (auto _ : state) {
    const double begin = Seconds();
    prepared.InnerProducts(codes.data(), n, estimates.data());
    const double time = Seconds() - begin;
    const double after = ReadRate(codes);
    rates.push_back(static_cast<double>(n) / time);
    shares.push_back(static_cast<double>(codes.size()) / time / std::max(before, after));
    before = after;
    state.SetIterationTime(time);
  }
  state.counters["Mcodes/s"] = Median(rates) * 1e-6;
  state.counters["GB/s"] = Median(rates) * static_cast<double>(code->bytes()) * 1e-9;
  state.counters["bandwidth_share"] = Median(shares);
}

void ScanBatch(benchmark::State& state, const Grid& grid, int64_t dim) {
  constexpr int64_t kQueries = 32, kCodes = 20000;
  const int64_t blocks = dim / kCodeBlock, stride = CodeBytes(grid.alphabet.bits, blocks) + 2 * kFactorBytes;
  std::vector<uint8_t> codes(static_cast<size_t>(kCodes * stride), uint8_t{0x35});
  std::vector<int8_t> queries(static_cast<size_t>(kQueries * dim), int8_t{3});
  std::vector<int32_t> sums(static_cast<size_t>(kQueries * kCodes));
  for (auto _ : state) {
    ScanCodes(grid.alphabet, queries.data(), kQueries, blocks, codes.data(), stride, kCodes, sums.data());
    benchmark::DoNotOptimize(sums.data());
  }
  state.counters["Mpairs/s"] = benchmark::Counter(
      1e-6 * static_cast<double>(state.iterations()) * kQueries * kCodes, benchmark::Counter::kIsRate);
}

const int kRegistered = [] {
  const auto label = [](const char* kind, std::string name, int64_t dim) {
    return std::string(kind) + "/" + name + "/" + std::to_string(dim);
  };
  // 1000 and 1500 have no transform of their own length; 1500 takes two of 1280 a round, the dearest case.
  for (const char* name : {"tq1", "tq2", "tq3", "tq4", "tq4-rescaled", "tq2.5", "tq3.5"}) {
    for (const int64_t dim : {128, 160, 192, 384, 640, 768, 1000, 1024, 1280, 1500, 1536}) {
      benchmark::RegisterBenchmark(label("encode", name, dim).c_str(), Encode, name, dim)
          ->UseManualTime()
          ->Iterations(5)
          ->Unit(benchmark::kMillisecond);
    }
  }
  for (const char* name : {"rabitq2", "rabitq4", "tq2-prod", "tq4-prod", "qjl", "trellis1", "trellis2",
                           "trellis3", "trellis4"}) {
    for (const int64_t dim : {128, 768}) {
      benchmark::RegisterBenchmark(label("encode", name, dim).c_str(), Encode, name, dim)
          ->UseManualTime()
          ->Iterations(3)
          ->Unit(benchmark::kMillisecond);
    }
  }
  for (const int64_t dim : {128, 768}) {
    for (const char* name : {"rabitq1", "trellis1", "rabitq2", "trellis2", "rabitq3", "trellis3", "rabitq4",
                             "trellis4", "rabitq8"}) {
      benchmark::RegisterBenchmark(label("scan", name, dim).c_str(), ScanOne, name, dim)
          ->UseManualTime()
          ->Iterations(7)
          ->Unit(benchmark::kMillisecond);
    }
    for (int bits = 1; bits <= 4; ++bits) {
      benchmark::RegisterBenchmark(label("batch", "rabitq" + std::to_string(bits), dim).c_str(), ScanBatch,
                                   UniformGrid(bits), dim);
      benchmark::RegisterBenchmark(label("batch", "trellis" + std::to_string(bits), dim).c_str(), ScanBatch,
                                   TrellisGrid(bits), dim);
    }
  }
  return 0;
}();

}  // namespace
}  // namespace lowbit
