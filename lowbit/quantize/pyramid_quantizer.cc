#include "lowbit/quantize/pyramid_quantizer.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/quantize/kmeans_1d.h"

namespace lowbit {
namespace {

constexpr int kCodeBits = 16;
constexpr int64_t kTask = 64;  // points coded as one task

float Projection(const PyramidFit& fit) {
  return fit.squares > 0 ? fit.dot / std::sqrt(fit.squares) : 0.0f;
}

template <typename F>
void InTasks(int64_t count, ThreadPool& pool, F f) {
  pool.Run((count + kTask - 1) / kTask,
           [&](int64_t task, int) { f(task * kTask, std::min(count, (task + 1) * kTask)); });
}

}  // namespace

PyramidQuantizer PyramidQuantizer::Train(const PointSource& source, const PyramidOptions& options,
                                         ThreadPool& pool) {
  if (options.pulses < 1 && options.shape_bits < 1)
    Fail("a pyramid quantizer without pulses: give either their number or the bits of a shape");
  if (options.gain_bits < 0 || options.gain_bits > 8)
    Fail("gains of {} bits: 0 to 8 are possible", options.gain_bits);
  const auto d = static_cast<int>(source.dimension());
  const int pulses = options.pulses > 0 ? options.pulses : PyramidPulses(d, options.shape_bits);
  const PointSample sample(source, options.sample, options.seed);
  PointScratch scratch;
  const MatrixSource held = sample.source();
  const PointBlock block = held.Read(0, held.count(), scratch);
  std::vector<float> gains(static_cast<size_t>(held.count()));
  InTasks(held.count(), pool, [&](int64_t begin, int64_t end) {
    std::vector<int16_t> y(static_cast<size_t>(d));
    for (int64_t p = begin; p < end; ++p)
      gains[static_cast<size_t>(p)] =
          Projection(PyramidDirection({block.points.Row(p), static_cast<size_t>(d)}, pulses, y));
  });
  const std::span<const float> weights =
      block.weights == nullptr ? std::span<const float>() : std::span(block.weights, gains.size());
  return PyramidQuantizer(d, pulses, KMeans1D(gains, int64_t{1} << options.gain_bits, weights).levels);
}

PyramidQuantizer::PyramidQuantizer(int dimension, int pulses, std::vector<float> levels)
    : decoder_(std::make_shared<PyramidDecoder>(PyramidCodec(dimension, pulses))),
      levels_(std::move(levels)) {
  if (levels_.empty() || levels_.size() > 65536 || !std::is_sorted(levels_.begin(), levels_.end()))
    Fail("{} gain levels: 1 to 65536 are possible, in ascending order", levels_.size());
  for (int bit = 0; bit < codec().bits(); bit += kCodeBits)
    code_bits_.push_back(std::min(kCodeBits, codec().bits() - bit));
  code_bits_.push_back(BitsToName(static_cast<int64_t>(levels_.size())));
}

void PyramidQuantizer::Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
                              ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  std::vector<float> thresholds;
  for (size_t i = 1; i < levels_.size(); ++i) thresholds.push_back(0.5f * levels_[i - 1] + 0.5f * levels_[i]);
  InTasks(points.rows, pool, [&](int64_t begin, int64_t end) {
    const auto d = static_cast<size_t>(points.cols);
    std::vector<int16_t> y(d);
    std::vector<uint64_t> index(static_cast<size_t>(codec().words()));
    for (int64_t p = begin; p < end; ++p) {
      const float gain = Projection(PyramidDirection({points.Row(p), d}, codec().pulses(), y));
      codec().Encode(y, index);
      uint16_t* const to = codes.Row(p);
      for (int64_t i = 0; i + 1 < codes.cols; ++i)
        to[i] = static_cast<uint16_t>(index[static_cast<size_t>(i / 4)] >> (i % 4 * kCodeBits));
      to[codes.cols - 1] = static_cast<uint16_t>(
          std::upper_bound(thresholds.begin(), thresholds.end(), gain) - thresholds.begin());
    }
  });
}

void PyramidQuantizer::Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
                              ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  InTasks(points.rows, pool, [&](int64_t begin, int64_t end) {
    const auto d = static_cast<size_t>(points.cols), words = static_cast<size_t>(codec().words());
    std::vector<uint64_t> indices(static_cast<size_t>(end - begin) * words);
    std::vector<float> y(static_cast<size_t>(end - begin) * d);
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t i = 0; i + 1 < codes.cols; ++i)
        indices[static_cast<size_t>(p - begin) * words + static_cast<size_t>(i / 4)] |=
            uint64_t{codes(p, i)} << (i % 4 * kCodeBits);
    }
    decoder_->Decode<float>(indices, y);
    for (int64_t p = begin; p < end; ++p) {
      const float* const from = y.data() + static_cast<size_t>(p - begin) * d;
      const uint16_t gain = codes(p, codes.cols - 1);
      if (gain >= levels_.size())
        Fail("gain code {} of point {}: there are {} levels", gain, p, levels_.size());
      float squares = 0;
      for (size_t c = 0; c < d; ++c) squares += from[c] * from[c];
      const float scale = levels_[gain] / std::sqrt(std::max(squares, 1.0f));
      for (size_t c = 0; c < d; ++c) points(p, static_cast<int64_t>(c)) = scale * from[c];
    }
  });
}

}  // namespace lowbit
