#include "lowbit/kernel/hadamard.h"

#include <bit>

#include "lowbit/base/error.h"
#include "lowbit/kernel/hadamard_matrices.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/hadamard.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/hadamard-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

void RunsInPlace(float* x, const float* factor, int64_t n, int64_t width) {
  NoObserver none;
  if (width >= static_cast<int64_t>(hn::MaxLanes(Row()))) {
    Runs(x, factor, x, n, width, none);
  } else {
    ShortRuns(factor, x, n, width);
  }
}

void Transform(float* x, const float* factor, int64_t n, int m) {
  RunsInPlace(x, factor, n, n / m);
  Chunks<false>(x, n, m);
}

void TransformTransposed(float* x, const float* factor, int64_t n, int m) {
  Chunks<true>(x, n, m);
  RunsInPlace(x, nullptr, n, n / m);
  for (int64_t i = 0; factor != nullptr && i < n; ++i) x[i] *= factor[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Transform);
HWY_EXPORT(TransformTransposed);

int HadamardBase(int64_t n) {
  if (n < 1) return 0;
  if (std::has_single_bit(static_cast<uint64_t>(n))) return 1;
  for (const int m : {12, 20}) {
    if (n % m == 0 && std::has_single_bit(static_cast<uint64_t>(n / m))) return m;
  }
  return 0;
}

namespace {

int RequireBase(int64_t n) {
  const int m = HadamardBase(n);
  if (m == 0) Fail("no Hadamard transform of length {}: lengths are 2^k, 12 2^k and 20 2^k", n);
  return m;
}

}  // namespace

bool HasHadamard(int64_t n) {
  return HadamardBase(n) != 0;
}

int64_t LargestHadamard(int64_t n) {
  int64_t best = 1;
  for (const int64_t m : {1, 12, 20}) {
    for (int64_t length = m; length <= n; length *= 2) best = length > best ? length : best;
  }
  return best;
}

int HadamardEntry(int64_t n, int64_t row, int64_t col) {
  const int m = RequireBase(n);
  const int64_t width = n / m;
  const int sylvester = std::popcount(static_cast<uint64_t>((row % width) & (col % width))) % 2 == 0 ? 1 : -1;
  if (m == 1) return sylvester;
  const auto i = static_cast<size_t>(row / width), j = static_cast<size_t>(col / width);
  if (m == 20) return sylvester * kPaley20.entry[i][j];
  return sylvester * (i / 3 == j / 3 ? 1 : kSign12[i / 3][j / 3] * (i % 3 == j % 3 ? -1 : 1));
}

void Hadamard(float* x, const float* factor, int64_t n) {
  LOWBIT_KERNEL(Transform)(x, factor, n, RequireBase(n));
}

void HadamardTransposed(float* x, const float* factor, int64_t n) {
  LOWBIT_KERNEL(TransformTransposed)(x, factor, n, RequireBase(n));
}

}  // namespace lowbit
#endif  // HWY_ONCE
