#include "lowbit/kernel/column_split.h"

#include <gtest/gtest.h>

#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

TEST(SplitColumns, KeepsOrderOnEveryTarget) {
  const Target before = CurrentTarget();
  Random random(41);
  constexpr int64_t kRows = 3, kGap = 5;
  for (const int64_t cols : {1, 4, 7, 16, 31, 32, 64, 100, 128, 200}) {
    for (const uint64_t of : {1, 4, 40}) {  // one column in `of`
      std::vector<uint8_t> mask(static_cast<size_t>((cols + 7) / 8));
      std::vector<float> x, chosen, rest;
      for (int64_t j = 0; j < cols; ++j) {
        if (random.Below(of) == 0) mask[static_cast<size_t>(j / 8)] |= static_cast<uint8_t>(1 << (j % 8));
      }
      for (int64_t i = 0; i < kRows * (cols + kGap); ++i) x.push_back(random.Normal());
      const MatrixView<const float> view = {x.data(), kRows, cols, cols + kGap};
      for (int64_t i = 0; i < kRows; ++i) {
        for (int64_t j = 0; j < cols; ++j)
          (((mask[static_cast<size_t>(j / 8)] >> (j % 8)) & 1) != 0 ? chosen : rest).push_back(view(i, j));
      }
      for (const Target target : SupportedTargets()) {
        SetTarget(target);
        std::vector<float> a(chosen.size() + kSplitSlack), b(rest.size() + kSplitSlack);
        SplitColumns(view, mask.data(), a.data(), b.data());
        a.resize(chosen.size()), b.resize(rest.size());
        EXPECT_EQ(a, chosen) << NameOf(target) << ' ' << cols << ' ' << of;
        EXPECT_EQ(b, rest) << NameOf(target) << ' ' << cols << ' ' << of;
      }
    }
  }
  SetTarget(before);
}

}  // namespace
}  // namespace lowbit
