#include "lowbit/kernel/page_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/code_packing.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

constexpr int64_t kStride = 8 * kCachePage;

// Pages of random codes and numbers, and what they stand for.
class Pages32 {
 public:
  Pages32(std::vector<PageRun> runs, PageSide side, int64_t count, uint64_t seed, bool extreme = false)
      : runs_(std::move(runs)), count_(count) {
    for (PageRun& run : runs_) {
      run.begin = channels_;
      channels_ += run.channels;
      run.numbers = bytes_;
      bytes_ += static_cast<size_t>(Shared(run) * (run.minimum ? 4 : 2));
      run.codes = bytes_;
      const int codes = run.channels * kCachePage;
      bytes_ += static_cast<size_t>(run.ternary ? (codes + 4) / 5 : codes * run.bits / 8);
    }
    memory_.resize(bytes_ * static_cast<size_t>(count));
    values_.resize(static_cast<size_t>(channels_ * count * kCachePage));
    Random random(seed);
    for (int64_t j = 0; j < count; ++j) {
      for (const PageRun& run : runs_) Fill(run, side, j, random, extreme);
    }
  }

  int channels() const { return channels_; }
  std::span<const PageRun> runs() const { return runs_; }
  Pages pages() const { return {memory_.data(), bytes_, count_}; }
  // x[t, c], t through all pages.
  double At(int64_t t, int c) const { return values_[static_cast<size_t>(t * channels_ + c)]; }

 private:
  static int Shared(const PageRun& run) {
    return run.axis == CacheAxis::kPosition ? kCachePage : run.channels;
  }
  void Fill(const PageRun& run, PageSide side, int64_t page, Random& random, bool extreme) {
    uint8_t* const to = memory_.data() + static_cast<size_t>(page) * bytes_;
    const int shared = Shared(run), kinds = run.ternary ? 3 : 1 << run.bits;
    std::vector<float> numbers;
    for (int i = 0; i < shared * (run.minimum ? 2 : 1); ++i) {
      const float v = i < shared ? std::abs(random.Normal()) + 0.1f : random.Normal();
      const uint16_t half = FloatToF16(v);
      std::memcpy(to + run.numbers + 2 * i, &half, 2);
      numbers.push_back(F16ToFloat(half));
    }
    std::vector<uint8_t> codes;
    for (int i = 0; i < run.channels * kCachePage; ++i) {
      // The code -128 of eight bits is never chosen.
      const auto code = static_cast<uint8_t>(random.Below(static_cast<uint32_t>(kinds)));
      const auto least = static_cast<uint8_t>(run.bits == 8 && !run.ternary);
      codes.push_back(extreme ? static_cast<uint8_t>(kinds - 1) : std::max(least, code));
    }
    if (run.ternary) {
      std::vector<uint8_t> tiles(codes.size());
      PackTiles(codes.data(), run.channels, 8, side, tiles.data());
      PackTernary(tiles, {to + run.codes, (codes.size() + 4) / 5});
    } else {
      PackTiles(codes.data(), run.channels, run.bits, side, to + run.codes);
    }
    for (int c = 0; c < run.channels; ++c) {
      for (int t = 0; t < kCachePage; ++t) {
        const uint8_t code = codes[static_cast<size_t>(c * kCachePage + t)];
        const double level = run.bits == 8 ? code : run.level[code];
        const auto at = static_cast<size_t>(run.axis == CacheAxis::kPosition ? t : c);
        const double m = run.minimum ? numbers[static_cast<size_t>(shared) + at] : 0;
        values_[static_cast<size_t>((page * kCachePage + t) * channels_ + run.begin + c)] =
            double{numbers[at]} * run.unit * (level - run.zero) + m;
      }
    }
  }

  std::vector<PageRun> runs_;
  int64_t count_;
  int channels_ = 0;
  size_t bytes_ = 0;
  std::vector<uint8_t> memory_;
  std::vector<double> values_;
};

PageRun Levels(int channels, int bits, CacheAxis axis, int digits = 1) {
  PageRun run{.channels = channels, .bits = bits, .axis = axis, .digits = digits, .unit = 0.04f, .zero = 64};
  for (int i = 0; i < 1 << bits; ++i)
    run.level[static_cast<size_t>(i)] = static_cast<uint8_t>(1 + i * 126 / ((1 << bits) - 1));
  return run;
}
PageRun Range(int channels, int bits, CacheAxis axis, int digits = 1) {
  PageRun run = Levels(channels, bits, axis, digits);
  for (int i = 0; i < 16; ++i) run.level[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
  run.minimum = true;
  run.unit = 1;
  run.zero = 0;
  return run;
}
PageRun Bytes(int channels, CacheAxis axis, int digits = 2) {
  return {.channels = channels, .bits = 8, .axis = axis, .digits = digits, .zero = 128};
}
PageRun Ternary(int channels, CacheAxis axis) {
  return {.channels = channels, .bits = 8, .ternary = true, .axis = axis, .digits = 1, .zero = 1};
}

std::vector<std::vector<PageRun>> Layouts() {
  constexpr CacheAxis kP = CacheAxis::kPosition, kC = CacheAxis::kChannel;
  return {{Levels(128, 1, kP)},
          {Levels(128, 2, kP)},
          {Levels(16, 3, kP), Levels(48, 2, kP)},
          {Levels(32, 4, kP), Levels(96, 3, kP)},
          {Levels(128, 4, kP)},
          {Levels(16, 1, kC)},
          {Range(48, 2, kC)},
          {Range(64, 4, kC, 2)},
          {Range(32, 4, kP), Range(32, 4, kP), Range(16, 4, kP)},
          {Range(32, 2, kC), Levels(96, 1, kC)},
          {Bytes(128, kP)},
          {Bytes(16, kC)},
          {Bytes(48, kP, 1)},
          {Ternary(80, kC)},
          {Bytes(512, kP)}};
}

class PageProduct : public ::testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};

std::vector<float> Queries(int queries, int channels, uint64_t seed) {
  Random random(seed);
  std::vector<float> q;
  for (int i = 0; i < queries * channels; ++i) q.push_back(random.Normal() * (i % 11 == 0 ? 4.0f : 1.0f));
  return q;
}

std::vector<float> ScoresOf(const Pages32& pages, const std::vector<float>& q, int queries) {
  std::vector<const float*> rows;
  for (int i = 0; i < queries; ++i) rows.push_back(q.data() + i * pages.channels());
  std::vector<float> s(static_cast<size_t>(queries * kStride), 7.0f);
  PageScores(pages.runs(), pages.pages(), rows.data(), queries, 0.5f, s.data(), kStride);
  return s;
}

// The error that rounding the queries makes at most, and rounding of f32.
TEST_P(PageProduct, ScoresAreThoseOfTheRoundedQueries) {
  uint64_t seed = 0;
  for (const std::vector<PageRun>& runs : Layouts()) {
    for (const bool extreme : {false, true}) {
      const Pages32 pages(runs, PageSide::kKeys, 3, ++seed, extreme);
      constexpr int kQueries = 7;
      const std::vector<float> q = Queries(kQueries, pages.channels(), seed),
                               s = ScoresOf(pages, q, kQueries);
      for (int i = 0; i < kQueries; ++i) {
        for (int64_t t = 0; t < 3 * kCachePage; ++t) {
          double expected = 0, size = 0, allowed = 0;
          for (const PageRun& run : pages.runs()) {
            // A channel's product off by half a step of the largest product.
            double most = 0, sum = 0;
            for (int c = run.begin; c < run.begin + run.channels; ++c) {
              const double x = q[static_cast<size_t>(i * pages.channels() + c)], k = pages.At(t, c);
              expected += 0.5 * x * k;
              size += std::abs(x * k);
              most = std::max(most, std::abs(x));
              sum += std::abs(k) + 4;
            }
            // Numbers are below 6, which bounds how far products in units of the channel's a differ.
            allowed += 0.5 * most * sum / (run.digits == 1 ? 254 : 2 * 127 * 128) *
                       (run.axis == CacheAxis::kChannel ? 60 : 1);
          }
          EXPECT_NEAR(s[static_cast<size_t>(i * kStride + t)], expected, allowed + 1e-5 * size)
              << seed << " " << t;
        }
      }
    }
  }
}

TEST_P(PageProduct, EveryTargetRoundsAlike) {
  // The plainest of this machine: on 64-bit Arm NEON is the only one.
  if (SupportedTargets().front() == GetParam()) GTEST_SKIP() << "nothing to compare with";
  uint64_t seed = 100;
  for (const std::vector<PageRun>& runs : Layouts()) {
    const Pages32 keys(runs, PageSide::kKeys, 3, ++seed), values(runs, PageSide::kValues, 3, seed);
    constexpr int kQueries = 5;
    const std::vector<float> q = Queries(kQueries, keys.channels(), seed);
    std::vector<float> p;
    Random random(seed);
    for (int i = 0; i < kQueries * kStride; ++i)
      p.push_back(std::exp2(-12 * static_cast<float>(random.Below(1000)) / 1000));
    const auto sums = [&] {
      std::vector<float> y(static_cast<size_t>(kQueries * values.channels()), 0.5f);
      PageSums(values.runs(), values.pages(), p.data(), kStride, kQueries, y.data(), values.channels());
      return y;
    };
    const std::vector<float> s = ScoresOf(keys, q, kQueries), y = sums();
    SetTarget(SupportedTargets().front());
    const std::vector<float> plain_s = ScoresOf(keys, q, kQueries), plain_y = sums();
    SetTarget(GetParam());
    double size = 0;
    for (const float v : plain_s) size = std::max(size, double{std::abs(v)});
    for (size_t i = 0; i < s.size(); ++i) ASSERT_NEAR(s[i], plain_s[i], 2e-6 * size) << seed;
    size = 0;
    for (const float v : plain_y) size = std::max(size, double{std::abs(v)});
    for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], plain_y[i], 2e-6 * size) << seed;
  }
}

TEST_P(PageProduct, SumsAreWithinAStepOfTheLargestWeight) {
  uint64_t seed = 200;
  for (const std::vector<PageRun>& runs : Layouts()) {
    for (const bool extreme : {false, true}) {
      const Pages32 pages(runs, PageSide::kValues, 2, ++seed, extreme);
      constexpr int kQueries = 3;
      std::vector<float> p;
      Random random(seed);
      for (int i = 0; i < kQueries * kStride; ++i)
        p.push_back(i % 17 == 0 ? 0.0f : std::abs(random.Normal()) * (i % 40 == 0 ? 20.0f : 1.0f));
      std::vector<float> y(static_cast<size_t>(kQueries * pages.channels()), 0.5f);
      PageSums(pages.runs(), pages.pages(), p.data(), kStride, kQueries, y.data(), pages.channels());
      for (int i = 0; i < kQueries; ++i) {
        for (const PageRun& run : pages.runs()) {
          for (int c = run.begin; c < run.begin + run.channels; ++c) {
            double expected = 0.5, allowed = 1e-4;
            for (int64_t j = 0; j < 2; ++j) {
              double most = 0, levels = 0;
              for (int64_t t = j * kCachePage; t < (j + 1) * kCachePage; ++t) {
                const double w = p[static_cast<size_t>(i * kStride + t)];
                expected += w * pages.At(t, c);
                most = std::max(most, w);
                levels += std::abs(pages.At(t, c)) + 4;
              }
              // By position the weights are p a: a is between 0.1 and 6.
              allowed += most * levels / (run.digits == 1 ? 127 : 16383) *
                         (run.axis == CacheAxis::kPosition ? 20 : 1);
            }
            EXPECT_NEAR(y[static_cast<size_t>(i * pages.channels() + c)], expected, allowed) << seed;
          }
        }
      }
    }
  }
}

// One large weight and 31 small ones, each far below half a step: rounding to nearest would lose them.
TEST_P(PageProduct, ManySmallWeightsKeepTheirSum) {
  PageRun run = Levels(16, 1, CacheAxis::kChannel);
  const Pages32 pages({run}, PageSide::kValues, 1, 1, /*extreme=*/true);  // all values of a channel are equal
  for (const float small : {0.001f, 0.002f, 0.0035f}) {
    std::vector<float> p(kCachePage, small), y(16, 0.0f);
    p[9] = 1;
    PageSums(pages.runs(), pages.pages(), p.data(), kStride, 1, y.data(), 16);
    const double sum = 1 + 31 * double{small};
    for (int c = 0; c < 16; ++c)
      EXPECT_NEAR(y[static_cast<size_t>(c)] / pages.At(0, c), sum, 1.0 / 127) << small;
  }
}

TEST_P(PageProduct, AQueryDoesNotDependOnItsCompany) {
  for (const std::vector<PageRun>& runs : Layouts()) {
    const Pages32 keys(runs, PageSide::kKeys, 8, 4), values(runs, PageSide::kValues, 8, 5);
    const int n = keys.channels();
    const std::vector<float> q = Queries(13, n, 6), all = ScoresOf(keys, q, 13);
    std::vector<float> p(13 * kStride);
    for (size_t i = 0; i < p.size(); ++i) p[i] = std::abs(all[i]);
    std::vector<float> y(static_cast<size_t>(13 * n), 0.0f);
    PageSums(values.runs(), values.pages(), p.data(), kStride, 13, y.data(), n);
    for (const int i : {0, 5, 12}) {
      const std::vector<float> own(q.begin() + i * n, q.begin() + (i + 1) * n);
      const std::vector<float> s = ScoresOf(keys, own, 1);
      EXPECT_TRUE(std::equal(s.begin(), s.end(), all.begin() + i * kStride));
      std::vector<float> z(static_cast<size_t>(n), 0.0f);
      PageSums(values.runs(), values.pages(), p.data() + i * kStride, kStride, 1, z.data(), n);
      EXPECT_TRUE(std::equal(z.begin(), z.end(), y.begin() + i * n));
    }
  }
}

TEST_P(PageProduct, ZeroQueriesAndWeightsGiveZero) {
  for (const std::vector<PageRun>& runs : Layouts()) {
    const Pages32 keys(runs, PageSide::kKeys, 2, 4), values(runs, PageSide::kValues, 2, 5);
    const std::vector<float> q(static_cast<size_t>(keys.channels()), 0.0f), s = ScoresOf(keys, q, 1);
    for (int t = 0; t < 2 * kCachePage; ++t) EXPECT_EQ(s[static_cast<size_t>(t)], 0);
    std::vector<float> p(kStride, 0.0f), y(static_cast<size_t>(values.channels()), 3.0f);
    PageSums(values.runs(), values.pages(), p.data(), kStride, 1, y.data(), values.channels());
    for (const float v : y) EXPECT_EQ(v, 3);
  }
}

TEST(PageTiles, GoBothWays) {
  Random random(3);
  for (const int bits : {1, 2, 3, 4, 8}) {
    for (const PageSide side : {PageSide::kKeys, PageSide::kValues}) {
      std::vector<uint8_t> codes, tiles(static_cast<size_t>(48 * kCachePage * bits / 8)),
          back(48 * kCachePage);
      for (int i = 0; i < 48 * kCachePage; ++i)
        codes.push_back(static_cast<uint8_t>(random.Below(1u << bits)));
      PackTiles(codes.data(), 48, bits, side, tiles.data());
      UnpackTiles(tiles.data(), 48, bits, side, back.data());
      EXPECT_EQ(codes, back) << bits;
      std::vector<uint8_t> turned(codes.size()), same(tiles.size());
      for (int c = 0; c < 48; ++c) {
        for (int t = 0; t < kCachePage; ++t)
          turned[static_cast<size_t>(t * 48 + c)] = codes[static_cast<size_t>(c * kCachePage + t)];
      }
      PackTilesOfPositions(turned.data(), 48, bits, side, same.data());
      EXPECT_EQ(tiles, same) << bits;
    }
  }
}

TEST(PageRuns, OthersAreRefused) {
  std::vector<float> q(64), s(kStride);
  const float* const row = q.data();
  for (const PageRun& run : {Levels(20, 2, CacheAxis::kPosition), PageRun{.channels = 16, .bits = 5},
                             Levels(16, 2, CacheAxis::kPosition, 2), Levels(528, 2, CacheAxis::kPosition)})
    EXPECT_THROW(PageScores({&run, 1}, {}, &row, 1, 1, s.data(), kStride), Error);
}

INSTANTIATE_TEST_SUITE_P(Targets, PageProduct, ::testing::ValuesIn(SupportedTargets()), [](const auto& one) {
  std::string name(NameOf(one.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lowbit
