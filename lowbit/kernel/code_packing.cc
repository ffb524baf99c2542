#include "lowbit/kernel/code_packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/format/trit_packing.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_packing.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Both directions return what was left to the plain code: the number of codes done, a multiple of 8, so that
// the rest starts at a whole byte. `all` gathers the bits of every code that was packed.
//
// Eight codes become one 64-bit lane in three steps, each joining neighbours of twice the width: at b bits a
// code, the upper half of 16, 32 and 64 bits moves down by 8 - b, 16 - 2b and 32 - 4b. A byte shuffle then
// closes the gaps of the two lanes of a 16-byte block, which is stored whole: the next block overwrites what
// is too much.
#if HWY_TARGET == HWY_SCALAR

template <int kBits>
size_t Pack(const uint8_t* HWY_RESTRICT codes, size_t count, uint8_t* HWY_RESTRICT bytes, size_t /*size*/,
            uint8_t& all) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t lane = 0;
    for (int k = 0; k < 8; ++k) {
      all = static_cast<uint8_t>(all | codes[i + k]);
      lane |= static_cast<uint64_t>(codes[i + k]) << (kBits * k);
    }
    for (int k = 0; k < kBits; ++k) *bytes++ = static_cast<uint8_t>(lane >> (8 * k));
  }
  return i;
}

template <int kBits>
size_t Unpack(const uint8_t* HWY_RESTRICT bytes, size_t /*size*/, uint8_t* HWY_RESTRICT codes, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t lane = 0;
    for (int k = 0; k < kBits; ++k) lane |= static_cast<uint64_t>(*bytes++) << (8 * k);
    for (int k = 0; k < 8; ++k) codes[i + k] = static_cast<uint8_t>(lane >> (kBits * k) & ((1 << kBits) - 1));
  }
  return i;
}

size_t PackTritBlocks(const uint8_t* /*codes*/, size_t /*blocks*/, uint8_t* /*bytes*/, uint8_t& /*most*/) {
  return 0;
}
size_t UnpackTritBlocks(const uint8_t* /*bytes*/, size_t /*blocks*/, uint8_t* /*codes*/, uint8_t& /*most*/) {
  return 0;
}

#else

using D8 = hn::CappedTag<uint8_t, 32>;
using D16 = hn::Repartition<uint16_t, D8>;
using D32 = hn::Repartition<uint32_t, D8>;
using D64 = hn::Repartition<uint64_t, D8>;
constexpr size_t kVector = hn::MaxLanes(D8());

// Shuffle that moves the low `bits` bytes of both 64-bit lanes together, and its inverse.
HWY_INLINE hn::Vec<D8> Closing(int bits) {
  alignas(16) uint8_t index[16];
  for (int k = 0; k < 16; ++k) {
    index[k] = static_cast<uint8_t>(k < bits ? k : k < 2 * bits ? 8 + k - bits : 0x80);
  }
  return hn::LoadDup128(D8(), index);
}
HWY_INLINE hn::Vec<D8> Opening(int bits) {
  alignas(16) uint8_t index[16];
  for (int k = 0; k < 16; ++k) {
    index[k] = static_cast<uint8_t>(k % 8 < bits ? k / 8 * bits + k % 8 : 0x80);
  }
  return hn::LoadDup128(D8(), index);
}

// The 16-byte blocks of a vector, `step` bytes apart in memory.
template <class D>
HWY_INLINE void StoreBlocks(D d, hn::Vec<D> v, uint8_t* to, size_t step) {
  if constexpr (hn::MaxLanes(D()) == 32) {
    const hn::Half<D> half;
    hn::StoreU(hn::LowerHalf(half, v), half, to);
    hn::StoreU(hn::UpperHalf(half, v), half, to + step);
  } else {
    hn::StoreU(v, d, to);
  }
}
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const uint8_t* from, size_t step) {
  if constexpr (hn::MaxLanes(D()) == 32) {
    const hn::Half<D> half;
    return hn::Combine(d, hn::LoadU(half, from + step), hn::LoadU(half, from));
  } else {
    return hn::LoadU(d, from);
  }
}

// Joins (splits) the two halves of every lane, each holding a value in its low kHalf - kShift bits.
template <int kShift, int kHalf, class D>
HWY_INLINE hn::Vec<D> Join(D d, hn::Vec<D> v) {
  using T = hn::TFromD<D>;
  const auto low = hn::Set(d, static_cast<T>((uint64_t{1} << kHalf) - 1));
  return hn::Or(hn::And(v, low), hn::ShiftRight<kShift>(hn::AndNot(low, v)));
}
template <int kShift, int kHalf, class D>
HWY_INLINE hn::Vec<D> Split(D d, hn::Vec<D> v) {
  using T = hn::TFromD<D>;
  const auto low = hn::Set(d, static_cast<T>((uint64_t{1} << (kHalf - kShift)) - 1));
  return hn::Or(hn::And(v, low), hn::ShiftLeft<kShift>(hn::AndNot(low, v)));
}

template <int kBits>
size_t Pack(const uint8_t* HWY_RESTRICT codes, size_t count, uint8_t* HWY_RESTRICT bytes, size_t size,
            uint8_t& all) {
  const D8 d8;
  const auto closing = Closing(kBits);
  auto seen = hn::Zero(d8);
  size_t i = 0, at = 0;
  const size_t last = 2 * kBits * (kVector / 16 - 1) + 16;  // bytes touched from `at` on
  for (; i + kVector <= count && at + last <= size; i += kVector, at += 2 * kBits * (kVector / 16)) {
    const auto v = hn::LoadU(d8, codes + i);
    seen = hn::Or(seen, v);
    const auto v16 = Join<8 - kBits, 8>(D16(), hn::BitCast(D16(), v));
    const auto v32 = Join<16 - 2 * kBits, 16>(D32(), hn::BitCast(D32(), v16));
    const auto v64 = Join<32 - 4 * kBits, 32>(D64(), hn::BitCast(D64(), v32));
    const auto closed = hn::TableLookupBytesOr0(hn::BitCast(d8, v64), closing);
    StoreBlocks(d8, closed, bytes + at, 2 * kBits);
  }
  alignas(32) uint8_t lanes[kVector];
  hn::Store(seen, d8, lanes);
  for (uint8_t lane : lanes) all = static_cast<uint8_t>(all | lane);
  return i;
}

template <int kBits>
size_t Unpack(const uint8_t* HWY_RESTRICT bytes, size_t size, uint8_t* HWY_RESTRICT codes, size_t count) {
  const D8 d8;
  const auto opening = Opening(kBits);
  size_t i = 0, at = 0;
  const size_t last = 2 * kBits * (kVector / 16 - 1) + 16;
  for (; i + kVector <= count && at + last <= size; i += kVector, at += 2 * kBits * (kVector / 16)) {
    const auto v = LoadBlocks(d8, bytes + at, 2 * kBits);
    const auto v64 =
        Split<32 - 4 * kBits, 32>(D64(), hn::BitCast(D64(), hn::TableLookupBytesOr0(v, opening)));
    const auto v32 = Split<16 - 2 * kBits, 16>(D32(), hn::BitCast(D32(), v64));
    const auto v16 = Split<8 - kBits, 8>(D16(), hn::BitCast(D16(), v32));
    hn::StoreU(hn::BitCast(d8, v16), d8, codes + i);
  }
  return i;
}

// ceil(13 v / 243) of the bytes v <= 242: what ceil(256 v / 243) is more than v. 270 / 2^16 is close enough
// to 1 / 243 (all 243 values are tested).
HWY_INLINE hn::Vec<D8> Excess(hn::Vec<D8> v) {
  const D16 d;
  const auto divide = [&](hn::Vec<D16> x) {
    return hn::MulHigh(hn::Add(hn::Mul(x, hn::Set(d, uint16_t{13})), hn::Set(d, uint16_t{242})),
                       hn::Set(d, uint16_t{270}));
  };
  const auto pairs = hn::BitCast(d, v);
  const auto even = divide(hn::And(pairs, hn::Set(d, uint16_t{255}))), odd = divide(hn::ShiftRight<8>(pairs));
  return hn::BitCast(D8(), hn::Or(even, hn::ShiftLeft<8>(odd)));
}

// Whole blocks of 160 codes in 32 bytes. `most` becomes the greatest code.
size_t PackTritBlocks(const uint8_t* HWY_RESTRICT codes, size_t blocks, uint8_t* HWY_RESTRICT bytes,
                      uint8_t& most) {
  const D8 d8;
  auto greatest = hn::Zero(d8);
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t j = 0; j < kTritBlockBytes; j += kVector) {
      const uint8_t* from = codes + b * kTritBlockCodes + j;
      auto v = hn::LoadU(d8, from);
      greatest = hn::Max(greatest, v);
      for (size_t digit = 1; digit < 5; ++digit) {
        const auto next = hn::LoadU(d8, from + digit * kTritBlockBytes);
        greatest = hn::Max(greatest, next);
        v = hn::Add(hn::Add(v, v), hn::Add(v, next));
      }
      hn::StoreU(hn::Add(v, Excess(v)), d8, bytes + b * kTritBlockBytes + j);
    }
  }
  alignas(32) uint8_t lanes[kVector];
  hn::Store(greatest, d8, lanes);
  for (uint8_t lane : lanes) most = std::max(most, lane);
  return blocks;
}

// A digit is the carry of 3 x over bytes. What is left after five digits is 243 times the byte modulo 256: at
// most 242 for the bytes that stand for trits. `most` becomes the greatest that is left.
size_t UnpackTritBlocks(const uint8_t* HWY_RESTRICT bytes, size_t blocks, uint8_t* HWY_RESTRICT codes,
                        uint8_t& most) {
  const D8 d8;
  const hn::RebindToSigned<D8> signed8;
  auto greatest = hn::Zero(d8);
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t j = 0; j < kTritBlockBytes; j += kVector) {
      auto x = hn::LoadU(d8, bytes + b * kTritBlockBytes + j);
      for (size_t digit = 0; digit < 5; ++digit) {
        const auto first = hn::VecFromMask(signed8, hn::Lt(hn::BitCast(signed8, x), hn::Zero(signed8)));
        const auto twice = hn::Add(x, x), thrice = hn::Add(twice, x);
        const auto second = hn::VecFromMask(d8, hn::Lt(thrice, x));
        const auto carries = hn::Add(hn::BitCast(d8, first), second);
        hn::StoreU(hn::Sub(hn::Zero(d8), carries), d8,
                   codes + b * kTritBlockCodes + digit * kTritBlockBytes + j);
        x = thrice;
      }
      greatest = hn::Max(greatest, x);
    }
  }
  alignas(32) uint8_t lanes[kVector];
  hn::Store(greatest, d8, lanes);
  for (uint8_t lane : lanes) most = std::max(most, lane);
  return blocks;
}

#endif  // HWY_SCALAR

// Eight bits a code. The C library's copy falls to 2 GB/s on some processors at unlucky distances.
size_t Copy(const uint8_t* HWY_RESTRICT from, size_t count, uint8_t* HWY_RESTRICT to) {
  const hn::CappedTag<uint8_t, 32> d;
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (size_t k = 0; k < 64; k += hn::Lanes(d)) hn::StoreU(hn::LoadU(d, from + i + k), d, to + i + k);
  }
  return i;
}

size_t PackWidth(int bits, const uint8_t* codes, size_t count, uint8_t* bytes, size_t size, uint8_t& all) {
  switch (bits) {
    case 1:
      return Pack<1>(codes, count, bytes, size, all);
    case 2:
      return Pack<2>(codes, count, bytes, size, all);
    case 3:
      return Pack<3>(codes, count, bytes, size, all);
    case 4:
      return Pack<4>(codes, count, bytes, size, all);
    case 5:
      return Pack<5>(codes, count, bytes, size, all);
    case 6:
      return Pack<6>(codes, count, bytes, size, all);
    case 8:
      return Copy(codes, count, bytes);
    default:
      return Pack<7>(codes, count, bytes, size, all);
  }
}

size_t UnpackWidth(int bits, const uint8_t* bytes, size_t size, uint8_t* codes, size_t count) {
  switch (bits) {
    case 1:
      return Unpack<1>(bytes, size, codes, count);
    case 2:
      return Unpack<2>(bytes, size, codes, count);
    case 3:
      return Unpack<3>(bytes, size, codes, count);
    case 4:
      return Unpack<4>(bytes, size, codes, count);
    case 5:
      return Unpack<5>(bytes, size, codes, count);
    case 6:
      return Unpack<6>(bytes, size, codes, count);
    case 8:
      return Copy(bytes, count, codes);
    default:
      return Unpack<7>(bytes, size, codes, count);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(PackWidth);
HWY_EXPORT(UnpackWidth);
HWY_EXPORT(PackTritBlocks);
HWY_EXPORT(UnpackTritBlocks);

namespace {

void CheckSizes(size_t codes, int bits, size_t bytes) {
  if (bits < 1 || bits > 8) Fail("codes of {} bits are not packed; 1 to 8 are", bits);
  if (bytes != PackedBytes(codes, bits)) {
    Fail("{} codes of {} bits fill {} bytes, not {}", codes, bits, PackedBytes(codes, bits), bytes);
  }
}

}  // namespace

void PackBits(std::span<const uint8_t> codes, int bits, std::span<uint8_t> bytes) {
  CheckSizes(codes.size(), bits, bytes.size());
  uint8_t all = 0;
  const size_t done =
      LOWBIT_KERNEL(PackWidth)(bits, codes.data(), codes.size(), bytes.data(), bytes.size(), all);
  uint64_t held = 0;
  int count = 0;
  size_t at = done / 8 * static_cast<size_t>(bits);
  for (size_t i = done; i < codes.size(); ++i) {
    all = static_cast<uint8_t>(all | codes[i]);
    held |= static_cast<uint64_t>(codes[i]) << count;
    for (count += bits; count >= 8; count -= 8, held >>= 8) bytes[at++] = static_cast<uint8_t>(held);
  }
  if (count > 0) bytes[at] = static_cast<uint8_t>(held);
  if (all >> bits != 0) {
    Fail("code {} does not fit {} bits", *std::max_element(codes.begin(), codes.end()), bits);
  }
}

void UnpackBits(std::span<const uint8_t> bytes, int bits, std::span<uint8_t> codes) {
  CheckSizes(codes.size(), bits, bytes.size());
  const size_t done =
      LOWBIT_KERNEL(UnpackWidth)(bits, bytes.data(), bytes.size(), codes.data(), codes.size());
  uint32_t held = 0;
  int count = 0;
  size_t at = done / 8 * static_cast<size_t>(bits);
  for (size_t i = done; i < codes.size(); ++i) {
    if (count < bits) {
      held |= static_cast<uint32_t>(bytes[at++]) << count;
      count += 8;
    }
    codes[i] = static_cast<uint8_t>(held & ((1u << bits) - 1));
    held >>= bits;
    count -= bits;
  }
}

void PackTernary(std::span<const uint8_t> codes, std::span<uint8_t> bytes) {
  uint8_t most = 0;
  size_t done = 0;
  if (bytes.size() == TritBytes(codes.size())) {
    done = LOWBIT_KERNEL(PackTritBlocks)(codes.data(), codes.size() / kTritBlockCodes, bytes.data(), most);
  }
  if (most > 2) done = 0;  // the plain version says which code
  PackTrits(codes.subspan(done * kTritBlockCodes), bytes.subspan(done * kTritBlockBytes));
}

void UnpackTernary(std::span<const uint8_t> bytes, std::span<uint8_t> codes) {
  uint8_t most = 0;
  size_t done = 0;
  if (bytes.size() == TritBytes(codes.size())) {
    done = LOWBIT_KERNEL(UnpackTritBlocks)(bytes.data(), codes.size() / kTritBlockCodes, codes.data(), most);
  }
  if (most > 242) done = 0;
  UnpackTrits(bytes.subspan(done * kTritBlockBytes), codes.subspan(done * kTritBlockCodes));
}

}  // namespace lowbit
#endif  // HWY_ONCE
