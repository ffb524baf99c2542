// The byte dot product that Highway 1.0.3 lacks, once for each instruction set:
//
//   lane r:  sum += c0 x0 + c1 x1 + c2 x2 + c3 x3     codes c unsigned, activations x in [-127, 127], exact
//   int32
//
// A Dot class gives Sum<kBits, kQuads>, the running sum over codes of kBits bits: Start, Step<i> (i-th of the
// kQuads quads before a flush) and Total, and kScaled: codes times 16 may be summed (and the sum divided)
// instead of shifting every code; kTileAtOnce<kBits>: Sum<kBits, 8> costs less than two of Sum<kBits, 4>.
// MulWords(sum, a, b) is sum + a b in every lane, for a in [-2^15, 2^15) and b in [0, 2^15) with kPositive,
// else [-2^15, 2^15). Classes:
//   HardwareDot  vpdpbusd, one instruction (AVX512_VNNI in the AVX3 target, AVX-VNNI in the AVX2 target)
//   PairDot      vpmaddubsw + vpmaddwd. vpmaddubsw saturates at 16 bits, so pairs are only added up while
//                2 * 127 * (2^kBits - 1) * steps < 32768; codes of 8 bits go through 16-bit products.
//   PlainDot     32-bit arithmetic, for any target

#if defined(LOWBIT_KERNEL_BYTE_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_BYTE_DOT_INL_H_
#undef LOWBIT_KERNEL_BYTE_DOT_INL_H_
#else
#define LOWBIT_KERNEL_BYTE_DOT_INL_H_
#endif

#include <algorithm>

#include "lowbit/kernel/panel-inl.h"
#include "lowbit/kernel/vpdpbusd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

struct HardwareDot {
  static constexpr bool kScaled = true;
  template <int kBits>
  static constexpr bool kTileAtOnce = false;
  template <int kBits, int kQuads>
  struct Sum {
    Ints total;
    HWY_INLINE void Start(const Ints& bias) { total = bias; }
    template <int i>
    HWY_INLINE void Step(const Bytes& codes, const Quad& x) {
      EachPart([&](auto p) LOWBIT_STEP { total.v[p] = DotBytes(total.v[p], codes.v[p], x); });
    }
    HWY_INLINE Ints Total() const { return total; }
  };

  template <bool kPositive>
  static HWY_INLINE Ints MulWords(const Ints& sum, const Ints& a, const Ints& b) {
    // The instruction adds the products of both halves of a lane.
    const Ints low = kPositive ? b : AndInts(b, 0xFFFF);
    return OfParts<Ints>([&](auto p) LOWBIT_STEP {
      auto total = sum.v[p].raw;
#if HWY_TARGET == HWY_AVX3
      asm("vpdpwssd %2, %1, %0" : "+v"(total) : "v"(a.v[p].raw), "v"(low.v[p].raw));
#else
      asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(total) : "x"(a.v[p].raw), "x"(low.v[p].raw));
#endif
      return hn::Vec<DI>{total};
    });
  }
};

struct PairDot {
  static constexpr bool kScaled = false;
  // Steps whose 16-bit sums cannot overflow.
  template <int kBits>
  static constexpr int kSafe = 32767 / (254 * ((1 << kBits) - 1));
  template <int kBits>
  static constexpr bool kTileAtOnce = kSafe<kBits> >= 8;
#if HWY_TARGET == HWY_AVX3
  using Raw = __m512i;
  static HWY_INLINE Raw MaddBytes(Raw u, Raw s) {
    return _mm512_maddubs_epi16(u, s);
  }
  static HWY_INLINE Raw MaddWords(Raw a, Raw b) {
    return _mm512_madd_epi16(a, b);
  }
#else
  using Raw = __m256i;
  static HWY_INLINE Raw MaddBytes(Raw u, Raw s) {
    return _mm256_maddubs_epi16(u, s);
  }
  static HWY_INLINE Raw MaddWords(Raw a, Raw b) {
    return _mm256_madd_epi16(a, b);
  }
#endif
  using DS = hn::CappedTag<int16_t, 32>;
  using Words = hn::Vec<DS>;

  template <int kBits, int kQuads>
  struct Sum {
    static constexpr int kRun = kSafe<kBits> >= kQuads ? kQuads
                                : kSafe<kBits> >= 4    ? 4
                                : kSafe<kBits> >= 2    ? 2
                                                       : 1;
    Ints total;
    Words part[kParts];

    HWY_INLINE void Start(const Ints& bias) { total = bias; }
    template <int i>
    HWY_INLINE void Step(const Bytes& codes, const Quad& x) {
      EachPart([&](auto p) LOWBIT_STEP {
        if constexpr (kBits == 8) {
          // Even and odd bytes as 16-bit numbers; compilers hoist the halves that several steps share.
          const DH dh;
          const DS ds;
          const auto c = hn::BitCast(dh, codes.v[p]);
          const auto even = hn::And(c, hn::Set(dh, 255)), odd = hn::ShiftRight<8>(c);
          const auto x16 = hn::BitCast(ds, x);
          const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(x16)), x_odd = hn::ShiftRight<8>(x16);
          const hn::Vec<DI> a{MaddWords(even.raw, x_even.raw)}, b{MaddWords(odd.raw, x_odd.raw)};
          total.v[p] = hn::Add(total.v[p], hn::Add(a, b));
        } else {
          const Words pairs{MaddBytes(codes.v[p].raw, x.raw)};
          Words run = i % kRun == 0 ? pairs : hn::Add(part[p], pairs);
          // Compilers reorder the additions until every product waits in memory for its turn.
          asm("" : "+x"(run.raw));
          part[p] = run;
          if constexpr (i % kRun == kRun - 1) {
            const hn::Vec<DI> four{MaddWords(part[p].raw, hn::Set(DS(), 1).raw)};
            total.v[p] = hn::Add(total.v[p], four);
          }
        }
      });
    }
    HWY_INLINE Ints Total() const { return total; }
  };

  template <bool kPositive>
  static HWY_INLINE Ints MulWords(const Ints& sum, const Ints& a, const Ints& b) {
    const Ints low = kPositive ? b : AndInts(b, 0xFFFF);
    return OfParts<Ints>([&](auto p) LOWBIT_STEP {
      return hn::Add(sum.v[p], hn::Vec<DI>{MaddWords(a.v[p].raw, low.v[p].raw)});
    });
  }
};

#endif

struct PlainDot {
  static constexpr bool kScaled = true;
  template <int kBits>
  static constexpr bool kTileAtOnce = false;
  template <int kBits, int kQuads>
  struct Sum {
    Ints total;
    HWY_INLINE void Start(const Ints& bias) { total = bias; }
    template <int i>
    HWY_INLINE void Step(const Bytes& codes, const Quad& x) {
      const auto mask = hn::Set(DU(), 255u);
      EachPart([&](auto p) LOWBIT_STEP {
        const auto c = hn::BitCast(DU(), codes.v[p]);
        const auto c0 = hn::And(c, mask), c1 = hn::And(hn::ShiftRight<8>(c), mask);
        const auto c2 = hn::And(hn::ShiftRight<16>(c), mask), c3 = hn::ShiftRight<24>(c);
        const auto x0 = hn::ShiftRight<24>(hn::ShiftLeft<24>(x)),
                   x1 = hn::ShiftRight<24>(hn::ShiftLeft<16>(x));
        const auto x2 = hn::ShiftRight<24>(hn::ShiftLeft<8>(x)), x3 = hn::ShiftRight<24>(x);
        const DI d;
        const auto low = hn::Add(hn::Mul(hn::BitCast(d, c0), x0), hn::Mul(hn::BitCast(d, c1), x1));
        const auto high = hn::Add(hn::Mul(hn::BitCast(d, c2), x2), hn::Mul(hn::BitCast(d, c3), x3));
        total.v[p] = hn::Add(total.v[p], hn::Add(low, high));
      });
    }
    HWY_INLINE Ints Total() const { return total; }
  };

  template <bool kPositive>
  static HWY_INLINE Ints MulWords(const Ints& sum, const Ints& a, const Ints& b) {
    return OfParts<Ints>([&](auto p) LOWBIT_STEP { return hn::Add(sum.v[p], hn::Mul(a.v[p], b.v[p])); });
  }
};

// PairDot needs to know how large codes can be: here bytes below 2^kWidth, however many bits they are stored
// in.
template <class Dot, int kWidth>
struct OfWidth : Dot {
  static constexpr bool kScaled = false;
  template <int>
  static constexpr bool kTileAtOnce = Dot::template kTileAtOnce<kWidth>;
  template <int kBits, int kQuads>
  using Sum = typename Dot::template Sum<kWidth, kQuads>;
};

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_BYTE_DOT_INL_H_
