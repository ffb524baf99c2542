#include "lowbit/kernel/ordered_product.h"

#include <gtest/gtest.h>

#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

// Bit for bit the plain loop, on every target, whatever the sizes and strides.
TEST(OrderedProduct, IsThePlainLoopOnEveryTarget) {
  const Target before = CurrentTarget();
  Random random(51);
  constexpr int64_t kGap = 3;
  for (const int64_t n : {1, 3, 8, 21}) {
    for (const int64_t d : {1, 7, 45, 130}) {
      for (const int64_t m : {1, 15, 16, 33, 64, 100}) {
        std::vector<float> s(static_cast<size_t>(d * m)), x(static_cast<size_t>(n * (d + kGap)));
        for (float& v : s) v = random.Normal();
        for (float& v : x) v = random.Normal();
        const MatrixView<const float> from(x.data(), n, d, d + kGap);
        std::vector<float> expected(static_cast<size_t>(n * (m + kGap)), 7.0f);
        for (int64_t r = 0; r < n; ++r) {
          for (int64_t i = 0; i < m; ++i) {
            float sum = 0;
            for (int64_t j = 0; j < d; ++j) {
              volatile float product = from(r, j) * s[static_cast<size_t>(j * m + i)];  // not fused
              sum += product;
            }
            expected[static_cast<size_t>(r * (m + kGap) + i)] = sum;
          }
        }
        for (const Target target : SupportedTargets()) {
          SetTarget(target);
          std::vector<float> y(expected.size(), 7.0f);
          OrderedProduct({s.data(), d, m}, from, {y.data(), n, m, m + kGap});
          EXPECT_EQ(y, expected) << NameOf(target) << ' ' << n << ' ' << d << ' ' << m;
        }
      }
    }
  }
  SetTarget(before);
}

}  // namespace
}  // namespace lowbit
