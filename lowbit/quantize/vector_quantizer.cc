#include "lowbit/quantize/vector_quantizer.h"

#include <bit>

#include "lowbit/base/error.h"

namespace lowbit {

void VectorQuantizer::CheckShapes(int64_t points, int64_t channels, int64_t coded, int64_t codes_each) const {
  if (channels != dimension()) Fail("points of {} channels for a quantizer of {}", channels, dimension());
  if (codes_each != codes()) Fail("{} codes a point for a quantizer with {}", codes_each, codes());
  if (points != coded) Fail("{} points and {} rows of codes", points, coded);
}

double Distortion(const VectorQuantizer& quantizer, const PointSource& source, ThreadPool& pool) {
  double error = 0, weight = 0;
  ForEachBlock(source, 0, source.count(), [&](const PointBlock& block, int64_t first) {
    CheckPoints(block, first);
    const int64_t n = block.points.rows, d = block.points.cols;
    Buffer<uint16_t> codes(static_cast<size_t>(n * quantizer.codes()));
    Buffer<float> decoded(static_cast<size_t>(n * d));
    quantizer.Encode(block.points, {codes.data(), n, quantizer.codes()}, pool);
    quantizer.Decode({codes.data(), n, quantizer.codes()}, {decoded.data(), n, d}, pool);
    for (int64_t p = 0; p < n; ++p) {
      double own = 0;
      for (int64_t c = 0; c < d; ++c) {
        const double difference = double{block.points(p, c)} - decoded[static_cast<size_t>(p * d + c)];
        own += difference * difference;
      }
      const double w = block.weights == nullptr ? 1.0 : block.weights[p];
      error += w * own;
      weight += w;
    }
  });
  return error / weight;
}

int BitsToName(int64_t n) {
  return n <= 1 ? 0 : std::bit_width(static_cast<uint64_t>(n - 1));
}

}  // namespace lowbit
