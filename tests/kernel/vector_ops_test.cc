#include "lowbit/kernel/vector_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "lowbit/kernel/targets.h"
#include "tests/kernel/random_matrix.h"

namespace lowbit {
namespace {

constexpr int64_t kLengths[] = {1, 2, 7, 15, 16, 17, 33, 100, 576};

void OnEveryTarget(const std::function<void(int64_t)>& test) {
  for (Target target : SupportedTargets()) {
    SetTarget(target);
    for (int64_t n : kLengths) {
      test(n);
      if (testing::Test::HasFatalFailure()) ADD_FAILURE() << NameOf(target) << " n=" << n;
    }
  }
  SetTarget(SupportedTargets().back());
}

TEST(VectorOps, RmsNorm) {
  OnEveryTarget([](int64_t n) {
    const auto x = RandomFloats(n, 1), w = RandomFloats(n, 2);
    std::vector<float> y(static_cast<size_t>(n));
    double mean = 0;
    for (float v : x) mean += static_cast<double>(v) * v / static_cast<double>(n);
    RmsNorm(x.data(), w.data(), 1e-5f, n, y.data());
    for (int64_t i = 0; i < n; ++i)
      ASSERT_NEAR(y[i], x[i] / std::sqrt(mean + 1e-5) * w[i], 2e-6 * (1 + std::abs(w[i])));
    RmsNorm(x.data(), nullptr, 1e-5f, n, y.data());
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], x[i] / std::sqrt(mean + 1e-5), 2e-6);
  });
}

TEST(VectorOps, GatedActivations) {
  OnEveryTarget([](int64_t n) {
    auto g = RandomFloats(n, 1);
    const auto u = RandomFloats(n, 2);
    g[0] = 1000;
    g.back() = -1000;
    std::vector<float> silu(g), gelu(g);
    SiluGlu(g.data(), u.data(), n, silu.data());
    GeluTanhGlu(g.data(), u.data(), n, gelu.data());
    for (int64_t i = 0; i < n; ++i) {
      const double v = g[i], s = v / (1 + std::exp(-v)) * u[i];
      const double t = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))) * u[i];
      ASSERT_NEAR(silu[i], s, 1e-6 * (1e-3 + std::abs(v * u[i])));
      ASSERT_NEAR(gelu[i], t, 1e-6 * (1e-3 + std::abs(v * u[i])));
    }
  });
}

TEST(VectorOps, SoftmaxSumsToOneAndIsShiftInvariant) {
  OnEveryTarget([](int64_t n) {
    const auto x = RandomFloats(n, 1);
    auto p = x;
    Softmax(p.data(), n);
    double sum = 0;
    for (float v : x) sum += std::exp(static_cast<double>(v));
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(p[i], std::exp(static_cast<double>(x[i])) / sum, 1e-6);
    std::vector<float> far(static_cast<size_t>(n), -3e38f);
    far[static_cast<size_t>(n / 2)] = 3e38f;
    Softmax(far.data(), n);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(far[i], i == n / 2 ? 1.0f : 0.0f);
  });
}

TEST(VectorOps, RotateTurnsAndTurnsBack) {
  OnEveryTarget([](int64_t half) {
    const auto x = RandomFloats(2 * half, 1), angle = RandomFloats(half, 2);
    std::vector<float> c(angle), s(angle), minus(angle), y(x);
    for (int64_t i = 0; i < half; ++i) c[i] = std::cos(angle[i]), s[i] = std::sin(angle[i]), minus[i] = -s[i];
    Rotate(c.data(), s.data(), half, y.data());
    for (int64_t i = 0; i < half; ++i) {
      ASSERT_NEAR(y[i], x[i] * c[i] - x[half + i] * s[i], 1e-6);
      ASSERT_NEAR(y[half + i], x[half + i] * c[i] + x[i] * s[i], 1e-6);
    }
    Rotate(c.data(), minus.data(), half, y.data());
    for (int64_t i = 0; i < 2 * half; ++i) ASSERT_NEAR(y[i], x[i], 3e-6);
  });
}

TEST(VectorOps, ReductionsAndMaps) {
  OnEveryTarget([](int64_t n) {
    const auto x = RandomFloats(n, 1), y = RandomFloats(n, 2);
    double dot = 0;
    for (int64_t i = 0; i < n; ++i) dot += static_cast<double>(x[i]) * y[i];
    ASSERT_NEAR(Dot(x.data(), y.data(), n), dot, 1e-5 * static_cast<double>(n));
    ASSERT_EQ(ArgMax(x.data(), n), std::max_element(x.begin(), x.end()) - x.begin());
    auto z = y;
    Add(x.data(), n, z.data());
    Scale(0.5f, n, z.data());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(z[i], (x[i] + y[i]) * 0.5f);
    z = x;
    SoftCap(3, n, z.data());
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(z[i], 3 * std::tanh(x[i] / 3), 1e-6);
  });
}

}  // namespace
}  // namespace lowbit
