// The Viterbi search of the trellis alphabets.
#include <algorithm>

#include "lowbit/base/buffer.h"
#include "lowbit/kernel/code_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_encode.cc"
#include "lowbit/kernel/simd.h"

// Once for all targets.
#ifndef LOWBIT_KERNEL_CODE_ENCODE_RINGS_
#define LOWBIT_KERNEL_CODE_ENCODE_RINGS_
namespace lowbit {

// Rings searched side by side, one a lane.
inline constexpr int kRings = 8;
// Steps before and after the seam that settle the state there: over four times the memory of the trellis.
inline constexpr int64_t kSettle = 32;
// Squared differences are integers in units of 1/kCostUnit of a squared level step, so that every target
// finds the same codes. y is bounded to a little beyond the levels: a code does not depend on how far outside
// it is.
inline constexpr float kCostUnit = 32;
inline constexpr float kLowest = -16, kHighest = 143;
// Of states that cannot be. Sums are kept small by taking off the least every kRebase steps, and a step adds
// at most (143 + 16)^2 * 32 << 4 = 1.3e7.
inline constexpr int32_t kImpossible = 1 << 29;
inline constexpr int64_t kRebase = 16;

// The coordinate, within a block, of the field of `width` bits at a step of the ring.
constexpr int CoordinateOf(int width, int step) {
  return step * width % 8 / width * (4 * width) + step * width / 8;
}

}  // namespace lowbit
#endif

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DI = hn::CappedTag<int32_t, 8>;
using DF = hn::CappedTag<float, 8>;
using Ints = hn::Vec<DI>;
constexpr int kLaneCount = static_cast<int>(hn::MaxLanes(DI()));

// One step of Viterbi's search for kLaneCount rings. The state is the 8 - k low bits of the last window
// (coordinates towards the top of the ring); a new code c enters below: window = c | state << k. The low k
// bits of a sum name the predecessor (the top bits of the window), which costs nothing to carry.
template <int kBits, int kStates>
HWY_INLINE void Step(const Ints* cost, const int32_t* before, int32_t* after) {
  const DI d;
  constexpr int kTop = 8 - 2 * kBits;
  Ints sum[kStates];
  for (int s = 0; s < kStates; ++s) {
    const auto cleared = hn::AndNot(hn::Set(d, (1 << kBits) - 1), hn::Load(d, before + s * kRings));
    sum[s] = hn::Or(cleared, hn::Set(d, s >> kTop));
  }
  for (int s = 0; s < kStates; ++s) {
    auto best = hn::Set(d, 0x7fffffff);
    for (int p = 0; p < 1 << kBits; ++p) {
      const int window = s | p << (8 - kBits);
      const int side = kBits == 4 ? window >> 4 & 1 : 0;
      const auto candidate = hn::Add(sum[window >> kBits], cost[16 * side + ((window ^ window >> 5) & 15)]);
      best = hn::Min(best, candidate);
    }
    hn::Store(best, d, after + s * kRings);
  }
}

// y (steps, kRings) -> codes (steps, kRings), the plane of one bit included. sums: (steps + 1, states,
// kRings) of room, at least 2 kSettle + 1 of them.
template <int kBits>
void Search(const CodeAlphabet& alphabet, const float* y, int64_t steps, uint8_t* codes, int32_t* sums) {
  constexpr int kStates = 1 << (8 - kBits), kMask = kStates - 1;
  const DI di;
  const DF df;
  const bool pairs = alphabet.bits == 3;
  const int levels = kBits == 4 ? 32 : 16;
  const auto size = static_cast<int64_t>(kStates * kRings);

  // `count` steps of the ring downwards from `first`, the initial sums being in sums[0].
  const auto run = [&](int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t step = (first - i % steps + steps) % steps;
      for (int lane = 0; lane < kRings; lane += kLaneCount) {
        const auto x = hn::LoadU(df, y + step * kRings + lane);
        Ints cost[32];
        for (int l = 0; l < levels; ++l) {
          const auto e = hn::Sub(x, hn::Set(df, alphabet.table[static_cast<size_t>(l)]));
          auto square = hn::Mul(e, e);
          if (pairs) {
            const auto f = hn::Sub(x, hn::Set(df, alphabet.table[static_cast<size_t>(16 + l)]));
            square = hn::Min(square, hn::Mul(f, f));
          }
          cost[l] = hn::ShiftLeft<kBits>(hn::ConvertTo(di, hn::Mul(square, hn::Set(df, kCostUnit))));
        }
        const int32_t* before = sums + i * size + lane;
        int32_t* after = sums + (i + 1) * size + lane;
        Step<kBits, kStates>(cost, before, after);
        if (i % kRebase != kRebase - 1) continue;
        auto least = hn::Load(di, after);
        for (int s = 1; s < kStates; ++s) least = hn::Min(least, hn::Load(di, after + s * kRings));
        least = hn::AndNot(hn::Set(di, (1 << kBits) - 1), least);
        for (int s = 0; s < kStates; ++s) {
          const auto sum = hn::Sub(hn::Load(di, after + s * kRings), least);
          hn::Store(sum, di, after + s * kRings);
        }
      }
    }
  };
  // The window that led to `state` after i steps.
  const auto window_of = [&](int64_t i, int lane, int state) {
    return state | (sums[i * size + state * kRings + lane] & ((1 << kBits) - 1)) << (8 - kBits);
  };

  // Once across the seam (between step 0 and the last) with any start, to learn a good state for it; the
  // round proper starts and ends there.
  std::fill(sums, sums + size, 0);
  run((kSettle - 1) % steps, 2 * kSettle);
  int seam[kRings];
  for (int lane = 0; lane < kRings; ++lane) {
    const int32_t* last = sums + 2 * kSettle * size + lane;
    int state = 0;
    for (int s = 1; s < kStates; ++s) {
      if (last[s * kRings] >> kBits < last[state * kRings] >> kBits) state = s;
    }
    for (int64_t i = 2 * kSettle; i > kSettle; --i) state = window_of(i, lane, state) >> kBits;
    seam[lane] = state;
  }
  std::fill(sums, sums + size, kImpossible);
  for (int lane = 0; lane < kRings; ++lane) sums[seam[lane] * kRings + lane] = 0;
  run(steps - 1, steps);
  for (int lane = 0; lane < kRings; ++lane) {
    int state = seam[lane];
    for (int64_t i = steps; i > 0; --i) {
      const int64_t step = steps - i;
      const int window = window_of(i, lane, state);
      int code = window & ((1 << kBits) - 1);
      if (pairs) {
        const auto index = static_cast<size_t>((window ^ window >> 5) & 15);
        const float x = y[step * kRings + lane];
        const float low = x - alphabet.table[index], high = x - alphabet.table[16 + index];
        code |= high * high < low * low ? 4 : 0;
      }
      codes[step * kRings + lane] = static_cast<uint8_t>(code);
      state = (window >> kBits) & kMask;
    }
  }
}

void SearchRings(const CodeAlphabet& alphabet, const float* y, int64_t steps, uint8_t* codes, int32_t* sums) {
  if (alphabet.bits == 1) return Search<1>(alphabet, y, steps, codes, sums);
  if (alphabet.bits == 4) return Search<4>(alphabet, y, steps, codes, sums);
  Search<2>(alphabet, y, steps, codes, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(SearchRings);

void TrellisEncode(const CodeAlphabet& alphabet, const float* y, int64_t n, int64_t blocks, uint8_t* codes) {
  const int width = alphabet.bits == 3 ? 2 : alphabet.bits;
  const int64_t steps = blocks * kCodeBlock;
  int coordinate[kCodeBlock];
  for (int step = 0; step < kCodeBlock; ++step) coordinate[step] = CoordinateOf(width, step);
  thread_local Buffer<int32_t> sums;
  thread_local Buffer<float> in;
  thread_local Buffer<uint8_t> out;
  sums.Reserve(static_cast<size_t>((std::max(steps, 2 * kSettle) + 1) * (1 << (8 - width)) * kRings));
  in.Reserve(static_cast<size_t>(steps * kRings));
  out.Reserve(static_cast<size_t>(steps * kRings));
  for (int64_t begin = 0; begin < n; begin += kRings) {
    const int count = static_cast<int>(std::min<int64_t>(kRings, n - begin));
    for (int lane = 0; lane < kRings; ++lane) {
      const float* from = y + (begin + std::min(lane, count - 1)) * steps;
      for (int64_t b = 0; b < steps; b += kCodeBlock) {
        for (int step = 0; step < kCodeBlock; ++step) {
          in[static_cast<size_t>((b + step) * kRings + lane)] =
              std::clamp(from[b + coordinate[step]], kLowest, kHighest);
        }
      }
    }
    LOWBIT_KERNEL(SearchRings)(alphabet, in.data(), steps, out.data(), sums.data());
    for (int lane = 0; lane < count; ++lane) {
      uint8_t* to = codes + (begin + lane) * steps;
      for (int64_t b = 0; b < steps; b += kCodeBlock) {
        for (int step = 0; step < kCodeBlock; ++step)
          to[b + coordinate[step]] = out[static_cast<size_t>((b + step) * kRings + lane)];
      }
    }
  }
}

}  // namespace lowbit
#endif  // HWY_ONCE
