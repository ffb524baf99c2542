#include "lowbit/index/top_k.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lowbit/base/random.h"

namespace lowbit {
namespace {

// Ids of places, in another order than the places.
class Ids final : public PlaceIds {
 public:
  int64_t IdOf(uint64_t place) const override { return 1000 - static_cast<int64_t>(place) / 7; }
};
const Ids kIds;

// The k first of all in the order of distance and id, whatever the order of the offers; many distances tie.
TEST(TopK, IsTheHeadOfTheSortedList) {
  Random random(1);
  std::vector<Candidate> all;
  for (int64_t id = 0; id < 500; ++id)
    all.push_back({static_cast<float>(static_cast<int>(random.Below(40)) - 20), id,
                   static_cast<uint64_t>(7 * (1000 - id))});
  std::vector<Candidate> sorted = all;
  std::sort(sorted.begin(), sorted.end(), Nearer());
  for (int round = 0; round < 5; ++round) {
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.Below(i)]);
    for (const int64_t k : {1, 2, 10, 100, 499, 500, 600}) {
      // One by one, or in runs of those that were within the limit when their run began.
      TopK best(k, std::numeric_limits<float>::infinity(), &kIds);
      for (size_t i = 0; i < all.size();) {
        std::vector<float> distances;
        std::vector<int32_t> rows;
        const float limit = best.limit();
        for (const size_t end = std::min(all.size(), i + (round == 0 ? 1 : random.Below(200))); i < end;
             ++i) {
          if (!(all[i].distance <= limit)) continue;
          distances.push_back(all[i].distance);
          rows.push_back(static_cast<int32_t>(all[i].place) - 100);
        }
        best.OfferAll(distances.data(), rows.data(), static_cast<int64_t>(rows.size()), 100);
      }
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
  TopK within(-1, 3, &kIds);
  for (int64_t id = 0; id < 1000; ++id)
    within.Offer(static_cast<float>(id % 10), static_cast<uint64_t>(7 * (1000 - id)));
  const std::vector<Candidate> found = std::move(within).Sorted();
  ASSERT_EQ(found.size(), 400u);
  EXPECT_EQ(found[0].id, 0);
  EXPECT_EQ(found[399].id, 993);
  TopK nearest(2, 3, &kIds);
  for (const float distance : {9.0f, 3.0f, 4.0f, NAN}) nearest.Offer(distance, 0);
  EXPECT_EQ(std::move(nearest).Sorted().size(), 1u);
}

}  // namespace
}  // namespace lowbit
