#include "lowbit/kernel/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "lowbit/base/buffer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/limits.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/chunk-inl.h"
#include "lowbit/kernel/tile_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Reads four streams of `bytes` / 4 in step; the result keeps the loads alive.
uint64_t ReadStreams(const uint8_t* p, size_t bytes) {
  const hn::ScalableTag<uint64_t> d;
  constexpr size_t kBytes = hn::MaxLanes(d) * 8;
  const size_t quarter = bytes / 4 / 256 * 256;
  auto sum = hn::Zero(d);
  for (size_t i = 0; i + 256 <= quarter; i += 256) {
    for (int s = 0; s < 4; ++s) {
      const uint8_t* from = p + static_cast<size_t>(s) * quarter + i;
      for (size_t j = 0; j < 256; j += kBytes) {
        sum = hn::Xor(sum, hn::LoadU(d, reinterpret_cast<const uint64_t*>(from + j)));
      }
    }
  }
  return hn::GetLane(sum);
}

// Products of full tiles, two operations a byte; where there are none, nothing is called.
double TileRounds(int64_t rounds, float* sink) {
#if HWY_TARGET == HWY_AVX3
  alignas(64) int8_t x[1024];
  alignas(64) uint8_t codes[1024];
  std::fill_n(x, 1024, static_cast<int8_t>(rounds & 1));
  std::fill_n(codes, 1024, static_cast<uint8_t>(rounds & 1));
  alignas(64) int32_t sums[256];
  TileDot::Configure(/*level=*/2, kTileTokens);
  LoadTile<kXTile>(x, 64);
  LoadTile<kCodeTile>(codes, 64);
  Unroll<0, kSumTiles>([](auto i) LOWBIT_STEP { ZeroTile<kSumTile + decltype(i)::value>(); });
  for (int64_t r = 0; r < rounds; ++r) {
    Unroll<0, kSumTiles>(
        [](auto i) LOWBIT_STEP { DotTiles<true, kSumTile + decltype(i)::value, kXTile, kCodeTile>(); });
  }
  StoreTile<kSumTile>(sums);
  TileDot::Release();
  *sink = static_cast<float>(sums[rounds & 255]);
  return static_cast<double>(rounds) * kSumTiles * 2 * kTileTokens * kPanelRows * 64;
#else
  *sink = 0;
  return static_cast<double>(rounds);
#endif
}

#if LOWBIT_VECTOR_TARGET

// Both loops: independent chains that start apart, or the compiler would keep one; two operations a byte or
// lane.
template <class Dot>
double DotLoop(int64_t rounds, float* sink) {
  using Sum = typename Dot::template Sum<4, 8>;
  constexpr int kChains = HWY_TARGET == HWY_AVX3 ? 12 : 4;
  Sum sum[kChains];
  Unroll<0, kChains>([&](auto i) LOWBIT_STEP { sum[i].Start(SetInts(i)); });
  alignas(64) uint8_t bytes[64];
  std::fill_n(bytes, 64, static_cast<uint8_t>(rounds & 1));
  const Bytes codes = LoadBytes(bytes);
  Quad x = hn::Set(DI(), static_cast<int32_t>(rounds & 0x01010101));
  for (int64_t r = 0; r < rounds; ++r) {
    Unroll<0, 8>([&](auto q) LOWBIT_STEP {
      Unroll<0, kChains>([&](auto i) LOWBIT_STEP {
      // The operand might have changed, for all the compiler knows: no product is computed once for all
      // rounds.
#if HWY_TARGET == HWY_AVX3
        asm("" : "+v"(x.raw));
#elif HWY_TARGET == HWY_AVX2
        asm("" : "+x"(x.raw));
#endif
        sum[i].template Step<decltype(q)::value>(codes, x);
      });
    });
  }
  Unroll<0, kChains>([&](auto i) LOWBIT_STEP { StoreFloats(ToFloats(sum[i].Total()), sink + i * 16); });
  return static_cast<double>(rounds) * 8 * kChains * 128;
}

double DotRounds(int64_t rounds, bool byte_dot, float* sink) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return byte_dot ? DotLoop<HardwareDot>(rounds, sink) : DotLoop<PairDot>(rounds, sink);
#else
  (void)byte_dot;
  return DotLoop<PlainDot>(rounds, sink);
#endif
}

double FmaRounds(int64_t rounds, float* sink) {
  constexpr int kChains = HWY_TARGET == HWY_AVX3 ? 12 : 6;
  Floats sum[kChains];
  Unroll<0, kChains>([&](auto i) LOWBIT_STEP { sum[i] = SetFloats(static_cast<float>(i)); });
  const Floats a = SetFloats(static_cast<float>(rounds & 3)), b = SetFloats(0.5f);
  for (int64_t r = 0; r < rounds; ++r) {
    Unroll<0, kChains>([&](auto i) LOWBIT_STEP { sum[i] = MulAdd(a, b, sum[i]); });
    Unroll<0, kChains>([&](auto i) LOWBIT_STEP { sum[i] = MulAdd(b, a, sum[i]); });
  }
  Unroll<0, kChains>([&](auto i) LOWBIT_STEP { StoreFloats(sum[i], sink + i * 16); });
  return static_cast<double>(rounds) * 2 * kChains * 32;
}

#else

double DotRounds(int64_t rounds, bool, float* sink) {
  int32_t sum[64] = {};
  int8_t x[64];
  uint8_t codes[64];
  std::memset(x, static_cast<int>(rounds & 3), 64);
  std::memset(codes, static_cast<int>(rounds & 1), 64);
  for (int64_t r = 0; r < rounds; ++r) {
    for (int i = 0; i < 64; ++i) sum[i] += codes[i] * x[i];
    asm volatile("" : "+m"(sum), "+m"(x));
  }
  *sink = static_cast<float>(sum[5]);
  return static_cast<double>(rounds) * 128;
}

double FmaRounds(int64_t rounds, float* sink) {
  float sum[32] = {}, a[32] = {};
  for (int64_t r = 0; r < rounds; ++r) {
    for (int i = 0; i < 32; ++i) sum[i] += a[i] * 0.5f;
    asm volatile("" : "+m"(sum), "+m"(a));
  }
  *sink = sum[3];
  return static_cast<double>(rounds) * 64;
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(ReadStreams);
HWY_EXPORT(DotRounds);
HWY_EXPORT(TileRounds);
HWY_EXPORT(FmaRounds);

namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::atomic<uint64_t> kept;  // results that must not be optimised away

// Operations per second of `work` (rounds, sink) on every thread, best of five runs of about 10 ms.
template <typename Work>
double Peak(ThreadPool& pool, Work work) {
  const int threads = pool.threads();
  double best = 0;
  int64_t rounds = 1000;
  for (int repeat = 0; repeat < 5;) {
    std::atomic<int64_t> operations{0};
    const double begin = Seconds();
    pool.Run(threads, [&](int64_t, int) {
      float sink[256];
      operations += static_cast<int64_t>(work(rounds, sink));
      kept += static_cast<uint64_t>(sink[0]);
    });
    const double time = Seconds() - begin;
    if (time < 0.01) {
      rounds = std::max(rounds * 2, static_cast<int64_t>(static_cast<double>(rounds) * 0.012 / time));
      continue;
    }
    best = std::max(best, static_cast<double>(operations) / time);
    ++repeat;
  }
  return best;
}

}  // namespace

double ReadBandwidth(std::span<const uint8_t> memory, ThreadPool& pool) {
  const auto read = LOWBIT_KERNEL(ReadStreams);
  // Slices short enough to balance the threads, long enough for the prefetchers.
  constexpr size_t kSlice = size_t{4} << 20;
  const auto slices = static_cast<int64_t>((memory.size() + kSlice - 1) / kSlice);
  const double begin = Seconds();
  pool.Run(slices, [&](int64_t i, int) {
    const size_t from = static_cast<size_t>(i) * kSlice;
    kept += read(memory.data() + from, std::min(kSlice, memory.size() - from));
  });
  return static_cast<double>(memory.size()) / (Seconds() - begin);
}

double MeasureReadBandwidth(ThreadPool& pool, size_t bytes) {
  Buffer<uint8_t> memory(bytes);
  std::memset(memory.data(), 1, bytes);
  double best = 0;
  for (int i = 0; i < 3; ++i) best = std::max(best, ReadBandwidth(memory, pool));
  return best;
}

double MeasureDotPeak(ThreadPool& pool) {
  const auto rounds = LOWBIT_KERNEL(DotRounds);
  const bool byte_dot = HasByteDot(CurrentTarget());
  return Peak(pool, [&](int64_t n, float* sink) { return rounds(n, byte_dot, sink); });
}

double MeasureTilePeak(ThreadPool& pool) {
  return HasTileDot(CurrentTarget()) ? Peak(pool, LOWBIT_KERNEL(TileRounds)) : 0;
}

double MeasureFmaPeak(ThreadPool& pool) {
  return Peak(pool, LOWBIT_KERNEL(FmaRounds));
}

double MeasureReferenceClock() {
#if HWY_ARCH_X86
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const uint64_t first = __builtin_ia32_rdtsc();
  while (Clock::now() - begin < std::chrono::milliseconds(20)) {
  }
  const auto ticks = static_cast<double>(__builtin_ia32_rdtsc() - first);
  return ticks / std::chrono::duration<double>(Clock::now() - begin).count();
#else
  return 0;
#endif
}

}  // namespace lowbit
#endif  // HWY_ONCE
