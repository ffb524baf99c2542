// Codes in and out of memory, and rounding to tables, on one core:
//   bench_table --benchmark_filter=pack
// `codes/s` counts codes (one byte a code), `values/s` floats. Arrays of 64 Ki codes: caches, not memory.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/format/scalar_format.h"
#include "lowbit/format/trit_packing.h"
#include "lowbit/kernel/code_packing.h"
#include "lowbit/kernel/table_rounding.h"

namespace lowbit {
namespace {

constexpr size_t kCodes = size_t{64} << 10;

std::vector<uint8_t> RandomCodes(uint64_t below) {
  Random random(1);
  std::vector<uint8_t> codes(kCodes);
  for (uint8_t& c : codes) c = static_cast<uint8_t>(random.Below(below));
  return codes;
}

void Count(benchmark::State& state, const char* what) {
  state.counters[what] =
      benchmark::Counter(static_cast<double>(kCodes), benchmark::Counter::kIsIterationInvariantRate);
}

void Pack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  const std::vector<uint8_t> codes = RandomCodes(uint64_t{1} << bits);
  std::vector<uint8_t> bytes(PackedBytes(kCodes, bits));
  for (auto _ : state) {
    PackBits(codes, bits, bytes);
    benchmark::ClobberMemory();
  }
  Count(state, "codes/s");
}

void Unpack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  std::vector<uint8_t> codes = RandomCodes(uint64_t{1} << bits), bytes(PackedBytes(kCodes, bits));
  PackBits(codes, bits, bytes);
  for (auto _ : state) {
    UnpackBits(bytes, bits, codes);
    benchmark::ClobberMemory();
  }
  Count(state, "codes/s");
}

void PackTrit(benchmark::State& state) {
  const std::vector<uint8_t> codes = RandomCodes(3);
  std::vector<uint8_t> bytes(TritBytes(kCodes));
  for (auto _ : state) {
    PackTernary(codes, bytes);
    benchmark::ClobberMemory();
  }
  Count(state, "codes/s");
}

void UnpackTrit(benchmark::State& state) {
  std::vector<uint8_t> codes = RandomCodes(3), bytes(TritBytes(kCodes));
  PackTernary(codes, bytes);
  for (auto _ : state) {
    UnpackTernary(bytes, codes);
    benchmark::ClobberMemory();
  }
  Count(state, "codes/s");
}

void Round(benchmark::State& state, const char* name) {
  const Table table = TableOf(ParseScalarFormat(name).alphabet);
  const TableRounder rounder(table);
  Random random(2);
  std::vector<float> x(kCodes);
  for (float& v : x) v = random.Normal() * table.MaxMagnitude() / 3;
  std::vector<uint8_t> codes(kCodes);
  for (auto _ : state) {
    rounder.Round(x.data(), kCodes, 1.0f, codes.data());
    benchmark::ClobberMemory();
  }
  Count(state, "values/s");
}

BENCHMARK(Pack)->Name("pack")->DenseRange(1, 8);
BENCHMARK(Unpack)->Name("unpack")->DenseRange(1, 8);
BENCHMARK(PackTrit)->Name("pack/1.6");
BENCHMARK(UnpackTrit)->Name("unpack/1.6");
BENCHMARK_CAPTURE(Round, ternary, "ternary")->Name("round/ternary");
BENCHMARK_CAPTURE(Round, int3, "int3")->Name("round/int3");
BENCHMARK_CAPTURE(Round, e2m1, "e2m1")->Name("round/e2m1");
BENCHMARK_CAPTURE(Round, nf4, "nf4")->Name("round/nf4");
BENCHMARK_CAPTURE(Round, e3m2, "e3m2")->Name("round/e3m2");
BENCHMARK_CAPTURE(Round, e4m3, "e4m3")->Name("round/e4m3");

}  // namespace
}  // namespace lowbit
