#include "lowbit/index/top_k.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lowbit/base/random.h"

namespace lowbit {
namespace {

// The k first of all in the order of distance and id, whatever the order of the offers; many distances tie.
TEST(TopK, IsTheHeadOfTheSortedList) {
  Random random(1);
  std::vector<Candidate> all;
  for (int64_t id = 0; id < 500; ++id)
    all.push_back(
        {static_cast<float>(static_cast<int>(random.Below(40)) - 20), id, static_cast<uint64_t>(7 * id)});
  std::vector<Candidate> sorted = all;
  std::sort(sorted.begin(), sorted.end(), Nearer());
  for (int round = 0; round < 5; ++round) {
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.Below(i)]);
    for (const int64_t k : {1, 2, 10, 100, 499, 500, 600}) {
      TopK best(k);
      for (const Candidate& candidate : all) best.Offer(candidate);
      const std::vector<Candidate> found = std::move(best).Sorted();
      ASSERT_EQ(found.size(), std::min<size_t>(static_cast<size_t>(k), 500));
      for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].id, sorted[i].id) << k;
        ASSERT_EQ(found[i].distance, sorted[i].distance);
        ASSERT_EQ(found[i].place, sorted[i].place);
      }
    }
  }
}

TEST(TopK, KeepsAllWithinALimit) {
  TopK within(-1, 3);
  for (int64_t id = 0; id < 1000; ++id) within.Offer({static_cast<float>(id % 10), id, 0});
  const std::vector<Candidate> found = std::move(within).Sorted();
  ASSERT_EQ(found.size(), 400u);
  EXPECT_EQ(found[0].id, 0);
  EXPECT_EQ(found[399].id, 993);
  TopK nearest(2, 3);
  for (const float distance : {9.0f, 3.0f, 4.0f, NAN}) nearest.Offer({distance, 1, 0});
  EXPECT_EQ(std::move(nearest).Sorted().size(), 1u);
}

}  // namespace
}  // namespace lowbit
