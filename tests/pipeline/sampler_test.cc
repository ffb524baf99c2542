#include "lowbit/pipeline/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "lowbit/base/error.h"
#include "lowbit/pipeline/generate.h"

namespace lowbit {
namespace {

const std::vector<float> kLogits = {0.1f, 2.0f, -1.0f, 1.5f, 1.9f, -3.0f, 0.0f, 1.0f};

// The definition, in long form: which tokens stay and with what probability.
std::map<int32_t, double> Exact(const SamplerOptions& o, std::vector<float> logits) {
  std::vector<std::pair<double, int32_t>> p;
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    p.push_back({std::exp(logits[i] / o.temperature), -static_cast<int32_t>(i)});
    sum += p.back().first;
  }
  std::sort(p.rbegin(), p.rend());
  if (o.top_k > 0) p.resize(std::min<size_t>(p.size(), static_cast<size_t>(o.top_k)));
  sum = 0;
  for (auto& [x, i] : p) sum += x;
  double seen = 0;
  size_t keep = 0;
  while (keep < p.size() && seen < o.top_p) seen += p[keep++].first / sum;
  p.resize(keep);
  while (p.back().first < o.min_p * p[0].first) p.pop_back();
  sum = 0;
  for (auto& [x, i] : p) sum += x;
  std::map<int32_t, double> result;
  for (auto& [x, i] : p) result[-i] = x / sum;
  return result;
}

TEST(Sampler, DrawFrequenciesMatchTheFilteredDistribution) {
  for (SamplerOptions o :
       {SamplerOptions{.temperature = 1}, SamplerOptions{.temperature = 0.7, .top_k = 3},
        SamplerOptions{.temperature = 1.3, .top_p = 0.8}, SamplerOptions{.temperature = 1, .min_p = 0.3},
        SamplerOptions{.temperature = 0.9, .top_k = 6, .top_p = 0.9, .min_p = 0.1}}) {
    const auto exact = Exact(o, kLogits);
    for (uint64_t seed : {1, 2}) {
      o.seed = seed;
      Sampler sampler(o);
      std::map<int32_t, int> count;
      constexpr int kDraws = 40000;
      for (int i = 0; i < kDraws; ++i) {
        std::vector<float> logits = kLogits;
        ++count[sampler.Next(logits, {})];
      }
      for (const auto& [token, n] : count) ASSERT_TRUE(exact.contains(token)) << token;
      for (const auto& [token, p] : exact) {
        EXPECT_NEAR(count[token], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)) + 1) << token;
      }
    }
  }
}

TEST(Sampler, GreedyTakesTheLargestAndTheFirstOnATie) {
  Sampler sampler(SamplerOptions{});
  std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(sampler.Next(logits, {}), 1);
}

TEST(Sampler, RepetitionPenaltyActsOnRecentTokensOnly) {
  Sampler sampler(SamplerOptions{.repetition_penalty = 2, .repetition_window = 2});
  std::vector<float> logits = {3, 2.5f, -1, -1};
  const std::vector<int32_t> seen = {1, 0, 2};
  EXPECT_EQ(sampler.Next(logits, seen), 1);  // token 1 is outside the window
  EXPECT_FLOAT_EQ(logits[0], 1.5f);
  EXPECT_FLOAT_EQ(logits[2], -2);
}

TEST(Sampler, TheSeedFixesTheDraws) {
  const auto draw = [](uint64_t seed) {
    Sampler sampler(SamplerOptions{.temperature = 2, .seed = seed});
    std::vector<int32_t> out;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> logits = kLogits;
      out.push_back(sampler.Next(logits, {}));
    }
    return out;
  };
  EXPECT_EQ(draw(3), draw(3));
  EXPECT_NE(draw(3), draw(4));
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  for (const SamplerOptions& o :
       {SamplerOptions{.temperature = -1}, SamplerOptions{.top_k = -1}, SamplerOptions{.top_p = 0},
        SamplerOptions{.min_p = 2}, SamplerOptions{.repetition_penalty = 0}}) {
    EXPECT_THROW(CheckSamplerOptions(o), UsageError);
  }
}

TEST(StopFilter, NeverShowsAStopStringHoweverTheTextIsCut) {
  const std::string text = "one two STOP three", stop = "STOP";
  for (size_t step = 1; step < 8; ++step) {
    StopFilter filter({stop, "STAR"});
    std::string shown;
    for (size_t at = 0; at < text.size() && !filter.stopped(); at += step)
      shown += filter.Push(text.substr(at, step));
    shown += filter.Finish();
    EXPECT_EQ(shown, "one two ");
    EXPECT_TRUE(filter.stopped());
  }
  StopFilter filter({stop});
  EXPECT_EQ(filter.Push("a STO"), "a ");
  EXPECT_EQ(filter.Push("RE"), "STORE");
  EXPECT_EQ(filter.Push(" ST"), " ");
  EXPECT_EQ(filter.Finish(), "ST");
}

}  // namespace
}  // namespace lowbit
