#include "lowbit/kernel/hadamard.h"

#include <array>
#include <bit>

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

inline constexpr Paley kPaley20 = MakePaley(20);

// Williamson's array of order 12: block (i, j) of 3 x 3 is J where i = j, else kSign12[i][j] (J - 2 I).
inline constexpr int kSign12[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};

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

// The stages of distance 1, 2, 4 within a register: each lane's partner plus or minus the lane itself.
// Products with +-1 are exact, so a fused addition rounds as a plain one does.
HWY_INLINE V InRegister([[maybe_unused]] D d, V v) {
#if HWY_TARGET == HWY_SCALAR
  return v;
#else
  alignas(32) static constexpr float kOne[8] = {1, -1, 1, -1, 1, -1, 1, -1};
  alignas(32) static constexpr float kTwo[8] = {1, 1, -1, -1, 1, 1, -1, -1};
  alignas(32) static constexpr float kFour[8] = {1, 1, 1, 1, -1, -1, -1, -1};
  if constexpr (kL >= 2) v = hn::MulAdd(v, hn::Load(d, kOne), hn::Shuffle2301(v));
  if constexpr (kL >= 4) v = hn::MulAdd(v, hn::Load(d, kTwo), hn::Shuffle1032(v));
  if constexpr (kL >= 8) v = hn::MulAdd(v, hn::Load(d, kFour), hn::ConcatLowerUpper(d, v, v));
  return v;
#endif
}

// Sylvester's transform of each run of `width` = 2^k of n entries times `factor`.
template <bool kFactors>
void Sylvester(float* x, const float* factor, int64_t n, int64_t width) {
  const D d;
  if (width < kL) {
    for (int64_t i = 0; kFactors && i < n; ++i) x[i] *= factor[i];
    for (int64_t h = 1; h < width; h *= 2) {
      for (int64_t i = 0; i < n; ++i) {
        if (i & h) continue;
        const float a = x[i], b = x[i + h];
        x[i] = a + b;
        x[i + h] = a - b;
      }
    }
    return;
  }
  const auto load = [&](int64_t i) {
    const V v = hn::LoadU(d, x + i);
    return InRegister(d, kFactors ? hn::Mul(v, hn::LoadU(d, factor + i)) : v);
  };
  int64_t h = kL;
  // The first pass over memory takes the stages within a register and, where there are enough registers, two
  // more; later passes take two stages at a time.
  if (width >= 4 * kL) {
    for (int64_t i = 0; i < n; i += 4 * kL) {
      V a = load(i), b = load(i + kL), c = load(i + 2 * kL), e = load(i + 3 * kL);
      Butterfly(a, b), Butterfly(c, e);
      Butterfly(a, c), Butterfly(b, e);
      hn::StoreU(a, d, x + i), hn::StoreU(b, d, x + i + kL);
      hn::StoreU(c, d, x + i + 2 * kL), hn::StoreU(e, d, x + i + 3 * kL);
    }
    h = 4 * kL;
  } else {
    for (int64_t i = 0; i < n; i += kL) hn::StoreU(load(i), d, x + i);
  }
  for (; 4 * h <= width; h *= 4) {
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
  for (; h < width; h *= 2) {
    for (int64_t i = 0; i < n; i += 2 * h) {
      for (int64_t j = i; j < i + h; j += kL) {
        V a = hn::LoadU(d, x + j), b = hn::LoadU(d, x + j + h);
        Butterfly(a, b);
        hn::StoreU(a, d, x + j), hn::StoreU(b, d, x + j + h);
      }
    }
  }
}

// Paley's matrix of order 20 (or its transpose) on one column of 20 chunks of `width` entries.
template <class DT>
HWY_INLINE void Column20(DT d, float* x, int64_t width, bool transposed) {
  hn::Vec<DT> in[20], out[20];
  for (int i = 0; i < 20; ++i) in[i] = hn::LoadU(d, x + i * width);
  for (int i = 0; i < 20; ++i) {
    auto sum = hn::Zero(d);
    for (int j = 0; j < 20; ++j) {
      const bool plus = (transposed ? kPaley20.entry[j][i] : kPaley20.entry[i][j]) > 0;
      sum = plus ? hn::Add(sum, in[j]) : hn::Sub(sum, in[j]);
    }
    out[i] = sum;
  }
  for (int i = 0; i < 20; ++i) hn::StoreU(out[i], d, x + i * width);
}

// Williamson's: with the sums s of three entries, J x = s and (J - 2 I) x = s - 2 x, so that a column of
// twelve takes 56 additions instead of 132.
template <class DT>
HWY_INLINE void Column12(DT d, float* x, int64_t width, bool transposed) {
  hn::Vec<DT> sum[4], rest[4][3];
  for (int i = 0; i < 4; ++i) {
    for (int k = 0; k < 3; ++k) rest[i][k] = hn::LoadU(d, x + (3 * i + k) * width);
    sum[i] = hn::Add(hn::Add(rest[i][0], rest[i][1]), rest[i][2]);
    for (int k = 0; k < 3; ++k) rest[i][k] = hn::Sub(sum[i], hn::Add(rest[i][k], rest[i][k]));
  }
  for (int i = 0; i < 4; ++i) {
    for (int k = 0; k < 3; ++k) {
      auto y = sum[i];
      for (int j = 0; j < 4; ++j) {
        if (j == i) continue;
        const bool plus = (transposed ? kSign12[j][i] : kSign12[i][j]) > 0;
        y = plus ? hn::Add(y, rest[j][k]) : hn::Sub(y, rest[j][k]);
      }
      hn::StoreU(y, d, x + (3 * i + k) * width);
    }
  }
}

template <bool kTransposed>
void AcrossChunks(float* x, int64_t width, int m) {
  const D d;
  const hn::CappedTag<float, 1> one;
  int64_t c = 0;
  if (m == 12) {
    for (; c + kL <= width; c += kL) Column12(d, x + c, width, kTransposed);
    for (; c < width; ++c) Column12(one, x + c, width, kTransposed);
  } else if (m == 20) {
    for (; c + kL <= width; c += kL) Column20(d, x + c, width, kTransposed);
    for (; c < width; ++c) Column20(one, x + c, width, kTransposed);
  }
}

void Transform(float* x, const float* factor, int64_t n, int m) {
  const int64_t width = n / m;
  if (factor != nullptr) {
    Sylvester<true>(x, factor, n, width);
  } else {
    Sylvester<false>(x, nullptr, n, width);
  }
  AcrossChunks<false>(x, width, m);
}

void TransformTransposed(float* x, const float* factor, int64_t n, int m) {
  const int64_t width = n / m;
  AcrossChunks<true>(x, width, m);
  Sylvester<false>(x, nullptr, n, width);
  for (int64_t i = 0; factor != nullptr && i < n; ++i) x[i] *= factor[i];
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
  const auto i = static_cast<size_t>(row / width), j = static_cast<size_t>(col / width);
  if (m == 20) return sylvester * kPaley20.entry[i][j];
  return sylvester * (i / 3 == j / 3 ? 1 : kSign12[i / 3][j / 3] * (i % 3 == j % 3 ? -1 : 1));
}

void Hadamard(float* x, const float* factor, int64_t n) {
  LOWBIT_KERNEL(Transform)(x, factor, n, RequirePaleyOrder(n));
}

void HadamardTransposed(float* x, const float* factor, int64_t n) {
  LOWBIT_KERNEL(TransformTransposed)(x, factor, n, RequirePaleyOrder(n));
}

}  // namespace lowbit
#endif  // HWY_ONCE
