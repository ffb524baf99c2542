#include "lowbit/quantize/cache_page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/lloyd_max_levels.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

constexpr int kChannels = 40;

// (32, channels) normal values, channel scales over a decade, some means away from 0.
std::vector<float> RandomPage(uint64_t seed, int channels = kChannels) {
  Random random(seed);
  std::vector<float> x;
  for (int t = 0; t < kCachePage; ++t) {
    for (int c = 0; c < channels; ++c)
      x.push_back(random.Normal() * std::exp2(static_cast<float>(c % 7) - 3) + (c % 5 == 0 ? 2.0f : 0.0f));
  }
  return x;
}

// (32, channels) again.
std::vector<float> RoundTrip(const PageCodec& codec, const std::vector<float>& x) {
  std::vector<uint8_t> page(codec.bytes());
  codec.Encode(x.data(), page.data());
  std::vector<float> by_channel(x.size()), y(x.size());
  codec.Decode(page.data(), by_channel.data());
  for (int t = 0; t < kCachePage; ++t) {
    for (int c = 0; c < codec.channels(); ++c)
      y[static_cast<size_t>(t * codec.channels() + c)] = by_channel[static_cast<size_t>(c * kCachePage + t)];
  }
  return y;
}

ChannelRun Whole(int bits, CacheAxis axis, CacheRule rule) {
  return {.channels = kChannels, .bits = bits, .axis = axis, .rule = rule};
}

TEST(CachePage, RangeRoundsWithinHalfAStep) {
  const std::vector<float> x = RandomPage(1);
  for (const int bits : {1, 2, 3, 4, 8}) {
    const std::vector<float> y =
        RoundTrip(PageCodec({Whole(bits, CacheAxis::kChannel, CacheRule::kRange)}), x);
    for (int c = 0; c < kChannels; ++c) {
      float low = INFINITY, high = -INFINITY;
      for (int t = 0; t < kCachePage; ++t) {
        low = std::min(low, x[static_cast<size_t>(t * kChannels + c)]);
        high = std::max(high, x[static_cast<size_t>(t * kChannels + c)]);
      }
      const float step = (high - low) / static_cast<float>((1 << bits) - 1);
      for (int t = 0; t < kCachePage; ++t) {
        const size_t i = static_cast<size_t>(t * kChannels + c);
        EXPECT_NEAR(y[i], x[i], 0.5f * step + 4e-3f * std::max(std::abs(low), std::abs(high)));
      }
    }
  }
}

TEST(CachePage, AbsMaxIsEightBitRounding) {
  const std::vector<float> x = RandomPage(2);
  const std::vector<float> y = RoundTrip(PageCodec({Whole(8, CacheAxis::kPosition, CacheRule::kAbsMax)}), x);
  for (int t = 0; t < kCachePage; ++t) {
    float most = 0;
    for (int c = 0; c < kChannels; ++c)
      most = std::max(most, std::abs(x[static_cast<size_t>(t * kChannels + c)]));
    for (int c = 0; c < kChannels; ++c) {
      const size_t i = static_cast<size_t>(t * kChannels + c);
      EXPECT_NEAR(y[i], x[i], most / 127 * 0.5f + most * 1e-3f);
    }
  }
}

TEST(CachePage, SignsCarryTheMeanMagnitude) {
  std::vector<float> x(kCachePage * 2);
  for (int t = 0; t < kCachePage; ++t) {
    x[static_cast<size_t>(2 * t)] = t % 3 == 0 ? -2.0f : 1.0f;
    x[static_cast<size_t>(2 * t + 1)] = t == 0 ? 0.0f : -4.0f;
  }
  const std::vector<float> y =
      RoundTrip(PageCodec({{.channels = 2, .axis = CacheAxis::kChannel, .rule = CacheRule::kSign}}), x);
  const float first = (11 * 2.0f + 21) / 32, second = 31 * 4.0f / 32;
  for (int t = 0; t < kCachePage; ++t) {
    EXPECT_NEAR(y[static_cast<size_t>(2 * t)], t % 3 == 0 ? -first : first, 1e-3f);
    EXPECT_NEAR(y[static_cast<size_t>(2 * t + 1)], t == 0 ? second : -second, 2e-3f);  // sign(0) = +
  }
}

TEST(CachePage, TernaryKeepsWhatExceedsTheThreshold) {
  Random random(3);
  std::vector<float> x(kCachePage);
  double mean = 0;
  for (float& v : x) {
    v = random.Normal();
    mean += std::abs(v) / kCachePage;
  }
  const std::vector<float> y =
      RoundTrip(PageCodec({{.channels = 1, .axis = CacheAxis::kChannel, .rule = CacheRule::kTernary}}), x);
  double kept = 0;
  int ones = 0;
  for (const float v : x) {
    if (std::abs(v) > 0.7 * mean) {
      kept += std::abs(v);
      ++ones;
    }
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::abs(x[i]) > 0.7 * mean ? std::copysign(kept / ones, x[i]) : 0;
    EXPECT_NEAR(y[i], expected, 1e-3);
  }
}

// Squared error of unit Gaussians: what the law's table says.
TEST(CachePage, NormRunsReachTheDistortionOfTheirLaw) {
  constexpr int kWide = 128;
  const double expected[] = {0.360889, 0.116000, 0.033966, 0.009315};
  for (int bits = 1; bits <= 4; ++bits) {
    const PageCodec codec({{.channels = kWide,
                            .bits = bits,
                            .axis = CacheAxis::kPosition,
                            .rule = CacheRule::kNorm,
                            .levels = LloydMaxLevels({LawKind::kBeta, kWide}, bits)}});
    double error = 0, energy = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      NormalSequence normal(seed, 7);
      std::vector<float> x(kCachePage * kWide);
      for (float& v : x) v = 3 * static_cast<float>(normal.Next());
      const std::vector<float> y = RoundTrip(codec, x);
      for (size_t i = 0; i < x.size(); ++i) {
        error += (x[i] - y[i]) * (x[i] - y[i]);
        energy += x[i] * x[i];
      }
    }
    EXPECT_NEAR(error / energy, expected[bits - 1], 0.02 * expected[bits - 1]) << bits;
  }
}

TEST(CachePage, BytesAreCodesAndNumbers) {
  EXPECT_EQ(PageCodec({Whole(2, CacheAxis::kChannel, CacheRule::kRange)}).bytes(),
            kChannels * 32u * 2 / 8 + kChannels * 4u);
  EXPECT_EQ(PageCodec({Whole(3, CacheAxis::kPosition, CacheRule::kAbsMax)}).bytes(),
            kChannels * 32u * 3 / 8 + 64u);
  EXPECT_EQ(PageCodec({Whole(0, CacheAxis::kChannel, CacheRule::kTernary)}).bytes(),
            kChannels * 32u / 5 + kChannels * 2u);
}

TEST(CachePage, ConstantAndZeroChannelsComeBack) {
  std::vector<float> x(kCachePage * kChannels, 0.0f);
  for (int t = 0; t < kCachePage; ++t) x[static_cast<size_t>(t * kChannels + 3)] = 1.5f;
  EXPECT_EQ(RoundTrip(PageCodec({Whole(2, CacheAxis::kChannel, CacheRule::kRange)}), x), x);
  const std::vector<float> zero(x.size(), 0.0f);
  for (const CacheRule rule : {CacheRule::kAbsMax, CacheRule::kRange, CacheRule::kSign, CacheRule::kTernary})
    EXPECT_EQ(RoundTrip(PageCodec({Whole(2, CacheAxis::kPosition, rule)}), zero), zero);
}

// What a page holds does not depend on the instructions that packed it; heads of 40 channels have no tiles.
TEST(CachePage, EveryTargetWritesTheSameBytes) {
  for (const int channels : {kChannels, 48, 128}) {
    for (const CacheAxis axis : {CacheAxis::kPosition, CacheAxis::kChannel}) {
      for (const PageSide side : {PageSide::kKeys, PageSide::kValues}) {
        std::vector<ChannelRun> runs;
        for (const CacheRule rule : {CacheRule::kNorm, CacheRule::kAbsMax, CacheRule::kRange,
                                     CacheRule::kSign, CacheRule::kTernary}) {
          for (const int bits : {2, 3, 4, 5, 8}) {
            ChannelRun run{.channels = channels, .bits = bits, .axis = axis, .rule = rule};
            if (rule == CacheRule::kNorm) run.levels = LloydMaxLevels({LawKind::kGaussian}, bits);
            runs.push_back(run);
          }
        }
        for (const ChannelRun& run : runs) {
          const PageCodec codec({run}, side);
          std::vector<float> x = RandomPage(5, channels);
          for (int t = 0; t < kCachePage; ++t) {
            x[static_cast<size_t>(t * channels + 2)] = t % 2 == 0 ? 0.0f : -0.0f;
            x[static_cast<size_t>(t * channels + 6)] = 1e-30f;
          }
          std::fill_n(x.begin() + 7 * channels, channels, 0.0f);
          std::vector<uint8_t> first;
          for (const Target target : SupportedTargets()) {
            SetTarget(target);
            std::vector<uint8_t> page(codec.bytes());
            codec.Encode(x.data(), page.data());
            if (first.empty()) first = page;
            EXPECT_EQ(page, first) << channels << " " << run.bits << " " << static_cast<int>(run.rule) << " "
                                   << NameOf(target);
          }
        }
      }
    }
  }
}

TEST(CachePage, RefusesWhatIsNotFinite) {
  std::vector<float> x = RandomPage(4);
  const PageCodec codec({Whole(2, CacheAxis::kChannel, CacheRule::kRange)});
  std::vector<uint8_t> page(codec.bytes());
  x[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(codec.Encode(x.data(), page.data()), Error);
  x[5] = 1e6f;
  EXPECT_THROW(codec.Encode(x.data(), page.data()), Error);
  EXPECT_THROW(PageCodec({Whole(9, CacheAxis::kChannel, CacheRule::kRange)}), Error);
}

}  // namespace
}  // namespace lowbit
