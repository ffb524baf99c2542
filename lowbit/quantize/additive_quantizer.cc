#include "lowbit/quantize/additive_quantizer.h"

#include <algorithm>
#include <optional>

#include "lowbit/base/blas.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"

namespace lowbit {
namespace {

// The normal equations of all codewords: row m K + b stands for codeword b of codebook m.
class NormalEquations {
 public:
  NormalEquations(int64_t codebooks, int64_t codewords, int64_t dimension)
      : codebooks_(codebooks),
        codewords_(codewords),
        unknowns_(codebooks * codewords),
        dimension_(dimension),
        gram_(static_cast<size_t>(unknowns_ * unknowns_)),
        right_(static_cast<size_t>(unknowns_ * dimension)) {
    std::fill(gram_.begin(), gram_.end(), 0.0);
    std::fill(right_.begin(), right_.end(), 0.0);
  }

  // Each task adds to the rows of one codebook alone.
  void Add(const PointBlock& block, MatrixView<const uint16_t> codes, ThreadPool& pool) {
    pool.Run(codebooks_, [&](int64_t m, int) {
      for (int64_t p = 0; p < block.points.rows; ++p) {
        const double w = block.weights == nullptr ? 1.0 : block.weights[p];
        const int64_t row = m * codewords_ + codes(p, m);
        for (int64_t l = 0; l <= m; ++l)
          gram_[static_cast<size_t>(row * unknowns_ + l * codewords_ + codes(p, l))] += w;
        double* to = right_.data() + row * dimension_;
        for (int64_t c = 0; c < dimension_; ++c) to[c] += w * block.points(p, c);
      }
    });
  }

  std::vector<Codebook> Solve(const std::vector<Codebook>& before, ThreadPool& pool) {
    double trace = 0;
    for (int64_t i = 0; i < unknowns_; ++i) trace += gram_[static_cast<size_t>(i * (unknowns_ + 1))];
    const double pull = 1e-4 * trace / static_cast<double>(unknowns_);
    for (int64_t i = 0; i < unknowns_; ++i) gram_[static_cast<size_t>(i * (unknowns_ + 1))] += pull;
    for (int64_t m = 0; m < codebooks_; ++m) {
      const std::vector<float>& words = before[static_cast<size_t>(m)].words;
      double* to = right_.data() + m * codewords_ * dimension_;
      for (size_t i = 0; i < words.size(); ++i) to[i] += pull * words[i];
    }
    const MatrixView<double> gram(gram_.data(), unknowns_, unknowns_);
    if (Cholesky(gram, pool)) Fail("the normal equations of an additive quantizer are not positive definite");
    Buffer<double> inverse(gram_.size()), middle(right_.size());
    const MatrixView<double> l_inverse(inverse.data(), unknowns_, unknowns_);
    const MatrixView<double> right(right_.data(), unknowns_, dimension_),
        y(middle.data(), unknowns_, dimension_);
    InvertLower<double>(gram, l_inverse, pool);
    Gemm<double>(Transpose::kNo, Transpose::kNo, 1.0, l_inverse, right, 0.0, y, pool);
    Gemm<double>(Transpose::kYes, Transpose::kNo, 1.0, l_inverse, y, 0.0, right, pool);
    std::vector<Codebook> after;
    for (int64_t m = 0; m < codebooks_; ++m) {
      const double* from = right_.data() + m * codewords_ * dimension_;
      after.emplace_back(before[static_cast<size_t>(m)].shape,
                         std::vector<float>(from, from + codewords_ * dimension_));
    }
    return after;
  }

 private:
  int64_t codebooks_, codewords_, unknowns_, dimension_;
  Buffer<double> gram_, right_;  // lower triangle (M K, M K); (M K, d)
};

double WeightedError(const PointBlock& block, MatrixView<const float> decoded) {
  double error = 0;
  for (int64_t p = 0; p < decoded.rows; ++p) {
    double own = 0;
    for (int64_t c = 0; c < decoded.cols; ++c) {
      const double difference = double{block.points(p, c)} - decoded(p, c);
      own += difference * difference;
    }
    error += (block.weights == nullptr ? 1.0 : block.weights[p]) * own;
  }
  return error;
}

}  // namespace

AdditiveQuantizer AdditiveQuantizer::Train(const PointSource& source, int64_t codebooks, int64_t codewords,
                                           const AdditiveOptions& options, ThreadPool& pool) {
  constexpr int64_t kUnknowns = 8192;
  if (codebooks * codewords > kUnknowns)
    Fail(
        "an additive quantizer with {} codebooks of {} codewords: at most {} codewords in all can be fitted "
        "together",
        codebooks, codewords, kUnknowns);
  const KMeansOptions& kmeans = options.start.kmeans;
  std::optional<PointSample> sample;
  std::optional<MatrixSource> sampled;
  if (kmeans.points_per_centroid != 0 && kmeans.points_per_centroid * codewords < source.count()) {
    sample.emplace(source, kmeans.points_per_centroid * codewords, kmeans.seed);
    sampled.emplace(sample->source());
  }
  const PointSource& points = sampled ? *sampled : source;
  const int64_t d = source.dimension();
  const CodeSearch& search = options.start.search;

  CodebookQuantizer start = CodebookQuantizer::Train(
      points, ResidualQuantizer::Shapes(d, codebooks, codewords), options.start, pool);
  std::vector<Codebook> books = start.codebooks();
  std::vector<double> distortion;
  Buffer<uint16_t> codes(static_cast<size_t>(points.count() * codebooks));
  Buffer<float> decoded;
  for (int64_t round = 0; round <= options.rounds; ++round) {
    CheckInterrupt();
    NormalEquations equations(codebooks, codewords, d);
    double error = 0, weight = 0;
    ForEachBlock(points, 0, points.count(), [&](const PointBlock& block, int64_t first) {
      const int64_t n = block.points.rows;
      const MatrixView<uint16_t> own(codes.data() + first * codebooks, n, codebooks);
      SearchCodes(books, search, block.points, own, pool,
                  round == 0 ? StartCodes::kNone : StartCodes::kGiven);
      decoded.Reserve(static_cast<size_t>(n * d));
      SumCodewords(books, own, {decoded.data(), n, d}, pool);
      error += WeightedError(block, {decoded.data(), n, d});
      for (int64_t p = 0; p < n; ++p) weight += block.weights == nullptr ? 1.0 : block.weights[p];
      equations.Add(block, own, pool);
    });
    distortion.push_back(error / weight);
    const size_t last = distortion.size() - 1;
    if (round == options.rounds || distortion[last] == 0 ||
        (last > 0 && distortion[last - 1] - distortion[last] < options.tolerance * distortion[last - 1]))
      break;
    books = equations.Solve(books, pool);
  }
  return AdditiveQuantizer(CodebookQuantizer(d, std::move(books), search), std::move(distortion));
}

}  // namespace lowbit
