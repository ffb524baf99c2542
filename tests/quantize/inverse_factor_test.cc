#include "lowbit/quantize/inverse_factor.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

// U Hd U^T = I characterises the upper factor of inv(Hd) = U^T U.
template <typename T>
double WorstIdentityError(const Buffer<T>& u, const std::vector<double>& damped, int64_t n) {
  std::vector<double> uh(static_cast<size_t>(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < n; ++j)
        uh[static_cast<size_t>(i * n + j)] +=
            static_cast<double>(u[static_cast<size_t>(i * n + k)]) * damped[static_cast<size_t>(k * n + j)];
    }
  }
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k)
        sum += uh[static_cast<size_t>(i * n + k)] * static_cast<double>(u[static_cast<size_t>(j * n + k)]);
      worst = std::max(worst, std::abs(sum - (i == j ? 1 : 0)));
    }
  }
  return worst;
}

template <typename T>
class InverseFactorTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(InverseFactorTest, Types);

TYPED_TEST(InverseFactorTest, FactorsTheInverseOfTheDampedPermutedHessian) {
  using T = TypeParam;
  for (const int64_t n : {1, 5, 150}) {
    const std::vector<T> h = RandomHessian<T>(n, 1);
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = 0; i < n; ++i)
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>((7 * i + 3) % n)]);
    for (const bool permuted : {false, true}) {
      const InverseFactor<T> f = FactorInverse<T>(
          View(h, n), permuted ? std::span<const int32_t>(order) : std::span<const int32_t>(), {});
      ASSERT_TRUE(f.ok) << f.failure;
      EXPECT_EQ(f.tries, 1);
      EXPECT_NEAR(f.damping, 0.01 * f.mean_diagonal, 1e-12 * f.mean_diagonal);
      std::vector<double> damped(h.size());
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const int64_t a = permuted ? order[static_cast<size_t>(i)] : i,
                        b = permuted ? order[static_cast<size_t>(j)] : j;
          damped[static_cast<size_t>(i * n + j)] =
              static_cast<double>(h[static_cast<size_t>(a * n + b)]) + (i == j ? f.damping : 0);
          if (j < i) {
            ASSERT_EQ(f.u[static_cast<size_t>(i * n + j)], T(0));
          }
        }
      }
      EXPECT_LT(WorstIdentityError(f.u, damped, n), sizeof(T) == 4 ? 2e-3 : 1e-10);
    }
  }
}

TYPED_TEST(InverseFactorTest, RetriesWithMoreDampingUntilItSucceeds) {
  using T = TypeParam;
  const int64_t n = 40;
  std::vector<T> h = PlainHessian(RandomInputs<T>(3, n, 2), n, 1);  // rank 3
  // One slightly negative eigenvalue direction that a damping of 0 or 1 % does not lift.
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(h[static_cast<size_t>(i * n + i)]) / n;
  for (int64_t i = 0; i < n; ++i)
    h[static_cast<size_t>(i * n + i)] -=
        static_cast<T>(0.05 * std::min(mean, static_cast<double>(h[static_cast<size_t>(i * n + i)])));
  DampingOptions options;
  options.relative = 0;
  const InverseFactor<T> f = FactorInverse<T>(View(h, n), {}, options);
  ASSERT_TRUE(f.ok) << f.failure;
  EXPECT_GT(f.tries, 2);
  EXPECT_GT(f.damping, 0.02 * f.mean_diagonal);
}

TYPED_TEST(InverseFactorTest, ReportsWhatCannotBeFactored) {
  using T = TypeParam;
  const int64_t n = 8;
  const std::vector<T> zero(static_cast<size_t>(n * n), T(0));
  EXPECT_FALSE(FactorInverse<T>(View(zero, n), {}, {}).ok);

  std::vector<T> nan = RandomHessian<T>(n, 3);
  nan[2 * n + 2] = std::numeric_limits<T>::quiet_NaN();
  const InverseFactor<T> f = FactorInverse<T>(View(nan, n), {}, {});
  EXPECT_FALSE(f.ok);
  EXPECT_NE(f.failure.find("column 2"), std::string::npos) << f.failure;

  nan = RandomHessian<T>(n, 3);
  nan[2 * n + 5] = nan[5 * n + 2] = std::numeric_limits<T>::quiet_NaN();  // off the diagonal
  EXPECT_FALSE(FactorInverse<T>(View(nan, n), {}, {}).ok);

  std::vector<T> indefinite(static_cast<size_t>(n * n), T(0));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) indefinite[static_cast<size_t>(i * n + j)] = i == j ? T(1) : T(1e7);
  }
  EXPECT_FALSE(FactorInverse<T>(View(indefinite, n), {}, {}).ok);
}

TYPED_TEST(InverseFactorTest, DeadColumnsStandAlone) {
  using T = TypeParam;
  const int64_t n = 12;
  std::vector<T> x = RandomInputs<T>(50, n, 5);
  for (int64_t t = 0; t < 50; ++t) x[static_cast<size_t>(t * n + 3)] = 0;
  const InverseFactor<T> f = FactorInverse<T>(View(PlainHessian(x, n, 1), n), {}, {});
  ASSERT_TRUE(f.ok);
  for (int64_t j = 0; j < n; ++j) {
    if (j != 3) {
      EXPECT_EQ(f.u[static_cast<size_t>(3 * n + j)], T(0));
      EXPECT_EQ(f.u[static_cast<size_t>(j * n + 3)], T(0));
    }
  }
}

}  // namespace
}  // namespace lowbit
