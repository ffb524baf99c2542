// Hadamard transforms on registers: what kernel/hadamard.h specifies, for kernels that go on with the result.

#if defined(LOWBIT_KERNEL_HADAMARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_HADAMARD_INL_H_
#undef LOWBIT_KERNEL_HADAMARD_INL_H_
#else
#define LOWBIT_KERNEL_HADAMARD_INL_H_
#endif

#include "hwy/highway.h"
#include "lowbit/kernel/hadamard_matrices.h"
#include "lowbit/kernel/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sixteen lanes at most: the butterflies inside a register are spelled out for them.
using WideRow = hn::CappedTag<float, 16>;
using Row = hn::CappedTag<float, 8>;  // where runs are shorter

template <class V>
HWY_INLINE void Butterfly(V& a, V& b) {
  const V sum = hn::Add(a, b);
  b = hn::Sub(a, b);
  a = sum;
}

// The stages of distance 1, 2, 4, 8 within runs of kRun lanes, all of a register's or eight: each lane's
// partner plus or minus the lane itself. Products with +-1 are exact, so a fused addition rounds as a plain
// one does.
template <size_t kRun = 16, class D>
HWY_INLINE hn::Vec<D> InRegister([[maybe_unused]] D d, hn::Vec<D> v) {
#if HWY_TARGET == HWY_SCALAR
  return v;
#else
  constexpr size_t kLanes = hn::MaxLanes(D());
  alignas(64) static constexpr float kSign[4][16] = {
      {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
      {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
      {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
      {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1}};
  v = hn::MulAdd(v, hn::Load(d, kSign[0]), hn::Shuffle2301(v));
  v = hn::MulAdd(v, hn::Load(d, kSign[1]), hn::Shuffle1032(v));
  if constexpr (kLanes == 8) v = hn::MulAdd(v, hn::Load(d, kSign[2]), hn::ConcatLowerUpper(d, v, v));
  if constexpr (kLanes == 16) {
    v = hn::MulAdd(v, hn::Load(d, kSign[2]), hn::SwapAdjacentBlocks(v));
    if constexpr (kRun == 16) v = hn::MulAdd(v, hn::Load(d, kSign[3]), hn::ConcatLowerUpper(d, v, v));
  }
  return v;
#endif
}

// The stages across kCount registers.
template <int kCount, class V>
HWY_INLINE void AcrossRegisters(V* v) {
  if constexpr (kCount > 1) {
    constexpr int kHalf = kCount / 2;
    AcrossRegisters<kHalf>(v);
    AcrossRegisters<kHalf>(v + kHalf);
    Unroll<0, kHalf>([&](auto i) LOWBIT_STEP { Butterfly(v[i], v[i + kHalf]); });
  }
}

// Sees the entries that a transform reads, in ascending order; this one does nothing with them.
struct NoObserver {
  template <class V>
  HWY_INLINE void operator()(V /*v*/, int64_t /*i*/) {}
};

// The stages within runs of kCount registers.
template <int kCount, class D, class Observer>
HWY_INLINE void FirstStages(D d, const float* from, const float* factor, float* to, int64_t n,
                            Observer& observe) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(D()));
  for (int64_t i = 0; i < n; i += kCount * kL) {
    hn::Vec<D> v[kCount];
    Unroll<0, kCount>([&](auto k) LOWBIT_STEP {
      v[k] = hn::LoadU(d, from + i + k * kL);
      observe(v[k], i + k * kL);
      if (factor != nullptr) v[k] = hn::Mul(v[k], hn::LoadU(d, factor + i + k * kL));
      v[k] = InRegister(d, v[k]);
    });
    AcrossRegisters<kCount>(v);
    Unroll<0, kCount>([&](auto k) LOWBIT_STEP { hn::StoreU(v[k], d, to + i + k * kL); });
  }
}

// The stages of distance h ... kCount h / 2.
template <int kCount, class D>
HWY_INLINE void LaterStages(D d, float* x, int64_t n, int64_t h) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(D()));
  for (int64_t i = 0; i < n; i += kCount * h) {
    for (int64_t j = i; j < i + h; j += kL) {
      hn::Vec<D> v[kCount];
      Unroll<0, kCount>([&](auto k) LOWBIT_STEP { v[k] = hn::LoadU(d, x + j + k * h); });
      AcrossRegisters<kCount>(v);
      Unroll<0, kCount>([&](auto k) LOWBIT_STEP { hn::StoreU(v[k], d, x + j + k * h); });
    }
  }
}

// Rounds of transforms of kRows rows of kCount registers each, which stay in them. One row alone is a chain
// of operations that wait for each other.
template <int kRows, int kCount, class D, class Observer>
HWY_INLINE void RoundsInRegisters(D d, const float* from, int64_t stride, const float* factor, int rounds,
                                  float* to, Observer (&observe)[kRows]) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(D()));
  hn::Vec<D> v[kRows][kCount];
  Unroll<0, kRows>([&](auto r) LOWBIT_STEP {
    Unroll<0, kCount>([&](auto k) LOWBIT_STEP {
      v[r][k] = hn::LoadU(d, from + r * stride + k * kL);
      observe[r](v[r][k], k * kL);
    });
  });
  for (int round = 0; round < rounds; ++round, factor += kCount * kL) {
    Unroll<0, kCount>([&](auto k) LOWBIT_STEP {
      const auto f = hn::LoadU(d, factor + k * kL);
      Unroll<0, kRows>([&](auto r) LOWBIT_STEP { v[r][k] = InRegister(d, hn::Mul(v[r][k], f)); });
    });
    Unroll<0, kRows>([&](auto r) LOWBIT_STEP { AcrossRegisters<kCount>(v[r]); });
  }
  Unroll<0, kRows>([&](auto r) LOWBIT_STEP {
    Unroll<0, kCount>([&](auto k) LOWBIT_STEP { hn::StoreU(v[r][k], d, to + (r * kCount + k) * kL); });
  });
}

// Runs shorter than a register, in place.
HWY_INLINE void ShortRuns(const float* factor, float* x, int64_t n, int64_t width) {
  for (int64_t i = 0; factor != nullptr && i < n; ++i) x[i] *= factor[i];
  for (int64_t h = 1; h < width; h *= 2) {
    for (int64_t i = 0; i < n; ++i) {
      if (i & h) continue;
      const float a = x[i], b = x[i + h];
      x[i] = a + b;
      x[i + h] = a - b;
    }
  }
}

// Sylvester's transform of each run of `width` = 2^k, at least a register, of n entries times `factor` (null:
// ones).
template <class D, class Observer>
HWY_INLINE void Sylvester(D d, const float* from, const float* factor, float* to, int64_t n, int64_t width,
                          Observer& observe) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(D()));
  // The first pass over memory takes as many stages as there are registers for; later passes take three.
  int64_t h = kL;
  if (width >= 8 * kL) {
    FirstStages<8>(d, from, factor, to, n, observe);
    h = 8 * kL;
  } else if (width == 4 * kL) {
    FirstStages<4>(d, from, factor, to, n, observe);
    h = 4 * kL;
  } else if (width == 2 * kL) {
    FirstStages<2>(d, from, factor, to, n, observe);
    h = 2 * kL;
  } else {
    FirstStages<1>(d, from, factor, to, n, observe);
  }
  for (; 8 * h <= width; h *= 8) LaterStages<8>(d, to, n, h);
  if (4 * h == width) LaterStages<4>(d, to, n, h);
  if (2 * h == width) LaterStages<2>(d, to, n, h);
}

// Paley's matrix of order 20 (or its transpose) on one column of 20 chunks of `width` entries. The eight sums
// +-a +-b +-c +-d of four entries, up to their sign, serve all rows: 140 additions instead of 380.
template <bool kTransposed, class D>
HWY_INLINE void Column20(D d, float* x, int64_t width) {
  hn::Vec<D> four[5][8];
  Unroll<0, 5>([&](auto g) LOWBIT_STEP {
    const auto load = [&](int k) LOWBIT_STEP { return hn::LoadU(d, x + (4 * g + k) * width); };
    const auto a = load(0), b = load(1), c = load(2), e = load(3);
    const hn::Vec<D> first[2] = {hn::Add(a, b), hn::Sub(a, b)}, last[2] = {hn::Add(c, e), hn::Sub(c, e)};
    Unroll<0, 4>([&](auto k) LOWBIT_STEP {
      four[g][k] = hn::Add(first[k & 1], last[k >> 1]);
      four[g][4 + k] = hn::Sub(first[k & 1], last[k >> 1]);
    });
  });
  Unroll<0, 20>([&](auto i) LOWBIT_STEP {
    constexpr SumOfFours kSum = FoursOf(i, kTransposed);
    auto y = four[kSum.first][kSum.index[kSum.first]];
    if constexpr (!kSum.plus[kSum.first]) y = hn::Neg(y);
    Unroll<0, 5>([&](auto g) LOWBIT_STEP {
      if constexpr (g == kSum.first) return;
      y = kSum.plus[g] ? hn::Add(y, four[g][kSum.index[g]]) : hn::Sub(y, four[g][kSum.index[g]]);
    });
    hn::StoreU(y, d, x + i * width);
  });
}

// Williamson's: with the sums s of three entries, J x = s and (J - 2 I) x = s - 2 x, so that a column of
// twelve takes 68 additions instead of 132.
template <bool kTransposed, class V>
HWY_INLINE void Twelve(V (&v)[12]) {
  V sum[4], rest[12];
  Unroll<0, 4>([&](auto i) LOWBIT_STEP {
    sum[i] = hn::Add(hn::Add(v[3 * i], v[3 * i + 1]), v[3 * i + 2]);
    Unroll<0, 3>([&](auto k)
                     LOWBIT_STEP { rest[3 * i + k] = hn::Sub(sum[i], hn::Add(v[3 * i + k], v[3 * i + k])); });
  });
  Unroll<0, 12>([&](auto row) LOWBIT_STEP {
    constexpr int kI = row / 3, kK = row % 3;
    v[row] = sum[kI];
    Unroll<0, 4>([&](auto j) LOWBIT_STEP {
      if constexpr (j == kI) return;
      constexpr bool kPlus = (kTransposed ? kSign12[j][kI] : kSign12[kI][j]) > 0;
      v[row] = kPlus ? hn::Add(v[row], rest[3 * j + kK]) : hn::Sub(v[row], rest[3 * j + kK]);
    });
  });
}
template <bool kTransposed, class D>
HWY_INLINE void Column12(D d, float* x, int64_t width) {
  hn::Vec<D> v[12];
  Unroll<0, 12>([&](auto k) LOWBIT_STEP { v[k] = hn::LoadU(d, x + k * width); });
  Twelve<kTransposed>(v);
  Unroll<0, 12>([&](auto k) LOWBIT_STEP { hn::StoreU(v[k], d, x + k * width); });
}

template <bool kTransposed, class D>
HWY_NOINLINE void AcrossChunks(D d, float* x, int64_t width, int m) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(D()));
  const hn::CappedTag<float, 1> one;
  int64_t c = 0;
  if (m == 12) {
    for (; c + kL <= width; c += kL) Column12<kTransposed>(d, x + c, width);
    for (; c < width; ++c) Column12<kTransposed>(one, x + c, width);
  } else if (m == 20) {
    for (; c + kL <= width; c += kL) Column20<kTransposed>(d, x + c, width);
    for (; c < width; ++c) Column20<kTransposed>(one, x + c, width);
  }
}

// Sylvester's transform of runs of `width` >= 8; from and to are equal or apart.
template <class Observer>
HWY_INLINE void Runs(const float* from, const float* factor, float* to, int64_t n, int64_t width,
                     Observer& observe) {
  if (width >= static_cast<int64_t>(hn::MaxLanes(WideRow()))) {
    Sylvester(WideRow(), from, factor, to, n, width, observe);
  } else {
    Sylvester(Row(), from, factor, to, n, width, observe);
  }
}

// B_m (or its transpose) across the m chunks of n entries.
template <bool kTransposed>
HWY_INLINE void Chunks(float* x, int64_t n, int m) {
  const int64_t width = n / m;
  if (width % static_cast<int64_t>(hn::MaxLanes(WideRow())) == 0) {
    AcrossChunks<kTransposed>(WideRow(), x, width, m);
  } else {
    AcrossChunks<kTransposed>(Row(), x, width, m);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_HADAMARD_INL_H_
