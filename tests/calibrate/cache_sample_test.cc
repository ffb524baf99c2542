#include "lowbit/calibrate/cache_sample.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/model/random_weights.h"

namespace lowbit {
namespace {

Model Tiny() {
  LlamaConfig c;
  c.vocab = 64, c.width = 32, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_size = 8, c.ffn = 48,
  c.context = 64;
  return RandomModel(c, DType::kF32, DType::kF32, 5);
}

TEST(CacheSample, KeysAreTurnedAndValuesAreNot) {
  ThreadPool pool(2);
  const Model model = Tiny();
  // One token again and again: in the first layer every position has the same value, and the same key but for
  // its turn, which keeps its length and leaves position 0 alone.
  const std::vector<int32_t> tokens(10, 7);
  const CacheSample sample = SampleCache(model, tokens, pool);
  ASSERT_EQ(sample.head_size, 8);
  ASSERT_EQ(sample.keys.size(), 2u * 10 * 2 * 8);
  ASSERT_EQ(sample.values.size(), sample.keys.size());
  const auto square = [&](const float* x) {
    double sum = 0;
    for (int j = 0; j < 8; ++j) sum += double{x[j]} * x[j];
    return sum;
  };
  for (int head = 0; head < 2; ++head) {
    const float *key = sample.keys.data() + head * 8, *value = sample.values.data() + head * 8;
    EXPECT_GT(square(key), 0);
    for (int t = 1; t < 10; ++t) {
      const float *turned = key + t * 16, *same = value + t * 16;
      EXPECT_NEAR(square(turned), square(key), 1e-5 * square(key));
      double difference = 0;
      for (int j = 0; j < 8; ++j) {
        EXPECT_NEAR(same[j], value[j], 1e-6);
        difference += std::abs(turned[j] - key[j]);
      }
      EXPECT_GT(difference, 1e-3) << t;
    }
  }
}

TEST(CacheSample, WrongRequestsAreNamed) {
  ThreadPool pool(1);
  const Model model = Tiny();
  EXPECT_THROW(SampleCache(model, {}, pool), Error);
  EXPECT_THROW(SampleCache(model, std::vector<int32_t>(65, 1), pool), Error);
}

}  // namespace
}  // namespace lowbit
