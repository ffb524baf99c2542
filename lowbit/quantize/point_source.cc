#include "lowbit/quantize/point_source.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {

PointSample::PointSample(const PointSource& source, int64_t limit, uint64_t seed)
    : count_(limit == 0 ? source.count() : std::min(limit, source.count())), dimension_(source.dimension()) {
  points_.resize(static_cast<size_t>(count_ * dimension_));
  Random random(seed, /*stream=*/0x73616d706c65);
  int64_t taken = 0, chosen = -1;
  const auto choose = [&] {
    const int64_t begin = taken * source.count() / count_, end = (taken + 1) * source.count() / count_;
    chosen = begin + static_cast<int64_t>(random.Below(static_cast<uint64_t>(end - begin)));
  };
  if (count_ > 0) choose();
  ForEachBlock(source, 0, source.count(), [&](const PointBlock& block, int64_t first) {
    CheckPoints(block, first);
    if (block.weights != nullptr) weights_.resize(static_cast<size_t>(count_));
    while (taken < count_ && chosen < first + block.points.rows) {
      std::copy_n(block.points.Row(chosen - first), dimension_, points_.data() + taken * dimension_);
      if (block.weights != nullptr) weights_[static_cast<size_t>(taken)] = block.weights[chosen - first];
      if (++taken < count_) choose();
    }
  });
}

MatrixSource PointSample::source() const {
  return MatrixSource({points_.data(), count_, dimension_}, weights_.empty() ? nullptr : weights_.data());
}

int64_t BlockRows(int64_t dimension) {
  return std::clamp<int64_t>((int64_t{1} << 20) / std::max<int64_t>(dimension, 1) / 64 * 64, 256, 65536);
}

void CheckPoints(const PointBlock& block, int64_t first) {
  for (int64_t p = 0; p < block.points.rows; ++p) {
    const float* x = block.points.Row(p);
    bool finite = true;  // integers, so that the loop does not wait for itself
    for (int64_t c = 0; c < block.points.cols; ++c)
      finite &= (std::bit_cast<uint32_t>(x[c]) & 0x7f800000u) != 0x7f800000u;
    if (!finite) {
      const float* bad = std::find_if(x, x + block.points.cols, [](float v) { return !std::isfinite(v); });
      Fail("point {} is {} in channel {}: a codebook needs finite values", first + p, *bad, bad - x);
    }
    if (block.weights != nullptr && !(block.weights[p] >= 0 && std::isfinite(block.weights[p])))
      Fail("point {} has the weight {}: weights are finite and not negative", first + p, block.weights[p]);
  }
}

}  // namespace lowbit
