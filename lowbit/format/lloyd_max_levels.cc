#include "lowbit/format/lloyd_max_levels.h"

#include "lowbit/base/error.h"
#include "lowbit/format/lloyd_max.h"

namespace lowbit {
namespace {

Density DensityOf(const Law& law) {
  switch (law.kind) {
    case LawKind::kGaussian:
      return GaussianDensity();
    case LawKind::kLaplace:
      return LaplaceDensity();
    case LawKind::kBeta:
      break;
  }
  if (law.dimension < 3) Fail("the Beta law of {} dimensions; 3 or more are possible", law.dimension);
  return SphereDensity(law.dimension);
}

}  // namespace

std::vector<float> LloydMaxLevels(const Law& law, int bits) {
  const std::vector<double> level = DesignLloydMax(DensityOf(law), bits).level;
  return {level.begin(), level.end()};
}

}  // namespace lowbit
