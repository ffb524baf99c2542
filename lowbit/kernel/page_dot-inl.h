// Byte dot products for cache pages (page_product.h): levels in registers, four integers at an address that
// all lanes share.
//
//   KeySum    lane r:  sum += l0 x0 + l1 x1 + l2 x2 + l3 x3    levels 0 ... 127 (kWide: 0 ... 255),
//                                                              x -127 ... 127
//   ValueSum  the same with levels -128 ... 127 and x 0 ... 127; of levels -127 ... 127 unless the Dot is
//             HardwareDot, where nothing saturates, or kWide
//
// HardwareDot's steps are volatile: compilers would move all broadcasts to the front and run out of
// registers.

#if defined(LOWBIT_KERNEL_PAGE_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_PAGE_DOT_INL_H_
#undef LOWBIT_KERNEL_PAGE_DOT_INL_H_
#else
#define LOWBIT_KERNEL_PAGE_DOT_INL_H_
#endif

#include "lowbit/kernel/byte_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

#if HWY_TARGET != HWY_AVX2 && HWY_TARGET != HWY_AVX3
struct HardwareDot;  // there is none
#endif

using DI16 = hn::CappedTag<int16_t, 32>;

// Even and odd bytes as 16-bit numbers.
HWY_INLINE hn::Vec<DI16> EvenUnsigned(hn::Vec<DB> b) {
  return hn::BitCast(DI16(), hn::And(hn::BitCast(DH(), b), hn::Set(DH(), 255)));
}
HWY_INLINE hn::Vec<DI16> OddUnsigned(hn::Vec<DB> b) {
  return hn::BitCast(DI16(), hn::ShiftRight<8>(hn::BitCast(DH(), b)));
}
HWY_INLINE hn::Vec<DI16> EvenSigned(hn::Vec<DB> b) {
  return hn::ShiftRight<8>(hn::ShiftLeft<8>(hn::BitCast(DI16(), b)));
}
HWY_INLINE hn::Vec<DI16> OddSigned(hn::Vec<DB> b) {
  return hn::ShiftRight<8>(hn::BitCast(DI16(), b));
}
// lane: sum of the four products of bytes, the first operand unsigned.
template <class Dot, bool kWide>
HWY_INLINE hn::Vec<DI> DotUnsignedSigned(hn::Vec<DB> u, hn::Vec<DB> s) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if constexpr (!kWide) {
    // 2 * 127 * 128 is the greatest sum of a pair.
    return hn::Vec<DI>{Dot::MaddWords(Dot::MaddBytes(u.raw, s.raw), hn::Set(DI16(), 1).raw)};
  } else {
    return hn::Add(hn::Vec<DI>{Dot::MaddWords(EvenUnsigned(u).raw, EvenSigned(s).raw)},
                   hn::Vec<DI>{Dot::MaddWords(OddUnsigned(u).raw, OddSigned(s).raw)});
  }
#else
  // Products are below 2^15 (at most 255 * 127), their sums are not.
  const auto even = hn::Mul(EvenUnsigned(u), EvenSigned(s)), odd = hn::Mul(OddUnsigned(u), OddSigned(s));
  const auto low = [](hn::Vec<DI16> v)
                       HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(DI(), v))); };
  const auto high = [](hn::Vec<DI16> v) HWY_ATTR { return hn::ShiftRight<16>(hn::BitCast(DI(), v)); };
  return hn::Add(hn::Add(low(even), high(even)), hn::Add(low(odd), high(odd)));
#endif
}

template <class Dot, bool kWide>
struct KeySum {
  Ints total;
  HWY_INLINE void Start(const Ints& bias) { total = bias; }
  HWY_INLINE void Step(const Bytes& levels, const int8_t* x) {
    EachPart([&](auto p) LOWBIT_STEP {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
      if constexpr (std::is_same_v<Dot, HardwareDot>) {
        auto sum = total.v[p].raw;
        const auto* four = reinterpret_cast<const int8_t(*)[4]>(x);
#if HWY_TARGET == HWY_AVX3
        asm volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(levels.v[p].raw), "m"(*four));
#else
        __m256i all;
        asm volatile(
            "vpbroadcastd %3, %1\n\t"
            "%{vex%} vpdpbusd %1, %2, %0"
            : "+x"(sum), "=&x"(all)
            : "x"(levels.v[p].raw), "m"(*four));
#endif
        total.v[p].raw = sum;
        return;
      }
#endif
      if constexpr (!std::is_same_v<Dot, HardwareDot>) {
        const auto all = hn::BitCast(DB(), LoadQuad(x));
        total.v[p] = hn::Add(total.v[p], DotUnsignedSigned<Dot, kWide>(levels.v[p], all));
      }
    });
  }
};

// Four integers for all lanes.
template <class Dot>
HWY_INLINE Quad Broadcast(const int8_t* x) {
#if HWY_TARGET == HWY_AVX3
  Quad four;
  asm volatile("vpbroadcastd %1, %0" : "=v"(four.raw) : "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
  return four;
#elif HWY_TARGET == HWY_AVX2
  Quad four;
  asm volatile("vpbroadcastd %1, %0" : "=x"(four.raw) : "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
  return four;
#else
  return LoadQuad(x);
#endif
}

template <class Dot, bool kWide>
struct ValueSum {
  Ints total;
  HWY_INLINE void Start(const Ints& bias) { total = bias; }
  HWY_INLINE void Step(const Bytes& levels, const Quad& x) {
    EachPart([&](auto p) LOWBIT_STEP {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
      if constexpr (std::is_same_v<Dot, HardwareDot>) {
        auto sum = total.v[p].raw;
#if HWY_TARGET == HWY_AVX3
        asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x.raw), "v"(levels.v[p].raw));
#else
        asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x.raw), "x"(levels.v[p].raw));
#endif
        total.v[p].raw = sum;
        return;
      }
#endif
      if constexpr (!std::is_same_v<Dot, HardwareDot>)
        total.v[p] = hn::Add(total.v[p], DotUnsignedSigned<Dot, kWide>(hn::BitCast(DB(), x), levels.v[p]));
    });
  }
};

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_PAGE_DOT_INL_H_
