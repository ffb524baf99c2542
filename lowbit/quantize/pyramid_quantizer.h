// Shape and gain: the direction of a vector as a point of the pyramid, its length as a scalar code [pvq-llm].
//
//   x ~ g y / |y|,   y in P(d, K),  g one of 2^b levels
// y has the largest cosine with x (format/pyramid.h) and g is the level nearest to the projection <x, y> /
// |y|, so that |x - g y/|y||^2 = |x|^2 - <x, y>^2/|y|^2 + (<x, y>/|y| - g)^2. The levels are the exact 1-D
// k-means of the projections of the training points; shapes need no training. The codes are the index,
// sixteen bits in a code, least significant first, then the gain.
#pragma once

#include <memory>
#include <vector>

#include "lowbit/format/pyramid.h"
#include "lowbit/kernel/pyramid_decoder.h"
#include "lowbit/quantize/vector_quantizer.h"

namespace lowbit {

struct PyramidOptions {
  int pulses = 0;  // K; 0: the most that fit shape_bits
  int shape_bits = 0;
  int gain_bits = 4;       // 0 to 8; 0: one gain for all
  int64_t sample = 65536;  // points the gain levels are fitted to; 0: all
  uint64_t seed = 1;
};

class PyramidQuantizer final : public VectorQuantizer {
 public:
  // Throws lowbit::Error when neither pulses nor shape_bits say what K is, and as PyramidCodec and KMeans1D
  // do.
  static PyramidQuantizer Train(const PointSource& source, const PyramidOptions& options,
                                ThreadPool& pool = ThreadPool::Global());
  // `levels` ascend.
  PyramidQuantizer(int dimension, int pulses, std::vector<float> levels);

  int64_t dimension() const override { return codec().dimension(); }
  const std::vector<int>& code_bits() const override { return code_bits_; }
  int64_t table_values() const override { return static_cast<int64_t>(levels_.size()); }
  void Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
              ThreadPool& pool = ThreadPool::Global()) const override;
  // Throws lowbit::Error when a code is no index or no gain.
  void Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
              ThreadPool& pool = ThreadPool::Global()) const override;

  const PyramidCodec& codec() const { return decoder_->codec(); }
  const std::vector<float>& levels() const { return levels_; }

 private:
  std::shared_ptr<const PyramidDecoder> decoder_;
  std::vector<float> levels_;
  std::vector<int> code_bits_;
};

}  // namespace lowbit
