#include "lowbit/kernel/ordered_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/ordered_product.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(D()));
// Sums in registers: rows of x times registers of entries of y, a lane an entry.
constexpr int kRows = HWY_TARGET == HWY_AVX3 ? 8 : 4;
constexpr int kRegisters = HWY_TARGET == HWY_SCALAR ? 1 : 2;

// y_ri of kCount rows and kWide registers from column i on.
template <int kCount, int kWide, class Tag>
HWY_INLINE void Tile(Tag d, MatrixView<const float> s, MatrixView<const float> x, MatrixView<float> y,
                     int64_t row, int64_t i) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(Tag()));
  hn::Vec<Tag> sum[kCount][kWide];
  Unroll<0, kCount>(
      [&](auto r) LOWBIT_STEP { Unroll<0, kWide>([&](auto k) LOWBIT_STEP { sum[r][k] = hn::Zero(d); }); });
  const float *from = s.data + i, *entry = x.Row(row);
  for (int64_t j = 0; j < x.cols; ++j, from += s.stride) {
    hn::Vec<Tag> v[kWide];
    Unroll<0, kWide>([&](auto k) LOWBIT_STEP { v[k] = hn::LoadU(d, from + k * kL); });
    Unroll<0, kCount>([&](auto r) LOWBIT_STEP {
      const auto factor = hn::Set(d, entry[r * x.stride + j]);
      Unroll<0, kWide>([&](auto k) LOWBIT_STEP { sum[r][k] = hn::Add(sum[r][k], hn::Mul(factor, v[k])); });
    });
  }
  Unroll<0, kCount>([&](auto r) LOWBIT_STEP {
    Unroll<0, kWide>([&](auto k) LOWBIT_STEP { hn::StoreU(sum[r][k], d, y.Row(row + r) + i + k * kL); });
  });
}

// All rows of x for one strip of S^T, which stays in the caches.
template <int kWide, class Tag>
HWY_INLINE void Strip(Tag d, MatrixView<const float> s, MatrixView<const float> x, MatrixView<float> y,
                      int64_t i) {
  int64_t row = 0;
  for (; row + kRows <= x.rows; row += kRows) Tile<kRows, kWide>(d, s, x, y, row, i);
  for (; row < x.rows; ++row) Tile<1, kWide>(d, s, x, y, row, i);
}

void Multiply(MatrixView<const float> s, MatrixView<const float> x, MatrixView<float> y) {
  int64_t i = 0;
  for (; i + kRegisters * kLanes <= y.cols; i += kRegisters * kLanes) Strip<kRegisters>(D(), s, x, y, i);
  for (; i + kLanes <= y.cols; i += kLanes) Strip<1>(D(), s, x, y, i);
  for (; i < y.cols; ++i) Strip<1>(hn::CappedTag<float, 1>(), s, x, y, i);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Multiply);

void OrderedProduct(MatrixView<const float> s_transposed, MatrixView<const float> x, MatrixView<float> y) {
  LOWBIT_KERNEL(Multiply)(s_transposed, x, y);
}

}  // namespace lowbit
#endif  // HWY_ONCE
