// Vectors as tall as a panel: 16 rows, one 32-bit lane each, whatever the register width of the target (one
// register with AVX-512, two with AVX2, arrays in plain C++). The packed layout stores 64 bytes a vector, so
// a kernel is written once in these terms.

#if defined(LOWBIT_KERNEL_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_PANEL_INL_H_
#undef LOWBIT_KERNEL_PANEL_INL_H_
#else
#define LOWBIT_KERNEL_PANEL_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/format.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

struct Bytes {
  uint8_t v[64];
};
struct Ints {
  int32_t v[16];
};
struct Floats {
  float v[16];
};
// Four activations for all rows.
struct Quad {
  int8_t v[4];
};

HWY_INLINE Bytes LoadBytes(const uint8_t* p) {
  Bytes b;
  std::memcpy(b.v, p, 64);
  return b;
}
HWY_INLINE void StoreBytes(const Bytes& b, uint8_t* p) {
  std::memcpy(p, b.v, 64);
}
// (b >> kRight or << -kRight) & mask, in every byte. No bit that `mask` keeps may come from the next byte.
template <int kRight>
HWY_INLINE Bytes ShiftAnd(Bytes b, uint8_t mask) {
  for (uint8_t& x : b.v)
    x = static_cast<uint8_t>((kRight >= 0 ? x >> (kRight & 7) : x << (-kRight & 7)) & mask);
  return b;
}
// base | ShiftAnd<kRight>(b, mask)
template <int kRight>
HWY_INLINE Bytes OrShiftAnd(Bytes base, const Bytes& b, uint8_t mask) {
  const Bytes part = ShiftAnd<kRight>(b, mask);
  for (int i = 0; i < 64; ++i) base.v[i] |= part.v[i];
  return base;
}

HWY_INLINE Ints ZeroInts() {
  return {};
}
HWY_INLINE Ints SetInts(int32_t x) {
  Ints r;
  for (int32_t& v : r.v) v = x;
  return r;
}
HWY_INLINE Floats ZeroFloats() {
  return {};
}
HWY_INLINE Floats SetFloats(float x) {
  Floats r;
  for (float& v : r.v) v = x;
  return r;
}
HWY_INLINE Floats LoadFloats(const float* p) {
  Floats r;
  std::memcpy(r.v, p, 64);
  return r;
}
HWY_INLINE void StoreFloats(const Floats& f, float* p) {
  std::memcpy(p, f.v, 64);
}
HWY_INLINE Floats ToFloats(const Ints& a) {
  Floats r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
HWY_INLINE Floats Mul(Floats a, const Floats& b) {
  for (int i = 0; i < 16; ++i) a.v[i] *= b.v[i];
  return a;
}
HWY_INLINE Floats Add(Floats a, const Floats& b) {
  for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
  return a;
}
// a * b + c
HWY_INLINE Floats MulAdd(const Floats& a, const Floats& b, Floats c) {
  for (int i = 0; i < 16; ++i) c.v[i] += a.v[i] * b.v[i];
  return c;
}
HWY_INLINE Floats Negate(Floats a) {
  for (float& x : a.v) x = -x;
  return a;
}
HWY_INLINE Floats LoadF16(const uint8_t* p) {
  Floats r;
  for (int i = 0; i < 16; ++i) {
    uint16_t half;
    std::memcpy(&half, p + 2 * i, 2);
    r.v[i] = F16ToFloat(half);
  }
  return r;
}
HWY_INLINE Floats LoadU8(const uint8_t* p) {
  Floats r;
  for (int i = 0; i < 16; ++i) r.v[i] = p[i];
  return r;
}
HWY_INLINE Floats LoadI8(const uint8_t* p) {
  Floats r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<int8_t>(p[i]);
  return r;
}
// Byte kByte of every lane.
template <int kByte>
HWY_INLINE Floats ByteToFloats(const Bytes& b) {
  Floats r;
  for (int i = 0; i < 16; ++i) r.v[i] = b.v[4 * i + kByte];
  return r;
}
HWY_INLINE Quad LoadQuad(const int8_t* p) {
  Quad q;
  std::memcpy(q.v, p, 4);
  return q;
}

#else  // a target with vectors

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
template <int kByte>
HWY_INLINE Floats ByteToFloats(const Bytes& b) {
  Floats r;
  LOWBIT_PARTS(i) {
    const auto byte = hn::And(hn::ShiftRight<8 * kByte>(hn::BitCast(DU(), b.v[i])), hn::Set(DU(), 255u));
    r.v[i] = hn::ConvertTo(DF(), hn::BitCast(DI(), byte));
  }
  return r;
}
HWY_INLINE Quad LoadQuad(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return hn::Set(DI(), four);
}

#endif  // a target with vectors

// Quad q (4 columns, 16 rows) of a tile of kBits-bit codes, one code a byte: the planes of PackedLayout.
template <int kBits, int q>
HWY_INLINE Bytes TileQuad(const uint8_t* tile) {
  if constexpr (kBits == 8) return LoadBytes(tile + 64 * q);
  if constexpr (kBits == 2 || kBits == 3) {
    const Bytes low = ShiftAnd<q / 2 * 2>(LoadBytes(tile + 64 * (q % 2)), 3);
    if constexpr (kBits == 2) return low;
    return OrShiftAnd<q - 2>(low, LoadBytes(tile + 128), 4);
  }
  const Bytes low = ShiftAnd<q / 4 * 4>(LoadBytes(tile + 64 * (q % 4)), 15);
  if constexpr (kBits == 5) return OrShiftAnd<q - 4>(low, LoadBytes(tile + 256), 16);
  if constexpr (kBits == 6) return OrShiftAnd<q / 2 * 2 - 4>(low, LoadBytes(tile + 256 + 64 * (q % 2)), 48);
  return low;
}

// The order in which quads are visited where it is free: those that share a vector follow each other.
template <int kBits>
constexpr int QuadAt(int i) {
  return kBits == 4 || kBits == 5 || kBits == 6 ? i % 2 * 4 + i / 2 : kBits == 8 ? i : i % 4 * 2 + i / 4;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_PANEL_INL_H_
