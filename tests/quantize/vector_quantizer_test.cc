// Quantizers of summed codebooks, additive and sign-split ones.
#include "lowbit/quantize/vector_quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>

#include "lowbit/base/error.h"
#include "lowbit/quantize/additive_quantizer.h"
#include "lowbit/quantize/codebook_quantizer.h"
#include "lowbit/quantize/sign_split_quantizer.h"
#include "tests/quantize/random_points.h"

namespace lowbit {
namespace {

std::vector<uint16_t> Encode(const VectorQuantizer& quantizer, const std::vector<float>& x,
                             ThreadPool& pool = ThreadPool::Global()) {
  const MatrixView<const float> points = Points(x, quantizer.dimension());
  std::vector<uint16_t> codes(static_cast<size_t>(points.rows * quantizer.codes()));
  quantizer.Encode(points, {codes.data(), points.rows, quantizer.codes()}, pool);
  return codes;
}

std::vector<float> Decode(const VectorQuantizer& quantizer, const std::vector<uint16_t>& codes) {
  const int64_t n = static_cast<int64_t>(codes.size()) / quantizer.codes();
  std::vector<float> x(static_cast<size_t>(n * quantizer.dimension()));
  quantizer.Decode({codes.data(), n, quantizer.codes()}, {x.data(), n, quantizer.dimension()});
  return x;
}

double ErrorOf(const VectorQuantizer& quantizer, const std::vector<float>& x) {
  return MeanSquaredError(x, Decode(quantizer, Encode(quantizer, x)), quantizer.dimension());
}

bool SameCodebooks(const CodebookQuantizer& a, const CodebookQuantizer& b) {
  if (a.codebooks().size() != b.codebooks().size()) return false;
  for (size_t m = 0; m < a.codebooks().size(); ++m) {
    if (a.codebooks()[m].words != b.codebooks()[m].words) return false;
  }
  return true;
}

// Points with decaying variances, mixed by neighbours: something for residuals to find.
std::vector<float> Signal(int64_t n, int64_t d, uint64_t seed) {
  std::vector<float> x = NormalPoints(n, d, seed);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 1; c < d; ++c)
      x[static_cast<size_t>(i * d + c)] =
          0.7f * x[static_cast<size_t>(i * d + c)] + 0.6f * x[static_cast<size_t>(i * d + c - 1)];
  }
  return x;
}

TEST(CodebookQuantizer, OneCodebookFindsTheNearestCodeword) {
  const std::vector<float> x = NormalPoints(1500, 5, 1);
  const MatrixSource source(Points(x, 5));
  const KMeans kmeans = KMeans::Train(source, 37);
  for (const int beam : {1, 4}) {
    CodebookOptions options;
    options.search.beam = beam;
    const auto quantizer = CodebookQuantizer::Train(source, {{0, 5, 37}}, options);
    std::vector<uint32_t> index(1500);
    kmeans.Assign(Points(x, 5), index.data());
    const std::vector<uint16_t> codes = Encode(quantizer, x);
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), index.begin()));
    EXPECT_EQ(quantizer.code_bits(), std::vector<int>{6});
  }
}

TEST(CodebookQuantizer, GroupsAndStagesOfOneAreResidualAndProduct) {
  const std::vector<float> x = Signal(2000, 10, 2);
  const MatrixSource source(Points(x, 10));
  const auto residual = ResidualQuantizer::Train(source, 3, 16);
  const auto one_group = GroupResidualQuantizer::Train(source, 1, 3, 16);
  EXPECT_TRUE(SameCodebooks(residual, one_group));
  EXPECT_EQ(Encode(residual, x), Encode(one_group, x));
  const auto product = ProductQuantizer::Train(source, 3, 16);
  const auto one_stage = GroupResidualQuantizer::Train(source, 3, 1, 16);
  EXPECT_TRUE(SameCodebooks(product, one_stage));
  EXPECT_EQ(Encode(product, x), Encode(one_stage, x));
  const auto masked = MaskedChannelQuantizer::Train(source, 3, 3, 16);
  EXPECT_EQ(Encode(product, x), Encode(masked, x));
  EXPECT_EQ(product.codebooks()[0].shape.width, 3);
  EXPECT_EQ(product.codebooks()[1].shape.width, 3);
  EXPECT_EQ(product.codebooks()[2].shape.width, 4);
}

TEST(CodebookQuantizer, MaskedChannelsAreAProductAndThenAResidual) {
  const std::vector<float> x = Signal(3000, 8, 3);
  const MatrixSource source(Points(x, 8));
  const auto quantizer = MaskedChannelQuantizer::Train(source, 2, 4, 16);
  const auto product = ProductQuantizer::Train(source, 2, 16);
  const std::vector<uint16_t> codes = Encode(quantizer, x), parts = Encode(product, x);
  std::vector<float> left = Decode(product, parts);
  for (size_t i = 0; i < x.size(); ++i) left[i] = x[i] - left[i];
  const auto rest = ResidualQuantizer::Train(MatrixSource(Points(left, 8)), 2, 16,
                                             {.kmeans = {.seed = KMeansOptions().seed + 2}});
  const std::vector<uint16_t> tail = Encode(rest, left);
  for (size_t p = 0; p < 3000; ++p) {
    ASSERT_TRUE(std::equal(&parts[2 * p], &parts[2 * p] + 2, &codes[4 * p]));
    ASSERT_EQ(tail[2 * p], codes[4 * p + 2]) << p;
  }
  // From there on x - (a + b) is not (x - a) - b to the last bit, and k-means may settle elsewhere.
  const std::vector<float> whole = Decode(quantizer, codes), second = Decode(rest, tail);
  double error = 0, two_steps = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - whole[i]) * (x[i] - whole[i]);
    two_steps += (left[i] - second[i]) * (left[i] - second[i]);
  }
  EXPECT_NEAR(error, two_steps, 0.02 * two_steps);
}

TEST(CodebookQuantizer, GroupsDoNotInfluenceOneAnother) {
  std::vector<float> x = Signal(500, 12, 4);
  CodebookOptions options;
  options.search.beam = 3;
  const auto quantizer = GroupResidualQuantizer::Train(MatrixSource(Points(x, 12)), 2, 2, 8, options);
  const std::vector<uint16_t> before = Encode(quantizer, x);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 12 < 6) x[i] += 0.5f;
  }
  const std::vector<uint16_t> after = Encode(quantizer, x);
  for (size_t i = 1; i < before.size(); i += 2) EXPECT_EQ(before[i], after[i]);  // codes (s, g = 2)
  EXPECT_NE(before, after);
}

TEST(CodebookQuantizer, AFullBeamFindsTheBestSum) {
  const std::vector<float> x = NormalPoints(200, 4, 5);
  for (const int64_t stages : {2, 3}) {
    CodebookOptions options;
    options.kmeans.points_per_centroid = 0;
    options.search.beam = 64;
    const auto quantizer = ResidualQuantizer::Train(MatrixSource(Points(x, 4)), stages, 4, options);
    const std::vector<float> decoded = Decode(quantizer, Encode(quantizer, x));
    int64_t sums = 1;
    for (int64_t s = 0; s < stages; ++s) sums *= 4;
    for (size_t p = 0; p < 200; ++p) {
      double best = std::numeric_limits<double>::infinity(), own = 0;
      for (int64_t sum = 0; sum < sums; ++sum) {
        double error = 0;
        for (size_t c = 0; c < 4; ++c) {
          double value = x[p * 4 + c];
          int64_t rest = sum;
          for (const Codebook& book : quantizer.codebooks()) {
            value -= book.words[static_cast<size_t>(rest % 4) * 4 + c];
            rest /= 4;
          }
          error += value * value;
        }
        best = std::min(best, error);
      }
      for (size_t c = 0; c < 4; ++c) own += std::pow(double{x[p * 4 + c]} - decoded[p * 4 + c], 2);
      ASSERT_NEAR(own, best, 1e-5);
    }
  }
}

TEST(CodebookQuantizer, DistortionFallsWithStagesAndWithTheBeam) {
  const std::vector<float> x = Signal(4000, 16, 6), fresh = Signal(1000, 16, 7);
  double before = std::numeric_limits<double>::infinity();
  std::vector<double> by_beam;
  for (const int beam : {1, 2, 8}) {
    CodebookOptions options;
    options.search.beam = beam;
    const auto quantizer = ResidualQuantizer::Train(MatrixSource(Points(x, 16)), 4, 32, options);
    by_beam.push_back(ErrorOf(quantizer, fresh));
    if (beam > 1) continue;
    const std::vector<uint16_t> codes = Encode(quantizer, x);
    for (int64_t count = 0; count <= 4; ++count) {
      std::vector<float> decoded(x.size());
      quantizer.DecodeFirst({codes.data(), 4000, count, 4}, {decoded.data(), 4000, 16});
      const double error = MeanSquaredError(x, decoded, 16);
      EXPECT_LT(error, before);
      before = error;
    }
    EXPECT_NEAR(Distortion(quantizer, MatrixSource(Points(x, 16))), before, 1e-6 * before);
  }
  EXPECT_LT(by_beam[1], by_beam[0]);
  EXPECT_LT(by_beam[2], by_beam[1]);
}

TEST(CodebookQuantizer, AKeptOriginNeverMakesAPointWorse) {
  const std::vector<float> x = Signal(1000, 6, 8);
  CodebookOptions options;
  options.kmeans.origin = KMeansOptions::Origin::kKept;
  const auto quantizer = ResidualQuantizer::Train(MatrixSource(Points(x, 6)), 4, 8, options);
  const std::vector<float> fresh = Signal(1000, 6, 9);
  const std::vector<uint16_t> codes = Encode(quantizer, fresh);
  std::vector<double> before(1000, std::numeric_limits<double>::infinity());
  for (int64_t count = 0; count <= 4; ++count) {
    std::vector<float> decoded(fresh.size());
    quantizer.DecodeFirst({codes.data(), 1000, count, 4}, {decoded.data(), 1000, 6});
    for (size_t p = 0; p < 1000; ++p) {
      double error = 0;
      for (size_t c = 0; c < 6; ++c) error += std::pow(double{fresh[p * 6 + c]} - decoded[p * 6 + c], 2);
      ASSERT_LE(error, before[p] + 1e-5);
      before[p] = error;
    }
  }
}

// Serves copies, as a file would.
class CopyingSource final : public PointSource {
 public:
  explicit CopyingSource(MatrixView<const float> points) : points_(points) {}
  int64_t count() const override { return points_.rows; }
  int64_t dimension() const override { return points_.cols; }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override {
    scratch.points.Reserve(static_cast<size_t>(rows * points_.cols));
    std::copy_n(points_.Row(first), rows * points_.cols, scratch.points.data());
    return {{scratch.points.data(), rows, points_.cols}, nullptr};
  }

 private:
  MatrixView<const float> points_;
};

TEST(CodebookQuantizer, StreamsFromAnySource) {
  const int64_t n = 70000, d = 16;  // more than one block of 65536
  const std::vector<float> x = Signal(n, d, 10);
  CodebookOptions options;
  options.kmeans = {.iterations = 3, .points_per_centroid = 0};
  const auto streamed = ResidualQuantizer::Train(CopyingSource(Points(x, d)), 2, 16, options);
  const auto held = ResidualQuantizer::Train(MatrixSource(Points(x, d)), 2, 16, options);
  EXPECT_TRUE(SameCodebooks(streamed, held));
  options.kmeans.batch = 5000;
  const auto batches = ResidualQuantizer::Train(CopyingSource(Points(x, d)), 2, 16, options);
  EXPECT_LT(ErrorOf(batches, x), 1.3 * ErrorOf(held, x));
}

TEST(VectorQuantizer, EqualSeedsGiveEqualBytesOnAnyNumberOfThreads) {
  const std::vector<float> x = Signal(3000, 12, 11);
  const MatrixSource source(Points(x, 12));
  std::vector<std::vector<uint16_t>> first;
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    CodebookOptions options;
    options.search.beam = 4;
    options.kmeans.iterations = 6;
    AdditiveOptions additive;
    additive.start.kmeans.iterations = 6;
    additive.rounds = 2;
    std::vector<std::unique_ptr<VectorQuantizer>> quantizers;
    quantizers.emplace_back(new auto(ProductQuantizer::Train(source, 5, 16, options, pool)));
    quantizers.emplace_back(new auto(GroupResidualQuantizer::Train(source, 2, 2, 16, options, pool)));
    quantizers.emplace_back(new auto(MaskedChannelQuantizer::Train(source, 3, 4, 16, options, pool)));
    quantizers.emplace_back(new auto(AdditiveQuantizer::Train(source, 3, 16, additive, pool)));
    quantizers.emplace_back(new auto(SignSplitQuantizer::Train(source, {{0, 12, 16}}, options, pool)));
    for (size_t q = 0; q < quantizers.size(); ++q) {
      std::vector<uint16_t> codes = Encode(*quantizers[q], x, pool);
      const std::vector<float> decoded = Decode(*quantizers[q], codes);
      for (const float v : decoded) {
        uint16_t halves[2];
        std::memcpy(halves, &v, 4);
        codes.insert(codes.end(), halves, halves + 2);
      }
      if (threads == 1) {
        first.push_back(std::move(codes));
      } else {
        EXPECT_EQ(codes, first[q]) << "quantizer " << q << ", " << threads << " threads";
      }
    }
  }
}

TEST(VectorQuantizer, CodesDependOnThePointAlone) {
  const std::vector<float> x = Signal(300, 6, 20);
  AdditiveOptions options;
  options.start.search = {.beam = 12, .sweeps = 3};  // wide enough for the same codes to be reached twice
  const auto quantizer = AdditiveQuantizer::Train(MatrixSource(Points(x, 6)), 3, 4, options);
  const std::vector<uint16_t> together = Encode(quantizer, x);
  for (size_t p = 0; p < 300; ++p) {
    const std::vector<uint16_t> alone = Encode(
        quantizer, {x.begin() + static_cast<int64_t>(6 * p), x.begin() + static_cast<int64_t>(6 * p + 6)});
    ASSERT_TRUE(std::equal(alone.begin(), alone.end(), &together[3 * p])) << p;
  }
}

TEST(AdditiveQuantizer, EveryRoundLowersTheDistortion) {
  const std::vector<float> x = Signal(3000, 8, 12), fresh = Signal(1000, 8, 13);
  std::vector<float> w = NormalPoints(3000, 1, 14);
  for (float& v : w) v *= v;
  AdditiveOptions options;
  options.start.kmeans.points_per_centroid = 0;
  options.tolerance = 0;
  options.rounds = 6;
  const auto quantizer = AdditiveQuantizer::Train(MatrixSource(Points(x, 8), w.data()), 3, 16, options);
  const std::vector<double>& d = quantizer.distortion();
  ASSERT_EQ(d.size(), 7u);
  for (size_t i = 1; i < d.size(); ++i) EXPECT_LE(d[i], d[i - 1] * (1 + 1e-6));
  const auto residual = ResidualQuantizer::Train(MatrixSource(Points(x, 8), w.data()), 3, 16, options.start);
  EXPECT_LT(d.back(), 0.97 * Distortion(residual, MatrixSource(Points(x, 8), w.data())));
  EXPECT_LT(ErrorOf(quantizer, fresh), ErrorOf(residual, fresh));
}

TEST(AdditiveQuantizer, SweepsNeverMakeAPointWorse) {
  const std::vector<float> x = Signal(800, 6, 15);
  const auto quantizer = AdditiveQuantizer::Train(MatrixSource(Points(x, 6)), 4, 8);
  for (const int beam : {1, 3}) {
    std::vector<uint16_t> codes(800 * 4);
    const MatrixView<uint16_t> view(codes.data(), 800, 4);
    SearchCodes(quantizer.codebooks(), {.beam = beam}, Points(x, 6), view, ThreadPool::Global());
    std::vector<float> before = Decode(quantizer, codes);
    for (int sweep = 0; sweep < 3; ++sweep) {
      SearchCodes(quantizer.codebooks(), {.beam = beam, .sweeps = 1}, Points(x, 6), view,
                  ThreadPool::Global(), StartCodes::kGiven);
      const std::vector<float> after = Decode(quantizer, codes);
      for (size_t p = 0; p < 800; ++p) {
        double old_error = 0, new_error = 0;
        for (size_t i = p * 6; i < p * 6 + 6; ++i) {
          old_error += std::pow(double{x[i]} - before[i], 2);
          new_error += std::pow(double{x[i]} - after[i], 2);
        }
        ASSERT_LE(new_error, old_error + 1e-5);
      }
      before = after;
    }
  }
}

TEST(SignSplitQuantizer, IsAQuantizerOfMagnitudes) {
  const std::vector<float> x = NormalPoints(4000, 8, 16);
  std::vector<float> magnitudes = x;
  for (float& v : magnitudes) v = std::abs(v);
  const auto quantizer = SignSplitQuantizer::Train(MatrixSource(Points(x, 8)), {{0, 8, 16}});
  const auto plain = CodebookQuantizer::Train(MatrixSource(Points(magnitudes, 8)), {{0, 8, 16}});
  EXPECT_TRUE(SameCodebooks(quantizer.magnitudes(), plain));
  EXPECT_NEAR(ErrorOf(quantizer, x), ErrorOf(plain, magnitudes), 1e-6);
  const std::vector<float> decoded = Decode(quantizer, Encode(quantizer, x));
  for (size_t i = 0; i < x.size(); ++i) {
    if (decoded[i] != 0) {
      ASSERT_EQ(std::signbit(decoded[i]), x[i] < 0);
    }
  }
  EXPECT_EQ(quantizer.bits_per_point(), 12);
  // 1.5 bits a channel on normal points: about 0.191 [ssvq].
  EXPECT_NEAR(ErrorOf(quantizer, x) / 8, 0.191, 0.01);
}

TEST(SignSplitQuantizer, LosesNothingWithACodewordForEveryPoint) {
  std::vector<float> x = NormalPoints(40, 20, 17);
  x[5] = 0.0f;
  const auto quantizer = SignSplitQuantizer::Train(MatrixSource(Points(x, 20)), {{0, 20, 40}});
  EXPECT_EQ(Decode(quantizer, Encode(quantizer, x)), x);
  EXPECT_EQ(quantizer.code_bits(), (std::vector<int>{6, 16, 4}));
}

// 2500 SIFT descriptors, every 31st of the file.
std::vector<float> Descriptors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> x;
  for (int64_t i = 0; i < 2500; ++i) {
    char record[4 + 128];
    file.seekg(i * 31 * 132);
    if (!file.read(record, sizeof record)) break;
    for (int c = 0; c < 128; ++c) x.push_back(static_cast<float>(static_cast<uint8_t>(record[4 + c])));
  }
  return x;
}

TEST(VectorQuantizer, RanksAsExpectedOnRealDescriptorsAtEqualBits) {
  const char* data = std::getenv("LOWBIT_DATA");
  if (data == nullptr) GTEST_SKIP() << "LOWBIT_DATA is not set";
  const std::string path = std::string(data) + "/vectors/sift_base.bvecs";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const std::vector<float> x = Descriptors(path);
  ASSERT_EQ(x.size(), 2500u * 128);
  const MatrixSource source(Points(x, 128));
  CodebookOptions options;  // 48 bits each, trained on all points
  options.kmeans = {.iterations = 10, .points_per_centroid = 0};
  CodebookOptions beam = options;
  beam.search.beam = 4;
  AdditiveOptions additive;
  additive.start = beam;
  additive.start.search.sweeps = 1;
  additive.rounds = 3;
  double energy = 0;
  const KMeans mean = KMeans::Train(source, 1, options.kmeans);
  energy = mean.report().distortion.back();
  const double product = Distortion(ProductQuantizer::Train(source, 8, 64, options), source);
  const double groups = Distortion(GroupResidualQuantizer::Train(source, 4, 2, 64, options), source);
  const double residual = Distortion(ResidualQuantizer::Train(source, 8, 64, options), source);
  const double searched = Distortion(ResidualQuantizer::Train(source, 8, 64, beam), source);
  const double added = Distortion(AdditiveQuantizer::Train(source, 8, 64, additive), source);
  RecordProperty("product", std::to_string(product / energy));
  RecordProperty("residual", std::to_string(residual / energy));
  RecordProperty("additive", std::to_string(added / energy));
  EXPECT_LT(product, 0.5 * energy);
  EXPECT_LT(searched, residual);  // the same codebooks
  EXPECT_LT(added, searched);
  EXPECT_LT(added, product);
  EXPECT_LT(added, groups);
}

TEST(VectorQuantizer, CountsEveryBit) {
  const std::vector<float> x = NormalPoints(512, 8, 18);
  const MatrixSource source(Points(x, 8));
  const auto vq = CodebookQuantizer::Train(source, {{0, 8, 256}}, {.kmeans = {.iterations = 1}});
  EXPECT_EQ(vq.bits_per_point(), 8);
  EXPECT_EQ(vq.table_values(), 256 * 8);
  EXPECT_NEAR(vq.bits_per_value(4096 * 4096 / 8), 1.00195, 1e-5);  // the example of [vptq]
  const auto odd = ResidualQuantizer::Train(source, 2, 5, {.kmeans = {.iterations = 1}});
  EXPECT_EQ(odd.bits_per_point(), 6);
  EXPECT_EQ(BitsToName(1), 0);
  EXPECT_EQ(BitsToName(2), 1);
  EXPECT_EQ(BitsToName(65536), 16);
}

TEST(VectorQuantizer, RefusesWhatDoesNotFit) {
  const std::vector<float> x = NormalPoints(30, 4, 19);
  const MatrixSource source(Points(x, 4));
  EXPECT_THROW(ProductQuantizer::Train(source, 5, 4), Error);
  EXPECT_THROW(ProductQuantizer::Train(source, 2, 31), Error);
  EXPECT_THROW(MaskedChannelQuantizer::Train(source, 3, 2, 4), Error);
  EXPECT_THROW(CodebookQuantizer::Train(source, {{2, 3, 4}}), Error);
  EXPECT_THROW(CodebookQuantizer::Train(source, {}), Error);
  EXPECT_THROW(ResidualQuantizer::Train(source, 2, 4, {.search = {.beam = 0}}), Error);
  EXPECT_THROW(AdditiveQuantizer::Train(source, 200, 64), Error);
  const auto quantizer = ProductQuantizer::Train(source, 2, 4);
  std::vector<uint16_t> codes(60);
  EXPECT_THROW(quantizer.Encode(Points(x, 5), {codes.data(), 24, 2}), Error);
  EXPECT_THROW(quantizer.Encode(Points(x, 4), {codes.data(), 20, 3}), Error);
  EXPECT_THROW(quantizer.Encode(Points(x, 4), {codes.data(), 29, 2}), Error);
}

}  // namespace
}  // namespace lowbit
