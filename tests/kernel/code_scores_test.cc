#include "lowbit/kernel/code_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

struct Case {
  CodeAlphabet alphabet;
  int64_t blocks, stride, n, count;
  std::vector<uint8_t> packed;
  std::vector<int8_t> bytes;
  std::vector<float> factor, middle, weight, constant, scale, bias;

  Case(int bits, bool trellis, int64_t blocks_in, int64_t n_in, int64_t count_in)
      : blocks(blocks_in), stride(CodeBytes(bits, blocks_in) + 3), n(n_in), count(count_in) {
    Random random(static_cast<uint64_t>(100 * bits + n));
    alphabet.bits = bits;
    alphabet.trellis = trellis;
    for (uint8_t& level : alphabet.table) level = static_cast<uint8_t>(random.Below(128));
    packed.resize(static_cast<size_t>(n * stride));
    for (uint8_t& byte : packed) byte = static_cast<uint8_t>(random.Below(256));
    bytes.resize(static_cast<size_t>(count * 32 * blocks));
    for (int8_t& byte : bytes) byte = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
    const auto fill = [&](std::vector<float>& values, int64_t size) {
      for (int64_t i = 0; i < size; ++i) values.push_back(random.Normal());
    };
    fill(factor, count), fill(middle, count), fill(weight, count), fill(constant, count);
    fill(scale, n), fill(bias, n);
  }
  ByteQueries queries(int64_t first = 0, int64_t some = -1) const {
    return {some < 0 ? count : some, bytes.data() + first * 32 * blocks,
            factor.data() + first,   middle.data() + first,
            weight.data() + first,   constant.data() + first};
  }
};

TEST(CodeScores, FollowTheirFormula) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (int bits = 1; bits <= 8; ++bits) {
      for (const bool trellis : {false, true}) {
        if (trellis && bits > 4) continue;
        for (const auto& [blocks, n, count] : {std::tuple<int64_t, int64_t, int64_t>{1, 3, 1},
                                               {4, 40, 5},
                                               {3, 17, 33},
                                               {6, 64, 16},
                                               {4, 70, 37}}) {
          const Case c(bits, trellis, blocks, n, count);
          std::vector<float> scores(static_cast<size_t>(n * count));
          ScoreCodes(c.alphabet, c.queries(), blocks, c.packed.data(), c.stride, n, c.scale.data(),
                     c.bias.data(), scores.data());
          std::vector<uint8_t> levels(static_cast<size_t>(32 * blocks));
          for (int64_t i = 0; i < n; ++i) {
            DecodeLevels(c.alphabet, c.packed.data() + i * c.stride, blocks, levels.data());
            for (int64_t r = 0; r < count; ++r) {
              int64_t sum = 0;
              for (int64_t j = 0; j < 32 * blocks; ++j)
                sum += int64_t{c.bytes[static_cast<size_t>(r * 32 * blocks + j)]} *
                       levels[static_cast<size_t>(j)];
              const auto at = static_cast<size_t>(r), row = static_cast<size_t>(i);
              const double product =
                  double{c.factor[at]} * c.scale[row] * (static_cast<double>(sum) - c.middle[at]);
              const double expected = product + double{c.weight[at]} * c.bias[row] + c.constant[at];
              ASSERT_NEAR(scores[static_cast<size_t>(r * n + i)], expected, 1e-5 * (std::abs(product) + 10))
                  << NameOf(target) << " bits " << bits << " trellis " << trellis;
            }
          }
        }
      }
    }
  }
  SetTarget(before);
}

TEST(CodeScores, DoNotDependOnTheBatch) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int bits : {2, 4, 8}) {
      const Case c(bits, bits < 8, 4, 70, 37);
      std::vector<float> all(static_cast<size_t>(c.n * c.count)), one(static_cast<size_t>(c.n));
      ScoreCodes(c.alphabet, c.queries(), c.blocks, c.packed.data(), c.stride, c.n, c.scale.data(),
                 c.bias.data(), all.data());
      for (int64_t r = 0; r < c.count; ++r) {
        // Alone, and with the codes in two parts.
        const int64_t half = 21;
        ScoreCodes(c.alphabet, c.queries(r, 1), c.blocks, c.packed.data(), c.stride, half, c.scale.data(),
                   c.bias.data(), one.data());
        ScoreCodes(c.alphabet, c.queries(r, 1), c.blocks, c.packed.data() + half * c.stride, c.stride,
                   c.n - half, c.scale.data() + half, c.bias.data() + half, one.data() + half);
        for (int64_t i = 0; i < c.n; ++i)
          ASSERT_EQ(one[static_cast<size_t>(i)], all[static_cast<size_t>(r * c.n + i)])
              << NameOf(target) << ' ' << bits;
      }
    }
  }
  SetTarget(before);
}

// The same bits as all scores, for every width of a tile, and nothing that a limit leaves out.
TEST(CodeScores, SelectsWhatPassesTheLimits) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int bits : {1, 2, 4, 8}) {
      for (const auto& [blocks, n, count] : {std::tuple<int64_t, int64_t, int64_t>{4, 1, 5},
                                             {4, 64, 4},
                                             {3, 150, 7},
                                             {4, 300, 2},
                                             {4, 150, 37}}) {
        const Case c(bits, bits < 8, blocks, n, count);
        std::vector<float> all(static_cast<size_t>(n * count)), score(all.size()), limit;
        ScoreCodes(c.alphabet, c.queries(), blocks, c.packed.data(), c.stride, n, c.scale.data(),
                   c.bias.data(), all.data());
        for (int64_t r = 0; r < count; ++r) {  // none, the least alone, some, all
          std::vector<float> own(all.begin() + r * n, all.begin() + (r + 1) * n);
          std::sort(own.begin(), own.end());
          const float limits[] = {std::nextafter(own[0], -INFINITY), own[0], own[own.size() / 3], INFINITY};
          limit.push_back(limits[r % 4]);
        }
        std::vector<int32_t> row(all.size());
        std::vector<int64_t> found(limit.size(), -1);
        SelectCodes(c.alphabet, c.queries(), blocks, c.packed.data(), c.stride, n, c.scale.data(),
                    c.bias.data(), {count, limit.data(), found.data(), row.data(), score.data()});
        for (int64_t r = 0; r < count; ++r) {
          int64_t h = 0;
          for (int64_t i = 0; i < n; ++i) {
            const float expected = all[static_cast<size_t>(r * n + i)];
            if (!(expected <= limit[static_cast<size_t>(r)])) continue;
            ASSERT_LT(h, found[static_cast<size_t>(r)]) << NameOf(target) << ' ' << bits << ' ' << n;
            EXPECT_EQ(row[static_cast<size_t>(r * n + h)], i);
            EXPECT_EQ(score[static_cast<size_t>(r * n + h)], expected);
            ++h;
          }
          EXPECT_EQ(h, found[static_cast<size_t>(r)]) << NameOf(target) << ' ' << bits << ' ' << n;
        }
      }
    }
  }
  SetTarget(before);
}

TEST(CodeScores, RoundsQueriesToBytes) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t n : {1, 16, 32, 45}) {
      Random random(7);
      std::vector<float> q(static_cast<size_t>(n));
      for (float& v : q) v = 100 * random.Normal();
      std::vector<int8_t> bytes(q.size());
      int32_t sum = 0, total = 0;
      const float step = RoundToBytes(q.data(), n, bytes.data(), &sum);
      int most = 0;
      for (size_t j = 0; j < q.size(); ++j) {
        EXPECT_NEAR(bytes[j] * step, q[j], 0.5001 * step);
        most = std::max(most, std::abs(int{bytes[j]}));
        total += bytes[j];
      }
      EXPECT_EQ(most, 127);
      EXPECT_EQ(sum, total);
      std::fill(q.begin(), q.end(), 0.0f);
      EXPECT_EQ(RoundToBytes(q.data(), n, bytes.data(), &sum), 0);
      EXPECT_EQ(sum, 0);
      EXPECT_EQ(bytes, std::vector<int8_t>(q.size()));
    }
  }
  SetTarget(before);
}

TEST(CodeScores, FactorsAreThoseOfTheirHalves) {
  const Target before = CurrentTarget();
  constexpr int64_t kStride = 7, kCount = 600;
  std::vector<uint8_t> bytes(kStride * kCount);
  Random random(3);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Below(256));
  const auto half = [&](int64_t i) {
    uint16_t bits;
    std::memcpy(&bits, &bytes[static_cast<size_t>(i * kStride + 1)], sizeof bits);
    return bits;
  };
  for (int64_t i = 0; i < kCount; ++i) bytes[static_cast<size_t>(i * kStride + 2)] &= 0xbf;  // finite
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t n : {0, 1, 15, 16, 255, 257, 600}) {
      for (const bool squared : {false, true}) {
        std::vector<float> factors(static_cast<size_t>(n) + 1, -1.0f);
        LoadFactors(bytes.data() + 1, kStride, n, 0.3f, squared, factors.data());
        for (int64_t i = 0; i < n; ++i) {
          const float factor = F16ToFloat(half(i)) * 0.3f;
          ASSERT_EQ(factors[static_cast<size_t>(i)], squared ? factor * factor : factor)
              << NameOf(target) << i;
        }
        EXPECT_EQ(factors.back(), -1.0f) << "nothing behind them is written";
      }
    }
  }
  SetTarget(before);
}

TEST(CodeScores, TwoFactorsAreThoseLoadedOneByOne) {
  const Target before = CurrentTarget();
  constexpr int64_t kStride = 9, kCount = 600;
  std::vector<uint8_t> bytes(kStride * kCount);
  Random random(4);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Below(256)) & 0xbf;  // finite
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t n : {0, 1, 15, 16, 255, 257, 600}) {
      std::vector<float> first(static_cast<size_t>(n) + 1, -1.0f), second = first, one = first, other = first;
      for (const bool squared : {true, false}) {
        LoadTwoFactors(bytes.data() + 1, kStride, n, 0.3f, squared, first.data(), second.data());
        LoadFactors(bytes.data() + 1, kStride, n, 0.3f, false, one.data());
        LoadFactors(bytes.data() + 3, kStride, n, 1.0f, squared, other.data());
        EXPECT_EQ(first, one) << NameOf(target) << n;
        EXPECT_EQ(second, other) << NameOf(target) << n;
      }
    }
  }
  SetTarget(before);
}

}  // namespace
}  // namespace lowbit
