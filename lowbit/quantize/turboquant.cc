#include "lowbit/quantize/turboquant.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/kernel/code_rows.h"
#include "lowbit/kernel/code_scores.h"
#include "lowbit/kernel/column_split.h"
#include "lowbit/kernel/ordered_product.h"

namespace lowbit {
namespace {

constexpr int64_t kBatchRows = 16;  // vectors that share a reading of the sketch
constexpr double kHalfPi = 1.57079632679489661923;
// A part of a vector rotates and sketches with a seed of its own.
constexpr uint64_t kResidualSeed = 0x9e3779b97f4a7c15u, kFineSeed = 0xc2b2ae3d27d4eb4fu;

// Options of a part: the whole keeps the bias.
VectorCodeOptions OfPart(VectorCodeOptions options, uint64_t salt = 0) {
  options.rotation.seed ^= salt;
  options.bias = false;
  return options;
}

// constant + multiplier gamma sqrt(pi/2) / rows <S q, z>, and gamma^2 where the code's norm is gamma.
class SketchBatch : public VectorCode::Batch {
 public:
  // rows: S q, padded to whole blocks.
  SketchBatch(const SignSketch& sketch, MatrixView<const float> rows, std::vector<float> constant,
              float multiplier, bool gamma_squared, int64_t stride)
      : gamma_at_(sketch.bytes()),
        stride_(stride),
        gamma_squared_(gamma_squared),
        queries_(sketch.grid(), rows, multiplier * static_cast<float>(sketch.factor()), std::move(constant)) {
  }

  void Scores(const uint8_t* codes, int64_t n, float* scores) const override {
    std::vector<float> scale(static_cast<size_t>(n)), bias(scale.size());
    LoadFactors(codes + gamma_at_, stride_, n, 1, false, scale.data());
    if (gamma_squared_) LoadFactors(codes + gamma_at_, stride_, n, 1, true, bias.data());
    queries_.Scores(codes, stride_, n, scale.data(), bias.data(), scores);
  }

 private:
  int64_t gamma_at_, stride_;
  bool gamma_squared_;
  GridQueries queries_;
};

// Of codes whose bytes are parts side by side: the sums of the parts' scores, less the biases of the whole.
class SumOfParts : public VectorCode::Batch {
 public:
  struct Part {
    std::unique_ptr<VectorCode::Batch> batch;
    int64_t begin;  // in a code
  };
  SumOfParts(const VectorCode& code, const ProjectedQueries& queries, ScoreKind kind, std::vector<Part> parts)
      : code_(code), count_(queries.rows.rows), parts_(std::move(parts)) {
    if (queries.weight != nullptr && kind == ScoreKind::kNegativeProduct)
      weight_.assign(queries.weight, queries.weight + count_);
  }

  void Scores(const uint8_t* codes, int64_t n, float* scores) const override {
    parts_[0].batch->Scores(codes + parts_[0].begin, n, scores);
    std::vector<float> more(parts_.size() > 1 ? static_cast<size_t>(count_ * n) : 0);
    for (size_t p = 1; p < parts_.size(); ++p) {
      parts_[p].batch->Scores(codes + parts_[p].begin, n, more.data());
      for (size_t i = 0; i < more.size(); ++i) scores[i] += more[i];
    }
    if (weight_.empty()) return;
    std::vector<float> biases(static_cast<size_t>(n));
    code_.LoadBiases(codes, n, biases.data());
    for (const float weight : weight_) {
      for (const float bias : biases) *scores++ -= weight * bias;
    }
  }

 private:
  const VectorCode& code_;
  int64_t count_;
  std::vector<Part> parts_;
  std::vector<float> weight_;
};

// A code that is a sketch of the whole vector; queries are projected to S q and q itself.
std::unique_ptr<VectorCode::Batch> SketchAlone(const VectorCode& code, const SignSketch& sketch,
                                               const ProjectedQueries& queries, ScoreKind kind,
                                               int64_t stride) {
  const int64_t width = sketch.width();
  std::vector<SumOfParts::Part> parts;
  parts.push_back({std::make_unique<SketchBatch>(sketch, queries.rows.Block(0, 0, queries.rows.rows, width),
                                                 ConstantsOf(queries, kind, width), FactorOfProduct(kind),
                                                 kind == ScoreKind::kSquaredDistance, stride),
                   0});
  return std::make_unique<SumOfParts>(code, queries, kind, std::move(parts));
}

void ProjectWithSketch(const SignSketch& sketch, const float* q, int64_t dim, float* projected) {
  sketch.Project(q, projected);
  std::copy(q, q + dim, projected + sketch.width());
}

}  // namespace

std::string_view SuffixOf(Estimator estimator) {
  switch (estimator) {
    case Estimator::kMse:
      return "";
    case Estimator::kDebiased:
      return "debiased";
    case Estimator::kRescaled:
      return "rescaled";
    case Estimator::kProd:
      return "prod";
  }
  return "";
}

std::unique_ptr<VectorCode> MakeTurboQuant(std::string name, int64_t dim, int bits, Estimator estimator,
                                           const VectorCodeOptions& options) {
  if (estimator == Estimator::kProd) return std::make_unique<ProdCode>(std::move(name), dim, bits, options);
  const Scaling scaling = estimator == Estimator::kMse        ? Scaling::kNorm
                          : estimator == Estimator::kDebiased ? Scaling::kDebiased
                                                              : Scaling::kUnbiased;
  const int64_t width = (dim + kCodeBlock - 1) / kCodeBlock * kCodeBlock;  // what is rotated
  return std::make_unique<GridCode>(std::move(name), dim, LloydMaxGrid(width, bits), Rounding::kNearest,
                                    scaling, options);
}

SignSketch::SignSketch(int64_t dim, int64_t rows, uint64_t seed)
    : dim_(dim),
      rows_(rows),
      blocks_((rows + kCodeBlock - 1) / kCodeBlock),
      matrix_(GaussianSketch(rows, dim, seed)),
      transposed_(matrix_.size()) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < dim; ++j)
      transposed_[static_cast<size_t>(j * rows + i)] = matrix_[static_cast<size_t>(i * dim + j)];
  }
  grid_.alphabet.bits = 1;
  grid_.alphabet.table[0] = 0, grid_.alphabet.table[1] = 2;
  grid_.middle = 1;
}

double SignSketch::factor() const {
  return std::sqrt(kHalfPi) / static_cast<double>(rows_);
}

void SignSketch::Project(const float* q, float* projected) const {
  OrderedProduct({transposed_.data(), dim_, rows_}, {q, 1, dim_}, {projected, 1, rows_});
  std::fill(projected + rows_, projected + width(), 0.0f);
}

void SignSketch::Encode(MatrixView<const float> r, uint8_t* packed, int64_t stride) const {
  // Places without a row of the sketch get code 0.
  std::vector<float> projected(static_cast<size_t>(r.rows * width()), -1.0f);
  OrderedProduct({transposed_.data(), dim_, rows_}, r, {projected.data(), r.rows, rows_, width()});
  constexpr float kZero = 0;
  for (int64_t i = 0; i < r.rows; ++i)
    RankAndPack(projected.data() + i * width(), blocks_, 1, &kZero, 1, packed + i * stride);
}

void SignSketch::Decode(const uint8_t* packed, int64_t stride, int64_t n, float* x) const {
  std::vector<float> z(static_cast<size_t>(n * width()));
  for (int64_t i = 0; i < n; ++i) DecodeGrid(grid_, packed + i * stride, blocks_, z.data() + i * width());
  OrderedProduct({matrix_.data(), rows_, dim_}, {z.data(), n, rows_, width()}, {x, n, dim_});
  for (int64_t j = 0; j < n * dim_; ++j) x[j] *= static_cast<float>(factor());
}

SketchCode::SketchCode(int64_t dim, int64_t rows, const VectorCodeOptions& options)
    : VectorCode("qjl", dim, options.bias), sketch_(dim, rows, options.rotation.seed) {}

void SketchCode::EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  for (int64_t begin = 0; begin < x.rows; begin += kBatchRows, codes += kBatchRows * bytes()) {
    const int64_t rows = std::min(kBatchRows, x.rows - begin);
    sketch_.Encode(x.Block(begin, 0, rows, dim()), codes, bytes());
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = first + begin + i;
      StoreFactor(CheckedNorm(x.Row(begin + i), dim(), row), "norm", row,
                  codes + i * bytes() + sketch_.bytes());
    }
  }
}

void SketchCode::Decode(const uint8_t* codes, int64_t n, float* x) const {
  sketch_.Decode(codes, bytes(), n, x);
  for (int64_t i = 0; i < n; ++i, codes += bytes(), x += dim()) {
    const float norm = LoadFactor(codes + sketch_.bytes());
    for (int64_t j = 0; j < dim(); ++j) x[j] *= norm;
  }
}

void SketchCode::Project(const float* q, float* projected) const {
  ProjectWithSketch(sketch_, q, dim(), projected);
}

std::unique_ptr<VectorCode::Batch> SketchCode::PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                                            int64_t stride) const {
  return SketchAlone(*this, sketch_, queries, kind, stride);
}

ProdCode::ProdCode(std::string name, int64_t dim, int bits, const VectorCodeOptions& options)
    : VectorCode(std::move(name), dim, options.bias),
      sketch_(dim, dim, options.rotation.seed ^ kResidualSeed) {
  if (bits == 1) return;
  const int64_t width = (dim + kCodeBlock - 1) / kCodeBlock * kCodeBlock;
  mse_ = std::make_unique<GridCode>(this->name(), dim, LloydMaxGrid(width, bits - 1), Rounding::kNearest,
                                    Scaling::kNorm, OfPart(options));
}

// Codes, norm (with more than one bit; with one, gamma is the norm), signs, gamma.
int64_t ProdCode::own_bytes() const {
  return mse_bytes() + sketch_.bytes() + kFactorBytes;
}

void ProdCode::EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  const int64_t most = std::min(kBatchRows, x.rows);
  std::vector<float> residual(static_cast<size_t>(most * dim()));
  std::vector<uint8_t> coarse(static_cast<size_t>(most * mse_bytes()));
  for (int64_t begin = 0; begin < x.rows; begin += kBatchRows) {
    const MatrixView<const float> part = x.Block(begin, 0, std::min(kBatchRows, x.rows - begin), dim());
    uint8_t* to = codes + begin * bytes();
    std::fill(residual.begin(), residual.end(), 0.0f);
    if (mse_) {
      mse_->EncodeRows(part, first + begin, coarse.data());
      mse_->Decode(coarse.data(), part.rows, residual.data());
    }
    for (int64_t i = 0; i < part.rows; ++i) {
      float* own = residual.data() + i * dim();
      for (int64_t j = 0; j < dim(); ++j) own[j] = part(i, j) - own[j];
      std::copy_n(coarse.data() + i * mse_bytes(), mse_bytes(), to + i * bytes());
      StoreFactor(CheckedNorm(own, dim(), first + begin + i), "residual norm", first + begin + i,
                  to + i * bytes() + mse_bytes() + sketch_.bytes());
    }
    sketch_.Encode({residual.data(), part.rows, dim()}, to + mse_bytes(), bytes());
  }
}

void ProdCode::Decode(const uint8_t* codes, int64_t n, float* x) const {
  std::vector<float> coarse(static_cast<size_t>(dim()));
  for (int64_t i = 0; i < n; ++i, codes += bytes(), x += dim()) {
    if (mse_) mse_->Decode(codes, 1, coarse.data());
    sketch_.Decode(codes + mse_bytes(), bytes(), 1, x);
    const float gamma = LoadFactor(codes + mse_bytes() + sketch_.bytes());
    for (int64_t j = 0; j < dim(); ++j) x[j] = x[j] * gamma + coarse[static_cast<size_t>(j)];
  }
}

int64_t ProdCode::projected_dim() const {
  return sketch_.width() + (mse_ ? mse_->projected_dim() : dim());
}

void ProdCode::Project(const float* q, float* projected) const {
  if (!mse_) return ProjectWithSketch(sketch_, q, dim(), projected);
  mse_->Project(q, projected);
  sketch_.Project(q, projected + mse_->projected_dim());
}

std::unique_ptr<VectorCode::Batch> ProdCode::PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                                          int64_t stride) const {
  if (!mse_) return SketchAlone(*this, sketch_, queries, kind, stride);
  const int64_t count = queries.rows.rows, width = mse_->projected_dim();
  std::vector<SumOfParts::Part> parts;
  parts.push_back(
      {mse_->PrepareBatch({queries.rows.Block(0, 0, count, width), queries.constant}, kind, stride), 0});
  parts.push_back({std::make_unique<SketchBatch>(
                       sketch_, queries.rows.Block(0, width, count, sketch_.width()),
                       std::vector<float>(static_cast<size_t>(count)), FactorOfProduct(kind), false, stride),
                   mse_bytes()});
  return std::make_unique<SumOfParts>(*this, queries, kind, std::move(parts));
}

OutlierSplitCode::OutlierSplitCode(std::string name, int64_t dim, int bits, Estimator estimator,
                                   const VectorCodeOptions& options)
    : VectorCode(std::move(name), dim, options.bias) {
  if (dim < 4) Fail("{}: an outlier split of {} dimensions; at least 4 are needed", this->name(), dim);
  fine_ = MakeTurboQuant(this->name(), dim / 4, bits + 1, estimator, OfPart(options, kFineSeed));
  coarse_ = MakeTurboQuant(this->name(), dim - dim / 4, bits, estimator, OfPart(options));
}

void OutlierSplitCode::Train(MatrixView<const float> x, ThreadPool& pool) {
  VectorCode::Train(x, pool);
  if (x.rows == 0) Fail("{}: choosing its dimensions needs training vectors", name());
  std::vector<double> square(static_cast<size_t>(dim()));
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < dim(); ++j) square[static_cast<size_t>(j)] += double{x(i, j)} * x(i, j);
  }
  std::vector<float> order(square.size());
  std::iota(order.begin(), order.end(), 0.0f);
  std::stable_sort(order.begin(), order.end(), [&](float a, float b) {
    return square[static_cast<size_t>(a)] > square[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(dim() / 4));
  std::sort(order.begin(), order.end());
  SetParameters(order);
}

std::vector<float> OutlierSplitCode::Parameters() const {
  return {fine_dims_.begin(), fine_dims_.end()};
}

void OutlierSplitCode::SetParameters(std::span<const float> parameters) {
  std::vector<int64_t> fine, coarse;
  for (const float p : parameters) {
    if (!(p >= 0 && p < static_cast<float>(dim())) || p != std::floor(p) ||
        (!fine.empty() && static_cast<int64_t>(p) <= fine.back())) {
      Fail("{}: {} is no ascending list of dimensions below {}", name(), p, dim());
    }
    fine.push_back(static_cast<int64_t>(p));
  }
  if (static_cast<int64_t>(fine.size()) != fine_->dim())
    Fail("{}: {} fine dimensions, {} are needed", name(), fine.size(), fine_->dim());
  for (int64_t j = 0; j < dim(); ++j) {
    if (!std::binary_search(fine.begin(), fine.end(), j)) coarse.push_back(j);
  }
  fine_mask_.assign(static_cast<size_t>((dim() + 7) / 8), 0);
  for (const int64_t j : fine) fine_mask_[static_cast<size_t>(j / 8)] |= static_cast<uint8_t>(1 << (j % 8));
  fine_dims_ = std::move(fine);
  coarse_dims_ = std::move(coarse);
}

void OutlierSplitCode::RequireDims() const {
  if (fine_dims_.empty()) Fail("{}: needs Train before it can encode or search", name());
}

std::pair<std::vector<float>, std::vector<float>> OutlierSplitCode::Split(const float* x) const {
  RequireDims();
  std::pair<std::vector<float>, std::vector<float>> parts;
  parts.first.resize(fine_dims_.size() + kSplitSlack);
  parts.second.resize(coarse_dims_.size() + kSplitSlack);
  SplitColumns({x, 1, dim()}, fine_mask_.data(), parts.first.data(), parts.second.data());
  return parts;
}

// Parts are encoded by themselves, several rows at a time, and their codes then laid side by side.
void OutlierSplitCode::EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  RequireDims();
  constexpr int64_t kRows = 16;  // few, so that reading and computing take turns often
  const int64_t stride = bytes(), most = std::min(kRows, x.rows);
  const auto room = [&](const VectorCode& code) {
    return std::vector<float>(static_cast<size_t>(most * code.dim() + kSplitSlack));
  };
  std::vector<float> fine = room(*fine_), coarse = room(*coarse_);
  std::vector<uint8_t> of(static_cast<size_t>(most * std::max(fine_->bytes(), coarse_->bytes())));
  const auto encode = [&](const VectorCode& code, const std::vector<float>& part, int64_t begin, int64_t rows,
                          uint8_t* out) {
    const int64_t size = code.bytes();
    code.EncodeRows({part.data(), rows, code.dim()}, first + begin, of.data());
    for (int64_t i = 0; i < rows; ++i)
      std::memcpy(out + i * stride, &of[static_cast<size_t>(i * size)], static_cast<size_t>(size));
  };
  for (int64_t begin = 0; begin < x.rows; begin += kRows) {
    const int64_t rows = std::min(kRows, x.rows - begin);
    SplitColumns(x.Block(begin, 0, rows, dim()), fine_mask_.data(), fine.data(), coarse.data());
    encode(*fine_, fine, begin, rows, codes + begin * stride);
    encode(*coarse_, coarse, begin, rows, codes + begin * stride + fine_->bytes());
  }
}

void OutlierSplitCode::Decode(const uint8_t* codes, int64_t n, float* x) const {
  std::vector<float> fine(static_cast<size_t>(fine_->dim())), coarse(static_cast<size_t>(coarse_->dim()));
  for (int64_t i = 0; i < n; ++i, codes += bytes(), x += dim()) {
    fine_->Decode(codes, 1, fine.data());
    coarse_->Decode(codes + fine_->bytes(), 1, coarse.data());
    for (size_t j = 0; j < fine.size(); ++j) x[fine_dims_[j]] = fine[j];
    for (size_t j = 0; j < coarse.size(); ++j) x[coarse_dims_[j]] = coarse[j];
  }
}

void OutlierSplitCode::Project(const float* q, float* projected) const {
  const auto [fine, coarse] = Split(q);
  fine_->Project(fine.data(), projected);
  coarse_->Project(coarse.data(), projected + fine_->projected_dim());
}

std::unique_ptr<VectorCode::Batch> OutlierSplitCode::PrepareBatch(const ProjectedQueries& queries,
                                                                  ScoreKind kind, int64_t stride) const {
  const int64_t count = queries.rows.rows, width = fine_->projected_dim();
  const std::vector<float> zeros(static_cast<size_t>(count));
  std::vector<SumOfParts::Part> parts;
  parts.push_back(
      {fine_->PrepareBatch({queries.rows.Block(0, 0, count, width), queries.constant}, kind, stride), 0});
  parts.push_back(
      {coarse_->PrepareBatch({queries.rows.Block(0, width, count, coarse_->projected_dim()), zeros.data()},
                             kind, stride),
       fine_->bytes()});
  return std::make_unique<SumOfParts>(*this, queries, kind, std::move(parts));
}

}  // namespace lowbit
