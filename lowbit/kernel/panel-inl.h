// Vectors as tall as a panel: 16 rows, one 32-bit lane each, whatever the register width of the target (one
// register with AVX-512, two with AVX2, four with NEON). The packed layout stores 64 bytes a vector, so a
// kernel is written once in these terms. The scalar target has plain loops of its own (matmul_plain.cc).

#if defined(LOWBIT_KERNEL_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_PANEL_INL_H_
#undef LOWBIT_KERNEL_PANEL_INL_H_
#else
#define LOWBIT_KERNEL_PANEL_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "lowbit/format/format.h"
#include "lowbit/kernel/unroll-inl.h"

#undef LOWBIT_VECTOR_TARGET
#define LOWBIT_VECTOR_TARGET (HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if LOWBIT_VECTOR_TARGET

using DF = hn::CappedTag<float, 16>;
using DI = hn::CappedTag<int32_t, 16>;
using DU = hn::CappedTag<uint32_t, 16>;
using DH = hn::CappedTag<uint16_t, 32>;
using DB = hn::CappedTag<uint8_t, 64>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF()));
constexpr int kParts = kPanelRows / kLanes;

struct Bytes {
  hn::Vec<DB> v[kParts];
};
struct Ints {
  hn::Vec<DI> v[kParts];
};
struct Floats {
  hn::Vec<DF> v[kParts];
};
using Quad = hn::Vec<DI>;

// f(i) for each part i of a panel's vector; what f returns for them.
template <class F>
HWY_INLINE void EachPart(F&& f) {
  Unroll<0, kParts>(f);
}
template <class Panel, class F>
HWY_INLINE Panel OfParts(F&& f) {
  Panel r;
  EachPart([&](auto i) LOWBIT_STEP { r.v[i] = f(i); });
  return r;
}

HWY_INLINE Bytes LoadBytes(const uint8_t* p) {
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return hn::LoadU(DB(), p + 4 * kLanes * i); });
}
// Stops the compiler from reading `b` again from memory, out of order, where it is used.
HWY_INLINE Bytes KeepInRegister(Bytes b) {
#if HWY_ARCH_X86
  EachPart([&](auto i) LOWBIT_STEP { asm volatile("" : "+v"(b.v[i].raw)); });
#endif
  return b;
}
HWY_INLINE void StoreBytes(const Bytes& b, uint8_t* p) {
  EachPart([&](auto i) LOWBIT_STEP { hn::StoreU(b.v[i], DB(), p + 4 * kLanes * i); });
}
// There is no shift of bytes: shift 16 bits and let the mask drop what crossed over.
template <int kRight>
HWY_INLINE hn::Vec<DB> ShiftBits(hn::Vec<DB> b) {
  if constexpr (kRight > 0) return hn::BitCast(DB(), hn::ShiftRight<kRight>(hn::BitCast(DH(), b)));
  if constexpr (kRight < 0) return hn::BitCast(DB(), hn::ShiftLeft<-kRight>(hn::BitCast(DH(), b)));
  return b;
}
template <int kRight>
HWY_INLINE Bytes Shift(const Bytes& b) {
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return ShiftBits<kRight>(b.v[i]); });
}
// Bits of `yes` where `mask` has ones, of `no` elsewhere.
HWY_INLINE Bytes Select(uint8_t mask, const Bytes& yes, const Bytes& no) {
  const auto m = hn::Set(DB(), mask);
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP {
#if HWY_TARGET == HWY_AVX3
    return hn::IfVecThenElse(m, yes.v[i], no.v[i]);  // there one instruction, bit by bit
#else
    return hn::Or(hn::And(m, yes.v[i]), hn::AndNot(m, no.v[i]));
#endif
  });
}
template <int kRight>
HWY_INLINE Bytes ShiftAnd(const Bytes& b, uint8_t mask) {
  return OfParts<Bytes>([&](auto i)
                            LOWBIT_STEP { return hn::And(ShiftBits<kRight>(b.v[i]), hn::Set(DB(), mask)); });
}
template <int kRight>
HWY_INLINE Bytes OrShiftAnd(const Bytes& base, const Bytes& b, uint8_t mask) {
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP {
    return hn::OrAnd(base.v[i], ShiftBits<kRight>(b.v[i]), hn::Set(DB(), mask));
  });
}

HWY_INLINE Ints SetInts(int32_t x) {
  return OfParts<Ints>([&](auto) LOWBIT_STEP { return hn::Set(DI(), x); });
}
HWY_INLINE Ints ZeroInts() {
  return OfParts<Ints>([&](auto) LOWBIT_STEP { return hn::Zero(DI()); });
}
HWY_INLINE Ints AddInts(const Ints& a, const Ints& b) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP { return hn::Add(a.v[i], b.v[i]); });
}
HWY_INLINE Ints AndInts(const Ints& a, int32_t mask) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP { return hn::And(a.v[i], hn::Set(DI(), mask)); });
}
template <int kRight>
HWY_INLINE Ints ShiftInts(const Ints& a) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP { return hn::ShiftRight<kRight>(a.v[i]); });
}
HWY_INLINE Floats SetFloats(float x) {
  return OfParts<Floats>([&](auto) LOWBIT_STEP { return hn::Set(DF(), x); });
}
HWY_INLINE Floats ZeroFloats() {
  return OfParts<Floats>([&](auto) LOWBIT_STEP { return hn::Zero(DF()); });
}
HWY_INLINE Ints LoadInts(const int32_t* p) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP { return hn::LoadU(DI(), p + kLanes * i); });
}
HWY_INLINE void StoreInts(const Ints& a, int32_t* p) {
  EachPart([&](auto i) LOWBIT_STEP { hn::StoreU(a.v[i], DI(), p + kLanes * i); });
}
HWY_INLINE Ints MulAddInts(const Ints& a, const Ints& b, const Ints& sum) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP { return hn::Add(sum.v[i], hn::Mul(a.v[i], b.v[i])); });
}
HWY_INLINE Floats LoadFloats(const float* p) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::LoadU(DF(), p + kLanes * i); });
}
HWY_INLINE void StoreFloats(const Floats& f, float* p) {
  EachPart([&](auto i) LOWBIT_STEP { hn::StoreU(f.v[i], DF(), p + kLanes * i); });
}
HWY_INLINE Floats ToFloats(const Ints& a) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::ConvertTo(DF(), a.v[i]); });
}
HWY_INLINE Floats Mul(const Floats& a, const Floats& b) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::Mul(a.v[i], b.v[i]); });
}
HWY_INLINE Floats Add(const Floats& a, const Floats& b) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::Add(a.v[i], b.v[i]); });
}
HWY_INLINE Floats Sub(const Floats& a, const Floats& b) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::Sub(a.v[i], b.v[i]); });
}
HWY_INLINE Floats MulAdd(const Floats& a, const Floats& b, const Floats& c) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::MulAdd(a.v[i], b.v[i], c.v[i]); });
}
HWY_INLINE Floats Negate(const Floats& a) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP { return hn::Neg(a.v[i]); });
}
HWY_INLINE Floats LoadF16(const uint8_t* p) {
  const hn::Rebind<hwy::float16_t, DF> half;
  const auto* from = reinterpret_cast<const hwy::float16_t*>(p);
  return OfParts<Floats>([&](auto i)
                             LOWBIT_STEP { return hn::PromoteTo(DF(), hn::LoadU(half, from + kLanes * i)); });
}
// Sixteen bytes of type T as integers.
template <typename T>
HWY_INLINE Ints LoadBytes(const uint8_t* p) {
  const hn::Rebind<T, DI> small;
  const auto* from = reinterpret_cast<const T*>(p);
  return OfParts<Ints>([&](auto i)
                           LOWBIT_STEP { return hn::PromoteTo(DI(), hn::LoadU(small, from + kLanes * i)); });
}
HWY_INLINE Floats LoadU8(const uint8_t* p) {
  return ToFloats(LoadBytes<uint8_t>(p));
}
HWY_INLINE Floats LoadI8(const uint8_t* p) {
  return ToFloats(LoadBytes<int8_t>(p));
}
// 2^(byte - 127): the exponent of an f32, whose least one has no hidden bit. 255, no scale, gives NaN.
HWY_INLINE Floats LoadE8M0(const uint8_t* p) {
  const hn::Rebind<uint8_t, DI> small;
  return OfParts<Floats>([&](auto i) LOWBIT_STEP {
    const auto byte = hn::PromoteTo(DI(), hn::LoadU(small, p + kLanes * i));
    const auto power = hn::Max(hn::ShiftLeft<23>(byte), hn::Set(DI(), 1 << 22));
    const auto quiet = hn::IfThenElseZero(hn::Eq(byte, hn::Set(DI(), 255)), hn::Set(DI(), 1 << 22));
    return hn::BitCast(DF(), hn::Or(power, quiet));
  });
}
// 8-bit floats E4M3 with NaN: exponent and mantissa in an f32's place are 2^-120 of the value, subnormals
// too.
HWY_INLINE Floats LoadE4M3(const uint8_t* p) {
  const hn::Rebind<uint8_t, DI> small;
  return OfParts<Floats>([&](auto i) LOWBIT_STEP {
    const auto byte = hn::PromoteTo(DI(), hn::LoadU(small, p + kLanes * i));
    const auto magnitude = hn::And(byte, hn::Set(DI(), 127));
    const auto value = hn::Mul(hn::BitCast(DF(), hn::ShiftLeft<20>(magnitude)), hn::Set(DF(), 0x1p120f));
    const auto quiet = hn::IfThenElseZero(hn::Eq(magnitude, hn::Set(DI(), 127)), hn::Set(DI(), 0x7fc00000));
    const auto sign = hn::ShiftLeft<24>(hn::AndNot(hn::Set(DI(), 127), byte));
    return hn::BitCast(DF(), hn::Or(hn::Or(hn::BitCast(DI(), value), quiet), sign));
  });
}
// The low (kShift 0) or high (kShift 4) 4 bits of 16 bytes.
template <int kShift>
HWY_INLINE Ints LoadNibbles(const uint8_t* p) {
  const Ints bytes = LoadBytes<uint8_t>(p);
  return kShift == 4 ? ShiftInts<4>(bytes) : AndInts(bytes, 15);
}
template <int kShift>
HWY_INLINE Floats LoadU4(const uint8_t* p) {
  return ToFloats(LoadNibbles<kShift>(p));
}
template <int kByte>
HWY_INLINE Floats ByteToFloats(const Bytes& b) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP {
    const auto byte = hn::And(hn::ShiftRight<8 * kByte>(hn::BitCast(DU(), b.v[i])), hn::Set(DU(), 255u));
    return hn::ConvertTo(DF(), hn::BitCast(DI(), byte));
  });
}
// table[byte kByte of every lane].
template <int kByte>
HWY_INLINE Floats GatherBytes(const float* table, const Bytes& b) {
  return OfParts<Floats>([&](auto i) LOWBIT_STEP {
    const auto byte = hn::And(hn::ShiftRight<8 * kByte>(hn::BitCast(DU(), b.v[i])), hn::Set(DU(), 255u));
    return hn::GatherIndex(DF(), table, hn::BitCast(DI(), byte));
  });
}
HWY_INLINE Quad LoadQuad(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return hn::Set(DI(), four);
}

// A tile of kBits-bit codes as it lies in memory, its kBits vectors loaded in ascending order, which is what
// hardware prefetchers follow.
template <int kBits>
struct Tile {
  Bytes vector[kBits];

  HWY_INLINE void Load(const uint8_t* from) {
    Unroll<0, kBits>([&](auto i) LOWBIT_STEP { vector[i] = KeepInRegister(LoadBytes(from + 64 * i)); });
  }
  // Up to 4 bits: the codes of quad n in the low and of quad n + 4 in the high nibble of every byte, with
  // other codes' bits above them. This is how the 4-bit plane lies; narrower planes come to it with one
  // operation for two quads.
  template <int n>
  HWY_INLINE Bytes QuadPair() const {
    static_assert(kBits <= 4);
    if constexpr (kBits == 4) return vector[n];
    if constexpr (kBits == 2) return Shift<n / 2 * 2>(vector[n % 2]);
    // 1-bit plane: quad n lies at bit n, quad n + 4 at bit n + 4; they belong to bits 2 and 6.
    if constexpr (kBits == 3) return Select(0x33, Shift<n / 2 * 2>(vector[n % 2]), Shift<n - 2>(vector[2]));
  }
  // Quad q (4 columns, 16 rows), one code a byte; kScaled: the codes of quads 4 to 7 times 16, as they lie.
  template <int q, bool kScaled = false>
  HWY_INLINE Bytes Quad() const {
    constexpr uint8_t kMask = (1 << kBits) - 1;
    if constexpr (kBits == 8) return vector[q];
    if constexpr (kBits == 1) {
      return ShiftAnd<q>(vector[0], 1);
    } else if constexpr (kBits <= 4) {
      if constexpr (q >= 4 && kScaled) return ShiftAnd<0>(QuadPair<q - 4>(), kMask << 4);
      if constexpr (q >= 4 && !kScaled) return ShiftAnd<4>(QuadPair<q - 4>(), kMask);
      if constexpr (q < 4) return ShiftAnd<0>(QuadPair<q>(), kMask);
    }
    if constexpr (kBits == 5 || kBits == 6) {
      static_assert(!kScaled);
      const Bytes low = ShiftAnd<q / 4 * 4>(vector[q % 4], 15);
      if constexpr (kBits == 5) return OrShiftAnd<q - 4>(low, vector[4], 16);
      if constexpr (kBits == 6) return OrShiftAnd<q / 2 * 2 - 4>(low, vector[4 + q % 2], 48);
    }
  }
};

// The order in which quads are visited where it is free: quads q and q + 4, which share a vector, follow each
// other.
template <int kBits>
constexpr int QuadAt(int i) {
  return kBits == 8 ? i : i % 2 * 4 + i / 2;
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_PANEL_INL_H_
