#include "lowbit/quantize/codebook_quantizer.h"

#include <algorithm>
#include <optional>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void CheckShape(const CodebookShape& shape, int64_t dimension) {
  if (shape.width < 1 || shape.first < 0 || shape.first + shape.width > dimension)
    Fail("a codebook over channels {} to {} of points with {} channels", shape.first,
         shape.first + shape.width - 1, dimension);
  if (shape.size < 1 || shape.size > 65536)
    Fail("a codebook of {} codewords: 1 to 65536 are possible", shape.size);
}

void CheckSearch(const CodeSearch& search) {
  if (search.beam < 1 || search.sweeps < 0)
    Fail("a code search with a beam of {} and {} sweeps: at least 1 and 0 are needed", search.beam,
         search.sweeps);
}

CodebookShape Slice(int64_t dimension, int64_t part, int64_t parts, int64_t codewords) {
  const int64_t first = part * dimension / parts;
  return {first, (part + 1) * dimension / parts - first, codewords};
}

}  // namespace

CodebookQuantizer CodebookQuantizer::Train(const PointSource& source,
                                           const std::vector<CodebookShape>& shapes,
                                           const CodebookOptions& options, ThreadPool& pool) {
  if (shapes.empty()) Fail("a quantizer without codebooks");
  int64_t largest = 0;
  for (const CodebookShape& shape : shapes) {
    CheckShape(shape, source.dimension());
    largest = std::max(largest, shape.size);
  }
  // In memory, unless everything is to be streamed.
  const bool streamed = options.kmeans.points_per_centroid == 0;
  std::optional<PointSample> sample;
  std::optional<MatrixSource> sampled;
  if (!streamed && options.kmeans.points_per_centroid * largest < source.count()) {
    sample.emplace(source, options.kmeans.points_per_centroid * largest, options.kmeans.seed);
    sampled.emplace(sample->source());
  }
  const PointSource& points = sampled ? *sampled : source;

  CheckSearch(options.search);
  CodebookQuantizer result(source.dimension(), {}, CodeSearch());
  for (size_t m = 0; m < shapes.size(); ++m) {
    const CodebookShape& shape = shapes[m];
    KMeansOptions own = options.kmeans;
    own.seed += m;
    const auto overlaps = [&](const Codebook& book) {
      return book.shape.first < shape.first + shape.width &&
             shape.first < book.shape.first + book.shape.width;
    };
    const bool untouched = std::none_of(result.codebooks_.begin(), result.codebooks_.end(), overlaps);
    const ResidualSource residual(points, result, pool);
    const ChannelSource slice(untouched ? points : residual, shape.first, shape.width);
    std::optional<PointSample>
        held;  // k-means reads its points many times: residuals are dear, slices far apart
    std::optional<MatrixSource> held_source;
    if (!streamed && (!untouched || shape.width < source.dimension()))
      held_source.emplace(held.emplace(slice, 0, 0).source());
    const KMeans kmeans = KMeans::Train(held_source ? static_cast<const PointSource&>(*held_source) : slice,
                                        shape.size, own, pool);
    const float* words = kmeans.centroids().data;
    result.codebooks_.emplace_back(shape, std::vector<float>(words, words + shape.size * shape.width));
    result.code_bits_.push_back(BitsToName(shape.size));
  }
  result.search_ = options.search;
  return result;
}

CodebookQuantizer::CodebookQuantizer(int64_t dimension, std::vector<Codebook> codebooks,
                                     const CodeSearch& search)
    : dimension_(dimension), codebooks_(std::move(codebooks)), search_(search) {
  CheckSearch(search);
  for (const Codebook& book : codebooks_) {
    CheckShape(book.shape, dimension);
    code_bits_.push_back(BitsToName(book.shape.size));
  }
}

int64_t CodebookQuantizer::table_values() const {
  int64_t values = 0;
  for (const Codebook& book : codebooks_) values += book.shape.size * book.shape.width;
  return values;
}

void CodebookQuantizer::Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
                               ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  SearchCodes(codebooks_, search_, points, codes, pool);
}

void CodebookQuantizer::Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
                               ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, codes.cols);
  SumCodewords(codebooks_, codes, points, pool);
}

void CodebookQuantizer::DecodeFirst(MatrixView<const uint16_t> codes, MatrixView<float> points,
                                    ThreadPool& pool) const {
  CheckShapes(points.rows, points.cols, codes.rows, this->codes());
  if (codes.cols < 0 || codes.cols > this->codes())
    Fail("{} codes a point for a quantizer with {}", codes.cols, this->codes());
  SumCodewords({codebooks_.data(), static_cast<size_t>(codes.cols)}, codes, points, pool);
}

PointBlock ResidualSource::Read(int64_t first, int64_t rows, PointScratch& scratch) const {
  const PointBlock block = whole_.Read(first, rows, inner_);
  Buffer<uint16_t> codes(static_cast<size_t>(rows * quantizer_.codes()));
  scratch.points.Reserve(static_cast<size_t>(rows * dimension()));
  const MatrixView<float> left(scratch.points.data(), rows, dimension());
  quantizer_.Encode(block.points, {codes.data(), rows, quantizer_.codes()}, pool_);
  quantizer_.Decode({codes.data(), rows, quantizer_.codes()}, left, pool_);
  for (int64_t p = 0; p < rows; ++p) {
    for (int64_t c = 0; c < left.cols; ++c) left(p, c) = block.points(p, c) - left(p, c);
  }
  return {left, block.weights};
}

std::vector<CodebookShape> GroupResidualQuantizer::Shapes(int64_t dimension, int64_t groups, int64_t stages,
                                                          int64_t codewords) {
  if (groups < 1 || groups > dimension || stages < 1)
    Fail(
        "{} groups with {} codebooks each over {} channels: at least one of each, and a channel for each "
        "group",
        groups, stages, dimension);
  std::vector<CodebookShape> shapes;
  for (int64_t s = 0; s < stages; ++s) {
    for (int64_t g = 0; g < groups; ++g) shapes.push_back(Slice(dimension, g, groups, codewords));
  }
  return shapes;
}

std::vector<CodebookShape> ProductQuantizer::Shapes(int64_t dimension, int64_t parts, int64_t codewords) {
  return GroupResidualQuantizer::Shapes(dimension, parts, 1, codewords);
}

std::vector<CodebookShape> ResidualQuantizer::Shapes(int64_t dimension, int64_t stages, int64_t codewords) {
  return GroupResidualQuantizer::Shapes(dimension, 1, stages, codewords);
}

std::vector<CodebookShape> MaskedChannelQuantizer::Shapes(int64_t dimension, int64_t bands, int64_t codebooks,
                                                          int64_t codewords) {
  if (codebooks < bands) Fail("{} codebooks for {} bands: every band needs its own", codebooks, bands);
  std::vector<CodebookShape> shapes = ProductQuantizer::Shapes(dimension, bands, codewords);
  shapes.resize(static_cast<size_t>(codebooks), {0, dimension, codewords});
  return shapes;
}

ProductQuantizer ProductQuantizer::Train(const PointSource& source, int64_t parts, int64_t codewords,
                                         const CodebookOptions& options, ThreadPool& pool) {
  return ProductQuantizer(
      CodebookQuantizer::Train(source, Shapes(source.dimension(), parts, codewords), options, pool));
}

ResidualQuantizer ResidualQuantizer::Train(const PointSource& source, int64_t stages, int64_t codewords,
                                           const CodebookOptions& options, ThreadPool& pool) {
  return ResidualQuantizer(
      CodebookQuantizer::Train(source, Shapes(source.dimension(), stages, codewords), options, pool));
}

GroupResidualQuantizer GroupResidualQuantizer::Train(const PointSource& source, int64_t groups,
                                                     int64_t stages, int64_t codewords,
                                                     const CodebookOptions& options, ThreadPool& pool) {
  return GroupResidualQuantizer(
      CodebookQuantizer::Train(source, Shapes(source.dimension(), groups, stages, codewords), options, pool));
}

MaskedChannelQuantizer MaskedChannelQuantizer::Train(const PointSource& source, int64_t bands,
                                                     int64_t codebooks, int64_t codewords,
                                                     const CodebookOptions& options, ThreadPool& pool) {
  return MaskedChannelQuantizer(CodebookQuantizer::Train(
      source, Shapes(source.dimension(), bands, codebooks, codewords), options, pool));
}

}  // namespace lowbit
