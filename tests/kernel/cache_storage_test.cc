#include "lowbit/kernel/cache_storage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

// 2 heads, 512 positions.
class Storage {
 public:
  Storage(int64_t head_size, CacheType type)
      : shape_{.heads = 2, .kv_heads = 2, .head_size = head_size},
        keys_(static_cast<size_t>(2 * 512 * head_size)),
        values_(keys_.size()),
        view_{type, keys_.data(), values_.data(), 512} {}

  void Append(int64_t position, const std::vector<float>& k, const std::vector<float>& v) {
    AppendToCache(shape_, view_, position, k.data(), v.data(),
                  static_cast<int64_t>(k.size()) / 2 / shape_.head_size);
  }
  void Read(int64_t head, int64_t position, int64_t count, float* k, float* v) const {
    ReadFromCache(shape_, view_, head, position, count, k, v);
  }
  // Entry of 16 bits or 32.
  const std::vector<uint32_t>& keys() const { return keys_; }
  const std::vector<uint32_t>& values() const { return values_; }

 private:
  AttentionShape shape_;
  std::vector<uint32_t> keys_, values_;
  CacheView view_;
};

// Ordinary numbers, subnormal ones of f16, the largest and what is beyond it, both zeros.
std::vector<float> Awkward(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i) {
    const float v = random.Normal();
    const float kinds[] = {v, v * 1e-6f, v * 3e-8f, 65504, -65519, 1e6f * v, 0.0f, -0.0f};
    x.push_back(kinds[random.Below(8)]);
  }
  return x;
}

class CacheStorage : public ::testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};

TEST_P(CacheStorage, PositionsComeBackAsF16WhereverTheyBegin) {
  for (const int64_t n : {8, 20, 40, 64, 128}) {
    for (const int64_t position : {0, 3, 8, 21}) {
      for (const int64_t rows : {1, 7, 8, 33}) {
        const std::vector<float> k = Awkward(rows * 2 * n, 1), v = Awkward(rows * 2 * n, 2);
        Storage storage(n, CacheType::kF16);
        storage.Append(position, k, v);
        std::vector<float> back_k(static_cast<size_t>(rows * n)), back_v(back_k.size());
        for (int64_t head = 0; head < 2; ++head) {
          storage.Read(head, position, rows, back_k.data(), back_v.data());
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < n; ++c) {
              const auto from = static_cast<size_t>((r * 2 + head) * n + c),
                         to = static_cast<size_t>(r * n + c);
              ASSERT_EQ(FloatToF16(back_k[to]), FloatToF16(k[from])) << n << " " << position << " " << r;
              ASSERT_EQ(FloatToF16(back_v[to]), FloatToF16(v[from])) << n << " " << position << " " << r;
            }
          }
        }
      }
    }
  }
}

TEST_P(CacheStorage, OneByOneAndManyAtOnceAreTheSameBytes) {
  for (const CacheType type : {CacheType::kF16, CacheType::kF32}) {
    constexpr int64_t kRows = 45, kSize = 24;
    const std::vector<float> k = Awkward(kRows * 2 * kSize, 3), v = Awkward(kRows * 2 * kSize, 4);
    Storage many(kSize, type), one(kSize, type);
    many.Append(5, k, v);
    for (int64_t r = 0; r < kRows; ++r) {
      const auto row = [&](const std::vector<float>& x) {
        return std::vector<float>(x.begin() + r * 2 * kSize, x.begin() + (r + 1) * 2 * kSize);
      };
      one.Append(5 + r, row(k), row(v));
    }
    EXPECT_EQ(many.keys(), one.keys());
    EXPECT_EQ(many.values(), one.values());
  }
}

TEST(CacheStorageSize, IsNotExceeded) {
  Storage storage(8, CacheType::kF16);
  EXPECT_THROW(storage.Append(510, std::vector<float>(3 * 16), std::vector<float>(3 * 16)), Error);
}

INSTANTIATE_TEST_SUITE_P(Targets, CacheStorage, ::testing::ValuesIn(SupportedTargets()), [](const auto& one) {
  std::string name(NameOf(one.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lowbit
