#include "lowbit/runtime/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/model/random_weights.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {
namespace {

constexpr int64_t kVocabulary = 50;
const char* const kPacked[] = {"int8",  "kivi2", "kivi4",    "tq2",  "tq2.5",
                               "tq3.5", "tq4",   "vidkv1.5", "sign", "tq4/tq3"};

LlamaConfig Config(int64_t window = 0) {
  LlamaConfig c;
  c.vocab = kVocabulary, c.width = 64, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_size = 32,
  c.ffn = 96, c.context = 1024;
  c.window = window;
  return c;
}

// Attention with plain loops over given keys and values (positions, kv_heads, head_size).
std::vector<float> PlainAttention(const AttentionShape& shape, const std::vector<float>& k,
                                  const std::vector<float>& v, const float* q, int64_t position) {
  const int64_t n = shape.head_size, width = shape.kv_heads * n;
  std::vector<float> y(static_cast<size_t>(shape.heads * n));
  const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, position + 1 - shape.window) : 0;
  for (int64_t h = 0; h < shape.heads; ++h) {
    const int64_t kv = h / (shape.heads / shape.kv_heads);
    std::vector<double> s;
    double most = -INFINITY, sum = 0;
    for (int64_t t = begin; t <= position; ++t) {
      double dot = 0;
      for (int64_t c = 0; c < n; ++c)
        dot += double{q[h * n + c]} * k[static_cast<size_t>(t * width + kv * n + c)];
      s.push_back(dot * shape.scale);
      most = std::max(most, s.back());
    }
    for (double& x : s) sum += x = std::exp(x - most);
    for (int64_t t = begin; t <= position; ++t) {
      for (int64_t c = 0; c < n; ++c)
        y[static_cast<size_t>(h * n + c)] += static_cast<float>(
            s[static_cast<size_t>(t - begin)] / sum * v[static_cast<size_t>(t * width + kv * n + c)]);
    }
  }
  return y;
}

class CacheOfOneNode {
 public:
  explicit CacheOfOneNode(const CacheFormat& format, int64_t window = 0)
      : graph_(BuildLlama(Config(window))), cache_(graph_, 1024, format), node_(graph_.states[0].node) {
    shape_ = ShapeOf(graph_.nodes[node_]);
  }
  const AttentionShape& shape() const { return shape_; }
  KvCache& cache() { return cache_; }

  // Appends `rows` random keys and values and attends with random queries; returns the outputs.
  std::vector<float> Step(int64_t rows, ThreadPool& pool) {
    const int64_t width = shape_.kv_heads * shape_.head_size;
    std::vector<float> q(static_cast<size_t>(rows * shape_.heads * shape_.head_size)), y(q.size());
    const auto position = static_cast<int64_t>(keys.size()) / width;
    for (int64_t r = 0; r < rows; ++r) {
      // A position's numbers do not depend on the pieces.
      Random random(9, static_cast<uint64_t>(position + r));
      for (int64_t c = 0; c < width; ++c)
        keys.push_back(random.Normal() * (c % 8 == 3 ? 6.0f : 1.0f) + (c % 8 == 3));
      for (int64_t c = 0; c < width; ++c) values.push_back(random.Normal());
      for (int64_t c = 0; c < shape_.heads * shape_.head_size; ++c)
        q[static_cast<size_t>(r * shape_.heads * shape_.head_size + c)] = random.Normal();
    }
    cache_.Append(node_, position, keys.data() + position * width, values.data() + position * width, rows);
    cache_.Attend(node_, position, q.data(), y.data(), rows, pool);
    cache_.SetLength(position + rows);
    queries.insert(queries.end(), q.begin(), q.end());
    return y;
  }

  std::vector<float> keys, values, queries;

 private:
  Graph graph_;
  KvCache cache_;
  int node_;
  AttentionShape shape_;
};

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    energy += b[i] * b[i];
  }
  return error / energy;
}

// Outputs of the last `rows` rows in double, over the keys and values as they were given.
std::vector<float> Exact(const CacheOfOneNode& node, int64_t rows) {
  const AttentionShape& s = node.shape();
  const int64_t width = s.heads * s.head_size;
  const auto count = static_cast<int64_t>(node.queries.size()) / width;
  std::vector<float> y;
  for (int64_t p = count - rows; p < count; ++p) {
    const std::vector<float> row =
        PlainAttention(s, node.keys, node.values, node.queries.data() + p * width, p);
    y.insert(y.end(), row.begin(), row.end());
  }
  return y;
}

TEST(KvCache, PackedAttentionComesNearerWithMoreBits) {
  ThreadPool pool(2);
  const auto error = [&](const char* name) {
    CacheOfOneNode node(ParseCacheFormat(name));
    std::vector<float> y;
    for (int i = 0; i < 6; ++i) y = node.Step(128, pool);
    EXPECT_LT(node.cache().Bytes(), 0.75 * 6 * 128 * 2 * 64 * 2) << name;
    return RelativeError(y, Exact(node, 128));
  };
  EXPECT_LT(error("int8"), 1e-3);
  const double tq8 = error("tq8"), tq4 = error("tq4"), tq3 = error("tq3"), tq2 = error("tq2"),
               tq1 = error("tq1");
  EXPECT_LT(tq8, 1e-3);
  EXPECT_LT(tq8, tq4);
  EXPECT_LT(tq4, tq3);
  EXPECT_LT(tq3, tq2);
  EXPECT_LT(tq2, tq1);
  EXPECT_LT(error("kivi4"), error("kivi2"));
  // The outlier split pays where some channels are larger.
  EXPECT_LT(error("tq2.5"), tq2);
  EXPECT_LT(error("vidkv2/tq8"), error("vidkv1/tq8"));
}

TEST(KvCache, PlainCachesAreExact) {
  ThreadPool pool(2);
  for (const int64_t window : {0, 100}) {
    CacheOfOneNode node(ParseCacheFormat("f32"), window);
    std::vector<float> y;
    for (const int64_t rows : {300, 1, 77, 200}) y = node.Step(rows, pool);
    EXPECT_LT(RelativeError(y, Exact(node, 200)), 1e-10);
  }
}

TEST(KvCache, AWindowHidesPackedPositionsToo) {
  ThreadPool pool(2);
  for (const int64_t window : {40, 300}) {
    CacheOfOneNode node(ParseCacheFormat("tq8"), window);
    std::vector<float> y;
    for (int i = 0; i < 6; ++i) y = node.Step(100, pool);
    EXPECT_LT(RelativeError(y, Exact(node, 100)), 1e-3) << window;
  }
}

TEST(KvCache, PagesDoNotDependOnThePiecesNorOnThreads) {
  ThreadPool one(1), seven(7);
  for (const char* name : kPacked) {
    CacheOfOneNode a(ParseCacheFormat(name)), b(ParseCacheFormat(name));
    for (int i = 0; i < 10; ++i) a.Step(32, one);
    for (int i = 0; i < 320; ++i) b.Step(1, seven);
    EXPECT_EQ(a.cache().Bytes(), b.cache().Bytes()) << name;
    // The channels of a split are chosen from what is there when packing starts: 160 positions in both.
    EXPECT_EQ(a.Step(1, one), b.Step(1, seven)) << name;
  }
}

TEST(KvCache, RewindDropsWholePages) {
  ThreadPool pool(1);
  CacheOfOneNode node(ParseCacheFormat("tq4"));
  for (int i = 0; i < 10; ++i) node.Step(32, pool);
  EXPECT_EQ(node.cache().Rewind(319), 319);
  EXPECT_EQ(node.cache().Rewind(300), 300);
  EXPECT_EQ(node.cache().Rewind(100), 96);
  EXPECT_EQ(node.cache().length(), 96);
  CacheOfOneNode plain(ParseCacheFormat("f16"));
  plain.Step(300, pool);
  EXPECT_EQ(plain.cache().Rewind(100), 100);
}

TEST(KvCache, BytesPerPositionAreThoseOfTheNames) {
  const Graph graph = BuildLlama(Config());
  const double values = 2 * 2 * 2 * 32;  // nodes, sides, heads, channels
  const auto bits = [&](const char* name) {
    return KvCache(graph, 256, ParseCacheFormat(name)).BytesPerPosition() * 8 / values;
  };
  EXPECT_EQ(bits("f16"), 16);
  EXPECT_EQ(bits("int8"), 8.5);
  EXPECT_EQ(bits("kivi2"), 3);
  EXPECT_EQ(bits("tq4"), 4.5);
  EXPECT_EQ(bits("tq2.5"), 2 + 0.25 + 2 * 16 / 32.0);
  EXPECT_EQ(BitsPerValue(ParseCacheFormat("tq2.5").keys, true, 128), 2.5);
  EXPECT_EQ(BitsPerValue(ParseCacheFormat("tq3.5").keys, true, 128), 3.5);
}

TEST(KvCache, NamesGoBothWays) {
  for (const std::string& name : CacheFormatNames()) EXPECT_EQ(NameOf(ParseCacheFormat(name)), name);
  EXPECT_EQ(NameOf(ParseCacheFormat("tq4/kivi2")), "tq4/kivi2");
  EXPECT_THROW(ParseCacheFormat("tq9"), UsageError);
  EXPECT_THROW(ParseCacheFormat("f16/tq4"), UsageError);
  try {
    ParseCacheFormat("tq35");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("tq3"), std::string::npos);
  }
}

TEST(KvCache, EveryOlderTokenIsReadPacked) {
  // With one-bit keys the logits must change as soon as something is packed, and not before.
  ThreadPool pool(2);
  LanguageModel model(RandomModel(Config(), DType::kF32, DType::kF32, 4), pool, Arithmetic::kFloat);
  std::vector<int32_t> tokens;
  Random random(6);
  for (int i = 0; i < 400; ++i) tokens.push_back(static_cast<int32_t>(random.Below(kVocabulary)));
  const auto logits = [&](const char* name, size_t count) {
    KvCache cache = model.MakeCache(512, ParseCacheFormat(name));
    std::vector<float> out(kVocabulary);
    model.Feed(cache, {tokens.data(), count}, out.data(), kCacheTail);
    return out;
  };
  EXPECT_EQ(logits("sign/tq8", 128), logits("f16", 128));
  EXPECT_NE(logits("sign/tq8", 400), logits("f16", 400));
}

}  // namespace
}  // namespace lowbit
