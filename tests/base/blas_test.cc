#include "lowbit/base/blas.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

template <typename T>
std::vector<T> RandomMatrix(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  std::vector<T> m(static_cast<size_t>(rows * cols));
  for (T& v : m) v = static_cast<T>(random.Normal());
  return m;
}

// A well-conditioned positive definite matrix: X^T X / n + I.
template <typename T>
std::vector<T> RandomSpd(int64_t n, uint64_t seed) {
  const std::vector<T> x = RandomMatrix<T>(n, n, seed);
  std::vector<T> h(static_cast<size_t>(n * n), T(0));
  ThreadPool pool(1);
  Syrk<T>(T(1) / static_cast<T>(n), {x.data(), n, n}, {h.data(), n, n}, pool);
  MirrorUpper<T>({h.data(), n, n}, pool);
  for (int64_t i = 0; i < n; ++i) h[i * n + i] += T(1);
  return h;
}

template <typename T>
class Blas : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Blas, Types);

TEST(BlasLibrary, IsOpenBlasAndComputesRightly) {
  EXPECT_FALSE(BlasInfo().kernels.empty());
  EXPECT_NE(BlasInfo().config.find("OpenBLAS"), std::string::npos);
  EXPECT_NO_THROW(BlasSelfCheck());
}

TYPED_TEST(Blas, GemmEqualsPlainLoops) {
  using T = TypeParam;
  const int64_t m = 140, n = 301, k = 33;
  for (const Transpose ta : {Transpose::kNo, Transpose::kYes}) {
    for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
      const bool at = ta == Transpose::kYes, bt = tb == Transpose::kYes;
      const std::vector<T> a = RandomMatrix<T>(m, k, 1), b = RandomMatrix<T>(k, n, 2);
      std::vector<T> c = RandomMatrix<T>(m, n, 3);
      const std::vector<T> before = c;
      ThreadPool pool(2);
      Gemm<T>(ta, tb, T(2), {a.data(), at ? k : m, at ? m : k}, {b.data(), bt ? n : k, bt ? k : n}, T(-1),
              {c.data(), m, n}, pool);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t p = 0; p < k; ++p) {
            sum += static_cast<double>(at ? a[p * m + i] : a[i * k + p]) * (bt ? b[j * k + p] : b[p * n + j]);
          }
          ASSERT_NEAR(c[i * n + j], 2 * sum - before[i * n + j], sizeof(T) == 4 ? 1e-4 : 1e-12);
        }
      }
    }
  }
  std::vector<T> c(4);
  EXPECT_THROW(Gemm<T>(Transpose::kNo, Transpose::kNo, T(1), {c.data(), 2, 2}, {c.data(), 1, 2}, T(0),
                       {c.data(), 2, 2}),
               Error);
}

TYPED_TEST(Blas, FactorAndInverseMultiplyBack) {
  using T = TypeParam;
  for (const int64_t n : {1, 7, 64, 65, 300, 1090}) {
    const std::vector<T> h = RandomSpd<T>(n, 11);
    std::vector<T> l = h, inverse(h.size()), product(h.size());
    ThreadPool pool(2);
    ASSERT_FALSE(Cholesky<T>({l.data(), n, n}, pool).has_value());
    for (int64_t i = 0; i < n; ++i) std::fill(l.begin() + i * n + i + 1, l.begin() + (i + 1) * n, T(0));
    Gemm<T>(Transpose::kNo, Transpose::kYes, T(1), {l.data(), n, n}, {l.data(), n, n}, T(0),
            {product.data(), n, n}, pool);
    const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
    for (size_t i = 0; i < h.size(); ++i) ASSERT_NEAR(product[i], h[i], tolerance) << n;
    InvertLower<T>({l.data(), n, n}, {inverse.data(), n, n}, pool);
    Gemm<T>(Transpose::kNo, Transpose::kNo, T(1), {l.data(), n, n}, {inverse.data(), n, n}, T(0),
            {product.data(), n, n}, pool);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        ASSERT_NEAR(product[i * n + j], i == j ? 1 : 0, tolerance) << n;
        if (j > i) {
          ASSERT_EQ(inverse[i * n + j], T(0));
        }
      }
    }
  }
}

TYPED_TEST(Blas, CholeskyNamesTheFailingPivot) {
  using T = TypeParam;
  const int64_t n = 200;
  for (const T bad : {T(-1), T(0), std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    for (const int64_t where : {0, 5, 130, 199}) {
      std::vector<T> h(static_cast<size_t>(n * n), T(0));
      for (int64_t i = 0; i < n; ++i) h[i * n + i] = i == where ? bad : T(3);
      EXPECT_EQ(Cholesky<T>({h.data(), n, n}), where);
    }
  }
}

TYPED_TEST(Blas, ResultsDoNotDependOnThreads) {
  using T = TypeParam;
  const int64_t n = 700, k = 150;
  const std::vector<T> x = RandomMatrix<T>(k, n, 5), spd = RandomSpd<T>(n, 6);
  std::vector<std::vector<T>> results;
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    std::vector<T> h(static_cast<size_t>(n * n), T(0)), l = spd, inverse(h.size()), product(h.size());
    Syrk<T>(T(1), {x.data(), k, n}, {h.data(), n, n}, pool);
    MirrorUpper<T>({h.data(), n, n}, pool);
    ASSERT_FALSE(Cholesky<T>({l.data(), n, n}, pool).has_value());
    InvertLower<T>({l.data(), n, n}, {inverse.data(), n, n}, pool);
    Gemm<T>(Transpose::kNo, Transpose::kYes, T(1), {h.data(), n, n}, {inverse.data(), n, n}, T(0),
            {product.data(), n, n}, pool);
    results.push_back(product);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace lowbit
