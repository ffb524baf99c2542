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

#define LOWBIT_PARTS(i) _Pragma("GCC unroll 4") for (int i = 0; i < kParts; ++i)

HWY_INLINE Bytes LoadBytes(const uint8_t* p) {
  Bytes r;
  LOWBIT_PARTS(i) r.v[i] = hn::LoadU(DB(), p + 4 * kLanes * i);
  return r;
}
// Stops the compiler from reading `b` again from memory, out of order, where it is used.
HWY_INLINE void KeepInRegister(Bytes& b) {
#if HWY_ARCH_X86
  LOWBIT_PARTS(i) asm volatile("" : "+v"(b.v[i].raw));
#else
  (void)b;
#endif
}
HWY_INLINE void StoreBytes(const Bytes& b, uint8_t* p) {
  LOWBIT_PARTS(i) hn::StoreU(b.v[i], DB(), p + 4 * kLanes * i);
}
// There is no shift of bytes: shift 16 bits and let the mask drop what crossed over.
template <int kRight>
HWY_INLINE hn::Vec<DB> ShiftBits(hn::Vec<DB> b) {
  if constexpr (kRight > 0) return hn::BitCast(DB(), hn::ShiftRight<kRight>(hn::BitCast(DH(), b)));
  if constexpr (kRight < 0) return hn::BitCast(DB(), hn::ShiftLeft<-kRight>(hn::BitCast(DH(), b)));
  return b;
}
template <int kRight>
HWY_INLINE Bytes ShiftAnd(const Bytes& b, uint8_t mask) {
  Bytes r;
  LOWBIT_PARTS(i) r.v[i] = hn::And(ShiftBits<kRight>(b.v[i]), hn::Set(DB(), mask));
  return r;
}
template <int kRight>
HWY_INLINE Bytes OrShiftAnd(const Bytes& base, const Bytes& b, uint8_t mask) {
  Bytes r;
  LOWBIT_PARTS(i) r.v[i] = hn::OrAnd(base.v[i], ShiftBits<kRight>(b.v[i]), hn::Set(DB(), mask));
  return r;
}

HWY_INLINE Ints SetInts(int32_t x) {
  Ints r;
  LOWBIT_PARTS(i) r.v[i] = hn::Set(DI(), x);
  return r;
}
HWY_INLINE Ints ZeroInts() {
  Ints r;
  LOWBIT_PARTS(i) r.v[i] = hn::Zero(DI());
  return r;
}
HWY_INLINE Ints AddInts(const Ints& a, const Ints& b) {
  Ints r;
  LOWBIT_PARTS(i) r.v[i] = hn::Add(a.v[i], b.v[i]);
  return r;
}
HWY_INLINE Floats SetFloats(float x) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Set(DF(), x);
  return r;
}
HWY_INLINE Floats ZeroFloats() {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Zero(DF());
  return r;
}
HWY_INLINE Floats LoadFloats(const float* p) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::LoadU(DF(), p + kLanes * i);
  return r;
}
HWY_INLINE void StoreFloats(const Floats& f, float* p) {
  LOWBIT_PARTS(i) hn::StoreU(f.v[i], DF(), p + kLanes * i);
}
HWY_INLINE Floats ToFloats(const Ints& a) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::ConvertTo(DF(), a.v[i]);
  return r;
}
HWY_INLINE Floats Mul(const Floats& a, const Floats& b) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Mul(a.v[i], b.v[i]);
  return r;
}
HWY_INLINE Floats Add(const Floats& a, const Floats& b) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Add(a.v[i], b.v[i]);
  return r;
}
HWY_INLINE Floats Sub(const Floats& a, const Floats& b) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Sub(a.v[i], b.v[i]);
  return r;
}
HWY_INLINE Floats MulAdd(const Floats& a, const Floats& b, const Floats& c) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::MulAdd(a.v[i], b.v[i], c.v[i]);
  return r;
}
HWY_INLINE Floats Negate(const Floats& a) {
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::Neg(a.v[i]);
  return r;
}
HWY_INLINE Floats LoadF16(const uint8_t* p) {
  const hn::Rebind<hwy::float16_t, DF> half;
  const auto* from = reinterpret_cast<const hwy::float16_t*>(p);
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::PromoteTo(DF(), hn::LoadU(half, from + kLanes * i));
  return r;
}
HWY_INLINE Floats LoadU8(const uint8_t* p) {
  const hn::Rebind<uint8_t, DI> small;
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::ConvertTo(DF(), hn::PromoteTo(DI(), hn::LoadU(small, p + kLanes * i)));
  return r;
}
HWY_INLINE Floats LoadI8(const uint8_t* p) {
  const hn::Rebind<int8_t, DI> small;
  const auto* from = reinterpret_cast<const int8_t*>(p);
  Floats r;
  LOWBIT_PARTS(i) r.v[i] = hn::ConvertTo(DF(), hn::PromoteTo(DI(), hn::LoadU(small, from + kLanes * i)));
  return r;
}
// The low (kShift 0) or high (kShift 4) 4 bits of 16 bytes.
template <int kShift>
HWY_INLINE Floats LoadU4(const uint8_t* p) {
  const hn::Rebind<uint8_t, DI> small;
  Floats r;
  LOWBIT_PARTS(i) {
    const auto byte = hn::PromoteTo(DI(), hn::LoadU(small, p + kLanes * i));
    r.v[i] = hn::ConvertTo(DF(), kShift == 4 ? hn::ShiftRight<4>(byte) : hn::And(byte, hn::Set(DI(), 15)));
  }
  return r;
}
template <int kByte>
HWY_INLINE Floats ByteToFloats(const Bytes& b) {
  Floats r;
  LOWBIT_PARTS(i) {
    const auto byte = hn::And(hn::ShiftRight<8 * kByte>(hn::BitCast(DU(), b.v[i])), hn::Set(DU(), 255u));
    r.v[i] = hn::ConvertTo(DF(), hn::BitCast(DI(), byte));
  }
  return r;
}
// table[byte kByte of every lane].
template <int kByte>
HWY_INLINE Floats GatherBytes(const float* table, const Bytes& b) {
  Floats r;
  LOWBIT_PARTS(i) {
    const auto byte = hn::And(hn::ShiftRight<8 * kByte>(hn::BitCast(DU(), b.v[i])), hn::Set(DU(), 255u));
    r.v[i] = hn::GatherIndex(DF(), table, hn::BitCast(DI(), byte));
  }
  return r;
}
HWY_INLINE Quad LoadQuad(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return hn::Set(DI(), four);
}

// Loops over registers must vanish at compile time: the body is a lambda called with each constant.
#define LOWBIT_STEP HWY_ATTR __attribute__((always_inline))
template <int i, int n, class F>
HWY_INLINE void Unroll(F&& f) {
  if constexpr (i < n) {
    f(std::integral_constant<int, i>());
    Unroll<i + 1, n>(f);
  }
}

// A tile of kBits-bit codes as it lies in memory, its kBits vectors loaded in ascending order, which is what
// hardware prefetchers follow.
template <int kBits>
struct Tile {
  Bytes vector[kBits];

  HWY_INLINE explicit Tile(const uint8_t* from) {
    Unroll<0, kBits>([&](auto i) LOWBIT_STEP {
      vector[i] = LoadBytes(from + 64 * i);
      KeepInRegister(vector[i]);
    });
  }
  // Quad q (4 columns, 16 rows), one code a byte: the planes of PackedLayout.
  template <int q>
  HWY_INLINE Bytes Quad() const {
    if constexpr (kBits == 8) return vector[q];
    if constexpr (kBits == 1) return ShiftAnd<q>(vector[0], 1);
    if constexpr (kBits == 2 || kBits == 3) {
      const Bytes low = ShiftAnd<q / 2 * 2>(vector[q % 2], 3);
      if constexpr (kBits == 2) return low;
      if constexpr (kBits == 3) return OrShiftAnd<q - 2>(low, vector[2], 4);
    }
    if constexpr (kBits >= 4 && kBits <= 6) {
      const Bytes low = ShiftAnd<q / 4 * 4>(vector[q % 4], 15);
      if constexpr (kBits == 4) return low;
      if constexpr (kBits == 5) return OrShiftAnd<q - 4>(low, vector[4], 16);
      if constexpr (kBits == 6) return OrShiftAnd<q / 2 * 2 - 4>(low, vector[4 + q % 2], 48);
    }
  }
};

// The order in which quads are visited where it is free: those that share a vector follow each other.
template <int kBits>
constexpr int QuadAt(int i) {
  return kBits == 4 || kBits == 5 || kBits == 6 ? i % 2 * 4 + i / 2 : kBits == 8 ? i : i % 4 * 2 + i / 4;
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_PANEL_INL_H_
