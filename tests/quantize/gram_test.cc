#include "lowbit/quantize/gram.h"

#include <gtest/gtest.h>

#include <limits>

#include "lowbit/base/error.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

template <typename T>
class Gram : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Gram, Types);

TYPED_TEST(Gram, EqualsTheRunningMeanOverSequences) {
  using T = TypeParam;
  const int64_t cols = 70, tokens = 30, sequences = 5;
  HessianAccumulator<T> accumulator(cols);
  std::vector<double> running(static_cast<size_t>(cols * cols), 0.0);
  for (int64_t s = 0; s < sequences; ++s) {
    const std::vector<float> x = RandomInputs<float>(tokens, cols, static_cast<uint64_t>(s));
    accumulator.Add(View(x, tokens));
    const std::vector<float> own = PlainHessian(x, cols, 1);
    // The reference's recursion: H *= n/(n+1); n += 1; H += 2/n X^T X.
    for (size_t i = 0; i < running.size(); ++i) {
      running[i] = running[i] * static_cast<double>(s) / static_cast<double>(s + 1) +
                   own[i] / static_cast<double>(s + 1);
    }
  }
  EXPECT_EQ(accumulator.sequences(), sequences);
  EXPECT_EQ(accumulator.tokens(), sequences * tokens);
  const std::vector<float> diagonal = accumulator.Diagonal();
  const Buffer<T> h = accumulator.Finish();
  double largest = 0;
  for (const double v : running) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < running.size(); ++i) ASSERT_NEAR(h[i], running[i], 1e-5 * largest);
  for (int64_t c = 0; c < cols; ++c)
    ASSERT_FLOAT_EQ(diagonal[static_cast<size_t>(c)],
                    static_cast<float>(h[static_cast<size_t>(c * cols + c)]));
}

TYPED_TEST(Gram, DoesNotDependOnThreads) {
  using T = TypeParam;
  const int64_t cols = 300, tokens = 90;
  const std::vector<float> x = RandomInputs<float>(tokens, cols, 3);
  std::vector<std::vector<T>> results;
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    HessianAccumulator<T> accumulator(cols, pool);
    for (int i = 0; i < 3; ++i) accumulator.Add(View(x, tokens));
    Buffer<T> h = accumulator.Finish();
    results.emplace_back(h.begin(), h.end());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TYPED_TEST(Gram, FindsDeadColumnsAndBadValues) {
  using T = TypeParam;
  const int64_t cols = 6, tokens = 9;
  std::vector<float> x = RandomInputs<float>(tokens, cols, 4);
  for (int64_t t = 0; t < tokens; ++t) x[static_cast<size_t>(t * cols + 2)] = 0;
  HessianAccumulator<T> accumulator(cols);
  EXPECT_THROW(accumulator.Finish(), Error);
  accumulator.Add(View(x, tokens));
  EXPECT_EQ(accumulator.DeadColumns(), std::vector<int32_t>{2});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    HessianAccumulator<T> other(cols);
    std::vector<float> y = x;
    y[5 * cols + 4] = bad;
    try {
      other.Add(View(y, tokens));
      FAIL() << "accepted " << bad;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("token 5, column 4"), std::string::npos) << error.what();
    }
  }
}

TEST(Importance, IsTheWeightedMeanSquare) {
  const std::vector<float> x = {1, 2, 3, 4}, weights = {1, 3};
  ImportanceAccumulator accumulator(2);
  EXPECT_THROW(accumulator.Mean(), Error);
  accumulator.Add(View(x, 2));
  EXPECT_EQ(accumulator.Mean(), (std::vector<float>{5, 10}));
  accumulator.Add(View(x, 2), weights);
  EXPECT_FLOAT_EQ(accumulator.Mean()[0], (1 + 9 + 1 + 27) / 6.0f);
  ImportanceAccumulator resumed(2);
  resumed.AddMean(accumulator.Mean(), accumulator.weight());
  resumed.Add(View(x, 2));
  accumulator.Add(View(x, 2));
  EXPECT_FLOAT_EQ(resumed.Mean()[1], accumulator.Mean()[1]);
}

}  // namespace
}  // namespace lowbit
