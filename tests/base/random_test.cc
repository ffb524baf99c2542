#include "lowbit/base/random.h"

#include <gtest/gtest.h>

#include <vector>

namespace lowbit {
namespace {

// Known answers published with Random123 (kat_vectors, philox4x32-10).
TEST(Philox, MatchesThePublishedKnownAnswers) {
  EXPECT_EQ(Philox4x32(0, 0, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32(~0ull, ~0ull, ~0ull),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, BelowIsUniform) {
  Random random(3);
  std::vector<int> count(7);
  for (int i = 0; i < 70000; ++i) count[random.Below(7)]++;
  for (int c : count) EXPECT_NEAR(c, 10000, 400);
}

TEST(Random, NormalHasUnitVariance) {
  Random random(5);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = random.Normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

}  // namespace
}  // namespace lowbit
