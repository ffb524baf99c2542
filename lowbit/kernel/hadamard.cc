#include "lowbit/kernel/hadamard.h"

#include <array>
#include <bit>
#include <cstring>

#include "lowbit/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/hadamard.cc"
#include "lowbit/kernel/simd.h"

// Once for all targets: what they share.
#ifndef LOWBIT_KERNEL_HADAMARD_PALEY_
#define LOWBIT_KERNEL_HADAMARD_PALEY_
namespace lowbit {

inline constexpr int kMaxPaley = 20;

struct Paley {
  int m = 1;
  std::array<std::array<int8_t, kMaxPaley>, kMaxPaley> entry{};
};

// I + S, S = [0 1; -1 Q], Q_ij = 1 where i - j is a square modulo q, else -1.
constexpr Paley MakePaley(int m) {
  Paley p;
  p.m = m;
  const int q = m - 1;
  std::array<bool, kMaxPaley> square{};
  for (int i = 1; i < q; ++i) square[static_cast<size_t>(i * i % q)] = true;
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < m; ++j) {
      int e = 1;
      if (i != j && i > 0) e = j == 0 ? -1 : square[static_cast<size_t>((i - j + q) % q)] ? 1 : -1;
      p.entry[static_cast<size_t>(i)][static_cast<size_t>(j)] = static_cast<int8_t>(e);
    }
  }
  return p;
}

inline constexpr Paley kPaley12 = MakePaley(12), kPaley20 = MakePaley(20);

}  // namespace lowbit
#endif

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Eight lanes at most: the butterflies inside a register below are spelled out for them.
using D = hn::CappedTag<float, 8>;
using V = hn::Vec<D>;
constexpr int64_t kL = static_cast<int64_t>(hn::MaxLanes(D()));

HWY_INLINE void Butterfly(V& a, V& b) {
  const V sum = hn::Add(a, b);
  b = hn::Sub(a, b);
  a = sum;
}

// The stages of distance 1, 2, 4 within a register: x +- its partner, whose order of operands a subtraction
// does not change (s - x = -(x - s) exactly).
HWY_INLINE V InRegister([[maybe_unused]] D d, V v) {
#if HWY_TARGET == HWY_SCALAR
  return v;
#else
  const auto sign = hn::Set(d, -0.0f);
  const auto bits = hn::Iota(hn::RebindToSigned<D>(), 0);
  const auto odd = [&](int stage) {
    return hn::RebindMask(d, hn::TestBit(bits, hn::Set(hn::RebindToSigned<D>(), stage)));
  };
  if constexpr (kL >= 2) v = hn::Add(hn::Shuffle2301(v), hn::IfThenElse(odd(1), hn::Xor(v, sign), v));
  if constexpr (kL >= 4) v = hn::Add(hn::Shuffle1032(v), hn::IfThenElse(odd(2), hn::Xor(v, sign), v));
  if constexpr (kL >= 8) {
    v = hn::Add(hn::ConcatLowerUpper(d, v, v), hn::IfThenElse(odd(4), hn::Xor(v, sign), v));
  }
  return v;
#endif
}

// Sylvester's transform of n = 2^k entries.
void Sylvester(float* x, int64_t n) {
  const D d;
  if (n < kL) {
    for (int64_t h = 1; h < n; h *= 2) {
      for (int64_t i = 0; i < n; ++i) {
        if (i & h) continue;
        const float a = x[i], b = x[i + h];
        x[i] = a + b;
        x[i + h] = a - b;
      }
    }
    return;
  }
  int64_t h = kL;
  // The first pass over memory takes the stages within a register and, where there are enough registers, two
  // more; later passes take two stages at a time.
  if (n >= 4 * kL) {
    for (int64_t i = 0; i < n; i += 4 * kL) {
      V a = InRegister(d, hn::LoadU(d, x + i)), b = InRegister(d, hn::LoadU(d, x + i + kL));
      V c = InRegister(d, hn::LoadU(d, x + i + 2 * kL)), e = InRegister(d, hn::LoadU(d, x + i + 3 * kL));
      Butterfly(a, b), Butterfly(c, e);
      Butterfly(a, c), Butterfly(b, e);
      hn::StoreU(a, d, x + i), hn::StoreU(b, d, x + i + kL);
      hn::StoreU(c, d, x + i + 2 * kL), hn::StoreU(e, d, x + i + 3 * kL);
    }
    h = 4 * kL;
  } else {
    for (int64_t i = 0; i < n; i += kL) hn::StoreU(InRegister(d, hn::LoadU(d, x + i)), d, x + i);
  }
  for (; 4 * h <= n; h *= 4) {
    for (int64_t i = 0; i < n; i += 4 * h) {
      for (int64_t j = i; j < i + h; j += kL) {
        V a = hn::LoadU(d, x + j), b = hn::LoadU(d, x + j + h), c = hn::LoadU(d, x + j + 2 * h),
          e = hn::LoadU(d, x + j + 3 * h);
        Butterfly(a, b), Butterfly(c, e);
        Butterfly(a, c), Butterfly(b, e);
        hn::StoreU(a, d, x + j), hn::StoreU(b, d, x + j + h);
        hn::StoreU(c, d, x + j + 2 * h), hn::StoreU(e, d, x + j + 3 * h);
      }
    }
  }
  for (; h < n; h *= 2) {
    for (int64_t i = 0; i < n; i += 2 * h) {
      for (int64_t j = i; j < i + h; j += kL) {
        V a = hn::LoadU(d, x + j), b = hn::LoadU(d, x + j + h);
        Butterfly(a, b);
        hn::StoreU(a, d, x + j), hn::StoreU(b, d, x + j + h);
      }
    }
  }
}

// Paley's matrix (or its transpose) across m chunks of `width` entries, one column of chunks at a time.
template <int kM, class DT>
HWY_INLINE void PaleyColumn(DT d, const Paley& p, float* x, int64_t width, bool transposed) {
  hn::Vec<DT> in[kM], out[kM];
  for (int i = 0; i < kM; ++i) in[i] = hn::LoadU(d, x + i * width);
  for (int i = 0; i < kM; ++i) {
    auto sum = hn::Zero(d);
    for (int j = 0; j < kM; ++j) {
      const bool plus = (transposed ? p.entry[j][i] : p.entry[i][j]) > 0;
      sum = plus ? hn::Add(sum, in[j]) : hn::Sub(sum, in[j]);
    }
    out[i] = sum;
  }
  for (int i = 0; i < kM; ++i) hn::StoreU(out[i], d, x + i * width);
}

template <int kM, bool kTransposed>
void PaleyChunks(float* x, int64_t width) {
  constexpr const Paley& p = kM == 12 ? kPaley12 : kPaley20;
  const D d;
  const hn::CappedTag<float, 1> one;
  int64_t c = 0;
  for (; c + kL <= width; c += kL) PaleyColumn<kM>(d, p, x + c, width, kTransposed);
  for (; c < width; ++c) PaleyColumn<kM>(one, p, x + c, width, kTransposed);
}

void Flip(float* x, const uint32_t* flip, int64_t n) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  int64_t i = 0;
  for (; i + kL <= n; i += kL) {
    hn::StoreU(hn::Xor(hn::LoadU(d, x + i), hn::BitCast(d, hn::LoadU(du, flip + i))), d, x + i);
  }
  for (; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, 4);
    bits ^= flip[i];
    std::memcpy(x + i, &bits, 4);
  }
}

void Transform(float* x, const uint32_t* flip, int64_t n, int m) {
  if (flip != nullptr) Flip(x, flip, n);
  const int64_t width = n / m;
  for (int i = 0; i < m; ++i) Sylvester(x + i * width, width);
  if (m == 12) PaleyChunks<12, false>(x, width);
  if (m == 20) PaleyChunks<20, false>(x, width);
}

void TransformTransposed(float* x, const uint32_t* flip, int64_t n, int m) {
  const int64_t width = n / m;
  if (m == 12) PaleyChunks<12, true>(x, width);
  if (m == 20) PaleyChunks<20, true>(x, width);
  for (int i = 0; i < m; ++i) Sylvester(x + i * width, width);
  if (flip != nullptr) Flip(x, flip, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Transform);
HWY_EXPORT(TransformTransposed);

namespace {

// m of n = m 2^k, 0 when there is none.
int PaleyOrder(int64_t n) {
  if (n < 1) return 0;
  if (std::has_single_bit(static_cast<uint64_t>(n))) return 1;
  for (const int m : {12, 20}) {
    if (n % m == 0 && std::has_single_bit(static_cast<uint64_t>(n / m))) return m;
  }
  return 0;
}

int RequirePaleyOrder(int64_t n) {
  const int m = PaleyOrder(n);
  if (m == 0) Fail("no Hadamard transform of length {}: lengths are 2^k, 12 2^k and 20 2^k", n);
  return m;
}

}  // namespace

bool HasHadamard(int64_t n) {
  return PaleyOrder(n) != 0;
}

int64_t LargestHadamard(int64_t n) {
  int64_t best = 1;
  for (const int64_t m : {1, 12, 20}) {
    for (int64_t length = m; length <= n; length *= 2) best = length > best ? length : best;
  }
  return best;
}

int HadamardEntry(int64_t n, int64_t row, int64_t col) {
  const int m = RequirePaleyOrder(n);
  const int64_t width = n / m;
  const int sylvester = std::popcount(static_cast<uint64_t>((row % width) & (col % width))) % 2 == 0 ? 1 : -1;
  if (m == 1) return sylvester;
  const Paley& p = m == 12 ? kPaley12 : kPaley20;
  return sylvester * p.entry[static_cast<size_t>(row / width)][static_cast<size_t>(col / width)];
}

void Hadamard(float* x, const uint32_t* flip, int64_t n) {
  LOWBIT_KERNEL(Transform)(x, flip, n, RequirePaleyOrder(n));
}

void HadamardTransposed(float* x, const uint32_t* flip, int64_t n) {
  LOWBIT_KERNEL(TransformTransposed)(x, flip, n, RequirePaleyOrder(n));
}

}  // namespace lowbit
#endif  // HWY_ONCE
