// Where a quantizer's training points come from: a matrix in memory, a file read block by block, or another
// source changed on the way (a slice of its channels, its residual after some codebooks, its absolute
// values). Trainers ask for consecutive rows in ascending order, a bounded number at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/matrix.h"

namespace lowbit {

// Consecutive points (rows, dimension) and their weights (rows); null weights are all one.
struct PointBlock {
  MatrixView<const float> points;
  const float* weights = nullptr;
};

// Memory a source may fill to answer Read; what it holds lives until the next call with it.
struct PointScratch {
  Buffer<float> points, weights;
};

class PointSource {
 public:
  virtual ~PointSource() = default;
  virtual int64_t count() const = 0;
  virtual int64_t dimension() const = 0;
  // Points first .. first + rows - 1, within [0, count()).
  virtual PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const = 0;
};

// Points in memory, not owned.
class MatrixSource final : public PointSource {
 public:
  // `weights` holds one non-negative value a point or is null.
  explicit MatrixSource(MatrixView<const float> points, const float* weights = nullptr)
      : points_(points), weights_(weights) {}
  int64_t count() const override { return points_.rows; }
  int64_t dimension() const override { return points_.cols; }
  PointBlock Read(int64_t first, int64_t rows, PointScratch&) const override {
    return {points_.Block(first, 0, rows, points_.cols), weights_ == nullptr ? nullptr : weights_ + first};
  }

 private:
  MatrixView<const float> points_;
  const float* weights_;
};

// Channels [first, first + width) of another source.
class ChannelSource final : public PointSource {
 public:
  ChannelSource(const PointSource& whole, int64_t first, int64_t width)
      : whole_(whole), first_(first), width_(width) {}
  int64_t count() const override { return whole_.count(); }
  int64_t dimension() const override { return width_; }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override {
    PointBlock block = whole_.Read(first, rows, scratch);
    block.points = block.points.Block(0, first_, rows, width_);
    return block;
  }

 private:
  const PointSource& whole_;
  int64_t first_, width_;
};

// A sample of at most `limit` points in memory, one from each of `limit` equal stretches of the source,
// chosen by `seed`; all points when there are no more (or limit is 0).
class PointSample {
 public:
  PointSample(const PointSource& source, int64_t limit, uint64_t seed);
  MatrixSource source() const;

 private:
  int64_t count_, dimension_;
  std::vector<float> points_, weights_;  // (count, dimension); (count) or empty
};

// Rows that trainers read at a time: about four megabytes of points. Depends on the dimension alone, as
// results may depend on it.
int64_t BlockRows(int64_t dimension);

// Throws lowbit::Error naming the point (counted from `first`) and channel of the first NaN or infinity, and
// a weight that is negative or not finite.
void CheckPoints(const PointBlock& block, int64_t first);

// Calls f(block, first) for points [begin, end) of the source in blocks of BlockRows.
template <typename F>
void ForEachBlock(const PointSource& source, int64_t begin, int64_t end, F f) {
  PointScratch scratch;
  const int64_t step = BlockRows(source.dimension());
  for (int64_t first = begin; first < end; first += step)
    f(source.Read(first, std::min(step, end - first), scratch), first);
}

}  // namespace lowbit
