#include "lowbit/base/edit_distance.h"

#include <gtest/gtest.h>

namespace lowbit {
namespace {

TEST(EditDistance, CountsInsertionsReplacementsAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("nvpf4", "nvfp4"), 1u);
  EXPECT_EQ(EditDistance("ab", "ba"), 1u);
  EXPECT_EQ(EditDistance("ca", "abc"), 3u);  // no character is edited twice
  EXPECT_EQ(EditDistance("apot4g64", "apot4-g64"), 1u);
}

TEST(EditDistance, TheFirstOfTheNearestIsSuggested) {
  const std::vector<std::string> names = {"nf4", "nvfp4", "mxfp4", "apot4", "apot4-g64"};
  EXPECT_EQ(NearestName(names, "nvpf4"), "nvfp4");
  EXPECT_EQ(NearestName(names, "apot4g64"), "apot4-g64");
  EXPECT_EQ(NearestName(names, "fp4"), "nf4");
}

}  // namespace
}  // namespace lowbit
