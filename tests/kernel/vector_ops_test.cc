#include "lowbit/kernel/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/float_matmul.h"

namespace lowbit {
namespace {

std::vector<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = 2 * random.Normal();
  return x;
}

TEST(VectorOps, MatchTheirFormulas) {
  ThreadPool pool(2);
  for (const int64_t n : {1, 7, 16, 33, 576, 40000}) {
    const std::vector<float> a = Draw(n, 1), b = Draw(n, 2);
    std::vector<float> y(a.size());
    Add(a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + b[i]);
    double mean = 0;
    for (float x : a) mean += double{x} * x / static_cast<double>(n);
    RmsNorm(a.data(), b.data(), y.data(), n, 1e-5f);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_NEAR(y[i], a[i] / std::sqrt(mean + 1e-5) * b[i], 1e-5 * (1 + std::abs(y[i])));
    Glu(GluActivation::kSilu, a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], a[i] / (1 + std::exp(-double{a[i]})) * b[i], 1e-5);
    Glu(GluActivation::kGeluTanh, a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) {
      const double x = a[i];
      ASSERT_NEAR(y[i], x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) * b[i],
                  1e-5);
    }
  }
}

TEST(VectorOps, GluIsFiniteAtTheExtremes) {
  ThreadPool pool(1);
  const float gate[4] = {-1e30f, 1e30f, -200, 200}, up[4] = {1, 1, 1, 1};
  float y[4];
  Glu(GluActivation::kSilu, gate, up, y, 4, pool);
  EXPECT_NEAR(y[2], 0, 1e-30);
  EXPECT_EQ(y[3], 200);
  EXPECT_EQ(y[1], 1e30f);
  EXPECT_TRUE(std::isfinite(y[0]));
}

TEST(VectorOps, RotationKeepsLengthsAndTurnsByTheAngle) {
  std::vector<float> x = Draw(3 * 48, 3);
  const std::vector<float> before = x;
  std::vector<float> cos, sin;
  for (int i = 0; i < 20; ++i) {  // 40 of 48 entries turn
    cos.push_back(static_cast<float>(std::cos(0.3 * i)));
    sin.push_back(static_cast<float>(std::sin(0.3 * i)));
  }
  RotateHeads(x.data(), 3, 48, cos.data(), sin.data(), 20);
  for (int h = 0; h < 3; ++h) {
    for (int i = 0; i < 20; ++i) {
      const float a = before[h * 48 + i], b = before[h * 48 + 20 + i];
      EXPECT_NEAR(x[h * 48 + i], a * cos[i] - b * sin[i], 1e-5);
      EXPECT_NEAR(x[h * 48 + 20 + i], b * cos[i] + a * sin[i], 1e-5);
    }
    for (int i = 40; i < 48; ++i) EXPECT_EQ(x[h * 48 + i], before[h * 48 + i]);
  }
}

TEST(FloatMatMul, MatchesTheDefinitionInEveryTypeAtAnyAddress) {
  ThreadPool pool(2);
  for (const auto& [rows, cols, tokens] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {5, 37, 3}, {70, 64, 9}, {130, 200, 70}}) {
    const std::vector<float> w = Draw(rows * cols, 4), x = Draw(tokens * cols, 5);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      std::vector<uint8_t> bytes(w.size() * SizeOf(type) + 1);  // starts at an odd address
      std::vector<float> exact(w.size());
      for (size_t i = 0; i < w.size(); ++i) {
        const uint16_t half = type == DType::kF16 ? FloatToF16(w[i]) : FloatToBF16(w[i]);
        exact[i] = type == DType::kF32 ? w[i] : type == DType::kF16 ? F16ToFloat(half) : BF16ToFloat(half);
        std::memcpy(bytes.data() + 1 + i * SizeOf(type),
                    type == DType::kF32 ? static_cast<const void*>(&w[i]) : &half, SizeOf(type));
      }
      const FloatMatrix matrix{type, rows, cols, bytes.data() + 1};
      std::vector<float> y(static_cast<size_t>(tokens * rows)), one(y.size());
      MatMulFloat(matrix, x.data(), tokens, cols, y.data(), rows, pool);
      ThreadPool single(1);
      for (int64_t t = 0; t < tokens; ++t) {
        MatMulFloat(matrix, x.data() + t * cols, 1, cols, one.data() + t * rows, rows, single);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          for (int64_t c = 0; c < cols; ++c) sum += double{exact[r * cols + c]} * x[t * cols + c];
          ASSERT_NEAR(y[t * rows + r], sum, 1e-5 * static_cast<double>(cols) + 1e-5);
        }
      }
      EXPECT_EQ(y, one);  // bit for bit, whatever the batch and the threads
    }
  }
}

}  // namespace
}  // namespace lowbit
