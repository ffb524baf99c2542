#include "lowbit/quantize/sign_split_quantizer.h"

#include <algorithm>
#include <cmath>

namespace lowbit {
namespace {

constexpr int64_t kSigns = 16;  // in a code

void Magnitudes(MatrixView<const float> points, MatrixView<float> magnitudes) {
  for (int64_t p = 0; p < points.rows; ++p) {
    for (int64_t c = 0; c < points.cols; ++c) magnitudes(p, c) = std::abs(points(p, c));
  }
}

}  // namespace

PointBlock MagnitudeSource::Read(int64_t first, int64_t rows, PointScratch& scratch) const {
  const PointBlock block = whole_.Read(first, rows, inner_);
  scratch.points.Reserve(static_cast<size_t>(rows * dimension()));
  const MatrixView<float> magnitudes(scratch.points.data(), rows, dimension());
  Magnitudes(block.points, magnitudes);
  return {magnitudes, block.weights};
}

SignSplitQuantizer SignSplitQuantizer::Train(const PointSource& source,
                                             const std::vector<CodebookShape>& shapes,
                                             const CodebookOptions& options, ThreadPool& pool) {
  return SignSplitQuantizer(CodebookQuantizer::Train(MagnitudeSource(source), shapes, options, pool));
}

SignSplitQuantizer::SignSplitQuantizer(CodebookQuantizer magnitudes)
    : magnitudes_(std::move(magnitudes)), code_bits_(magnitudes_.code_bits()) {
  for (int64_t c = 0; c < dimension(); c += kSigns)
    code_bits_.push_back(static_cast<int>(std::min(kSigns, dimension() - c)));
}

void SignSplitQuantizer::Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
                                ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  Buffer<float> magnitudes(static_cast<size_t>(points.rows * points.cols));
  const MatrixView<float> view(magnitudes.data(), points.rows, points.cols);
  Magnitudes(points, view);
  magnitudes_.Encode(view, codes.Block(0, 0, codes.rows, magnitudes_.codes()), pool);
  for (int64_t p = 0; p < points.rows; ++p) {
    uint16_t* signs = codes.Row(p) + magnitudes_.codes();
    std::fill_n(signs, codes.cols - magnitudes_.codes(), uint16_t{0});
    for (int64_t c = 0; c < points.cols; ++c)
      signs[c / kSigns] |= static_cast<uint16_t>((points(p, c) < 0 ? 1 : 0) << (c % kSigns));
  }
}

void SignSplitQuantizer::Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
                                ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  magnitudes_.Decode(codes.Block(0, 0, codes.rows, magnitudes_.codes()), points, pool);
  for (int64_t p = 0; p < points.rows; ++p) {
    const uint16_t* signs = codes.Row(p) + magnitudes_.codes();
    for (int64_t c = 0; c < points.cols; ++c) {
      if ((signs[c / kSigns] >> (c % kSigns)) & 1) points(p, c) = -points(p, c);
    }
  }
}

}  // namespace lowbit
