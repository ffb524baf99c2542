#include "lowbit/quantize/pyramid_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"
#include "tests/quantize/random_points.h"

namespace lowbit {
namespace {

TEST(PyramidQuantizer, ReachesTheErrorsOfTheCardOnNormalPoints) {
  const int64_t n = 6000, d = 16;
  const std::vector<float> x = NormalPoints(n, d, 1), fresh = NormalPoints(n, d, 2);
  const struct {
    int shape_bits;
    double bits, error;
  } rows[] = {{32, 2.25, 0.083}, {48, 3.25, 0.0197}};
  for (const auto& row : rows) {
    const auto quantizer =
        PyramidQuantizer::Train(MatrixSource(Points(x, d)), {.shape_bits = row.shape_bits, .gain_bits = 4});
    EXPECT_EQ(static_cast<double>(quantizer.bits_per_point()) / d, row.bits);
    const double error = Distortion(quantizer, MatrixSource(Points(fresh, d))) / d;
    EXPECT_NEAR(error, row.error, 0.04 * row.error);
    // Four bits of gain cost less than 4 % over exact gains.
    const auto fine =
        PyramidQuantizer::Train(MatrixSource(Points(x, d)), {.shape_bits = row.shape_bits, .gain_bits = 8});
    EXPECT_LT(error, 1.05 * Distortion(fine, MatrixSource(Points(fresh, d))) / d);
  }
}

TEST(PyramidQuantizer, ErrorIsThatOfShapeAndGain) {
  const std::vector<float> x = NormalPoints(300, 10, 3);
  const auto quantizer = PyramidQuantizer::Train(MatrixSource(Points(x, 10)), {.pulses = 7, .gain_bits = 2});
  std::vector<uint16_t> codes(static_cast<size_t>(300 * quantizer.codes()));
  std::vector<float> decoded(x.size());
  quantizer.Encode(Points(x, 10), {codes.data(), 300, quantizer.codes()});
  quantizer.Decode({codes.data(), 300, quantizer.codes()}, {decoded.data(), 300, 10});
  EXPECT_EQ(quantizer.levels().size(), 4u);
  for (size_t p = 0; p < 300; ++p) {
    std::vector<int16_t> y(10);
    const PyramidFit fit = PyramidDirection({&x[p * 10], 10}, 7, y);
    double xx = 0, error = 0, best = 1e30;
    for (size_t c = 0; c < 10; ++c) {
      xx += double{x[p * 10 + c]} * x[p * 10 + c];
      error += std::pow(double{x[p * 10 + c]} - decoded[p * 10 + c], 2);
    }
    const double projection = fit.dot / std::sqrt(double{fit.squares});
    for (const float level : quantizer.levels()) best = std::min(best, std::pow(projection - level, 2));
    ASSERT_NEAR(error, xx - projection * projection + best, 1e-4);
  }
}

TEST(PyramidQuantizer, KeepsZerosAndRefusesBadCodes) {
  std::vector<float> x = NormalPoints(50, 12, 4);
  std::fill(x.begin(), x.begin() + 12, 0.0f);
  const auto quantizer = PyramidQuantizer::Train(MatrixSource(Points(x, 12)), {.pulses = 5, .gain_bits = 8});
  std::vector<uint16_t> codes(static_cast<size_t>(50 * quantizer.codes()));
  std::vector<float> decoded(x.size());
  const MatrixView<uint16_t> view(codes.data(), 50, quantizer.codes());
  quantizer.Encode(Points(x, 12), view);
  quantizer.Decode(view, {decoded.data(), 50, 12});
  for (size_t c = 0; c < 12; ++c) EXPECT_EQ(decoded[c], 0.0f);  // one level a point: the zero's is zero
  view(3, view.cols - 1) = 60000;
  EXPECT_THROW(quantizer.Decode(view, {decoded.data(), 50, 12}), Error);
  EXPECT_THROW(PyramidQuantizer::Train(MatrixSource(Points(x, 12)), {}), Error);
  EXPECT_THROW(PyramidQuantizer::Train(MatrixSource(Points(x, 12)), {.pulses = 5, .gain_bits = 9}), Error);
  EXPECT_THROW(PyramidQuantizer(12, 5, {2, 1}), Error);
}

TEST(PyramidQuantizer, CodesIndicesOfAnyLength) {
  const std::vector<float> x = NormalPoints(70, 40, 5);
  for (const int pulses : {3, 20, 60, 200}) {
    const auto quantizer = PyramidQuantizer::Train(MatrixSource(Points(x, 40)), {.pulses = pulses});
    EXPECT_EQ(quantizer.bits_per_point(), quantizer.codec().bits() + 4);
    std::vector<uint16_t> codes(static_cast<size_t>(70 * quantizer.codes()));
    std::vector<float> decoded(x.size());
    for (const int threads : {1, 7}) {
      ThreadPool pool(threads);
      std::vector<uint16_t> own(codes.size());
      quantizer.Encode(Points(x, 40), {own.data(), 70, quantizer.codes()}, pool);
      if (threads == 7) {
        EXPECT_EQ(own, codes);
      }
      codes = own;
    }
    quantizer.Decode({codes.data(), 70, quantizer.codes()}, {decoded.data(), 70, 40});
    const double error = MeanSquaredError(x, decoded, 40) / 40;
    EXPECT_LT(error, pulses == 3 ? 0.8 : pulses == 20 ? 0.25 : pulses == 60 ? 0.06 : 0.012);
  }
}

}  // namespace
}  // namespace lowbit
