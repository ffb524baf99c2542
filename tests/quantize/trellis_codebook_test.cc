#include "lowbit/quantize/trellis_codebook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/format/lloyd_max.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

std::vector<float> Gaussian(size_t n, uint64_t seed) {
  NormalSequence normal(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(normal.Next());
  return x;
}

TEST(TrellisCodebook, KeepsItsPromiseOnNewDrawsAndBeatsLloydMax) {
  const std::vector<float> x = Gaussian(128 * 300, 71);
  for (int bits = 1; bits <= 4; ++bits) {
    const Grid grid = TrellisGrid(bits);
    const double d = TrellisDistortion(grid, x);
    EXPECT_NEAR(d, grid.distortion, 0.025 * grid.distortion) << bits;
    EXPECT_LT(d, 0.81 * DesignLloydMax(GaussianDensity(), bits).distortion) << bits;
    EXPECT_GT(d, std::pow(4, -bits)) << "below the rate-distortion bound";
  }
}

// The tables are where training ends: more of it gains nothing that shows.
TEST(TrellisCodebook, TrainingHasSettled) {
  const std::vector<float> x = Gaussian(128 * 200, 72), other = Gaussian(128 * 200, 73);
  for (int bits = 1; bits <= 4; ++bits) {
    const Grid again = TrainTrellis(TrellisGrid(bits), x, 3);
    EXPECT_GT(TrellisDistortion(again, other), 0.98 * TrellisDistortion(TrellisGrid(bits), other)) << bits;
  }
}

TEST(TrellisCodebook, TrainingImprovesARandomStart) {
  const std::vector<float> x = Gaussian(128 * 40, 74);
  for (int bits = 1; bits <= 4; ++bits) {
    const Grid start = RandomTrellis(bits, 0.045, 5);
    const Grid trained = TrainTrellis(start, x, 8);
    EXPECT_LT(trained.distortion, 0.97 * TrellisDistortion(start, x)) << bits;
  }
  EXPECT_THROW(TrainTrellis(RandomTrellis(2, 0.045, 5), std::span(x).first(100), 1), Error);
}

}  // namespace
}  // namespace lowbit
