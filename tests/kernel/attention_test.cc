#include "lowbit/kernel/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/cache_storage.h"

namespace lowbit {
namespace {

struct Problem {
  AttentionShape shape;
  int64_t length, capacity;
  std::vector<float> q, k, v;
  std::vector<uint32_t> keys, values;  // storage, large enough for f32
  CacheView cache;

  Problem(AttentionShape s, int64_t n, CacheType type, uint64_t seed)
      : shape(s), length(n), capacity((n + kAttentionChunk - 1) / kAttentionChunk * kAttentionChunk) {
    Random random(seed);
    const auto fill = [&](std::vector<float>& x, int64_t count) {
      for (int64_t i = 0; i < count; ++i) x.push_back(F16ToFloat(FloatToF16(random.Normal())));
    };
    fill(q, n * s.heads * s.head_size);
    fill(k, n * s.kv_heads * s.head_size);
    fill(v, n * s.kv_heads * s.head_size);
    keys.resize(static_cast<size_t>(capacity * s.kv_heads * s.head_size));
    values = keys;
    cache = {type, keys.data(), values.data(), capacity};
    AppendToCache(shape, cache, 0, k.data(), v.data(), n);
  }

  std::vector<float> Reference() const {
    const int64_t n = shape.head_size, group = shape.heads / shape.kv_heads;
    std::vector<float> y(q.size());
    for (int64_t i = 0; i < length; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        std::vector<double> s;
        const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, i + 1 - shape.window) : 0;
        double sum = 0;
        for (int64_t t = begin; t <= i; ++t) {
          double dot = 0;
          for (int64_t c = 0; c < n; ++c)
            dot += double{q[(i * shape.heads + h) * n + c]} * k[(t * shape.kv_heads + h / group) * n + c];
          s.push_back(std::exp(dot * shape.scale));
          sum += s.back();
        }
        for (int64_t c = 0; c < n; ++c) {
          double out = 0;
          for (int64_t t = begin; t <= i; ++t)
            out += s[t - begin] / sum * v[(t * shape.kv_heads + h / group) * n + c];
          y[(i * shape.heads + h) * n + c] = static_cast<float>(out);
        }
      }
    }
    return y;
  }
};

TEST(Attention, MatchesTheDefinition) {
  ThreadPool pool(2);
  for (const CacheType type : {CacheType::kF16, CacheType::kF32}) {
    for (const AttentionShape shape : {AttentionShape{9, 3, 64, 0.125f, 0},
                                       {8, 4, 16, 0.25f, 0},
                                       {4, 1, 24, 0.2f, 100},
                                       {2, 2, 128, 0.09f, 300},
                                       {6, 6, 8, 0.3f, 1}}) {
      const Problem problem(shape, 600, type, 5);
      std::vector<float> y(problem.q.size());
      Attend(shape, problem.cache, 0, problem.q.data(), y.data(), 600, pool);
      const std::vector<float> expected = problem.Reference();
      for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 2e-5) << i;
    }
  }
}

TEST(Attention, DecodeAndPrefillGiveTheSameBitsOnAnyThreadCount) {
  for (const AttentionShape shape : {AttentionShape{9, 3, 64, 0.125f, 0}, {4, 2, 32, 0.2f, 70}}) {
    const Problem problem(shape, 700, CacheType::kF16, 9);
    const int64_t width = shape.heads * shape.head_size;
    ThreadPool one(1), seven(7);
    std::vector<float> all(problem.q.size()), single(problem.q.size()), parts(problem.q.size());
    Attend(shape, problem.cache, 0, problem.q.data(), all.data(), 700, seven);
    for (int64_t i = 0; i < 700; ++i) {
      Attend(shape, problem.cache, i, problem.q.data() + i * width, single.data() + i * width, 1,
             i % 2 ? one : seven);
    }
    for (int64_t i = 0; i < 700; i += 7) {
      Attend(shape, problem.cache, i, problem.q.data() + i * width, parts.data() + i * width, 7, one);
    }
    EXPECT_EQ(all, single);
    EXPECT_EQ(all, parts);
  }
}

}  // namespace
}  // namespace lowbit
