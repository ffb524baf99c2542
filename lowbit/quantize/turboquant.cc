#include "lowbit/quantize/turboquant.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/kernel/code_rows.h"
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

class SketchQuery : public VectorCode::Query {
 public:
  SketchQuery(const SketchCode& code, const float* query)
      : Query(code, SumOfSquares(query, code.dim())),
        sketch_code_(code),
        bytes_(code.sketch().Project(query).data(), code.sketch().rows(), code.sketch().blocks()) {}

  void InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const override {
    const int64_t stride = sketch_code_.bytes();
    bytes_.Products(sketch_code_.sketch().grid(), codes, stride, n, estimates);
    const double factor = sketch_code_.sketch().factor();
    for (int64_t i = 0; i < n; ++i)
      estimates[i] *= static_cast<float>(factor * sketch_code_.Norm(codes + i * stride));
  }

 private:
  const SketchCode& sketch_code_;
  ByteQuery bytes_;
};

class ProdQuery : public VectorCode::Query {
 public:
  ProdQuery(const ProdCode& code, const float* query)
      : Query(code, SumOfSquares(query, code.dim())),
        prod_(code),
        projected_(code.sketch().Project(query).data(), code.sketch().rows(), code.sketch().blocks()) {
    if (code.mse() == nullptr) return;
    const std::vector<float> rotated = code.mse()->Rotated(query);
    rotated_ = std::make_unique<ByteQuery>(rotated.data(), static_cast<int64_t>(rotated.size()),
                                           code.mse()->blocks());
  }

  void InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const override {
    const int64_t stride = prod_.bytes();
    const GridCode* mse = prod_.mse();
    const int64_t begin = mse != nullptr ? mse->bytes() : 0;
    projected_.Products(prod_.sketch().grid(), codes + begin, stride, n, estimates);
    for (int64_t i = 0; i < n; ++i) {
      const float gamma = LoadFactor(codes + i * stride + begin + prod_.sketch().bytes());
      estimates[i] *= static_cast<float>(prod_.sketch().factor() * gamma);
    }
    if (mse == nullptr) return;
    std::vector<float> values(static_cast<size_t>(n));
    rotated_->Products(mse->grid(), codes, stride, n, values.data());
    for (int64_t i = 0; i < n; ++i)
      estimates[i] += mse->Scale(codes + i * stride) * values[static_cast<size_t>(i)];
  }

 private:
  const ProdCode& prod_;
  ByteQuery projected_;
  std::unique_ptr<ByteQuery> rotated_;
};

// Parts lie one after the other in a code; they are scanned as rows of the whole code's stride.
class SplitQuery : public VectorCode::Query {
 public:
  SplitQuery(const OutlierSplitCode& code, double squared_norm, std::unique_ptr<Query> fine,
             std::unique_ptr<Query> coarse)
      : Query(code, squared_norm), split_(code), fine_(std::move(fine)), coarse_(std::move(coarse)) {}

  void InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const override {
    const int64_t stride = split_.bytes(), fine_bytes = split_.fine().bytes();
    const int64_t coarse_bytes = split_.coarse().bytes();
    std::vector<uint8_t> fine(static_cast<size_t>(n * fine_bytes)),
        coarse(static_cast<size_t>(n * coarse_bytes));
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(&fine[static_cast<size_t>(i * fine_bytes)], codes + i * stride,
                  static_cast<size_t>(fine_bytes));
      std::memcpy(&coarse[static_cast<size_t>(i * coarse_bytes)], codes + i * stride + fine_bytes,
                  static_cast<size_t>(coarse_bytes));
    }
    std::vector<float> rest(static_cast<size_t>(n));
    fine_->InnerProducts(fine.data(), n, estimates);
    coarse_->InnerProducts(coarse.data(), n, rest.data());
    for (int64_t i = 0; i < n; ++i) estimates[i] += rest[static_cast<size_t>(i)];
  }

 private:
  const OutlierSplitCode& split_;
  std::unique_ptr<Query> fine_, coarse_;
};

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

std::vector<float> SignSketch::Project(const float* q) const {
  std::vector<float> projected(static_cast<size_t>(rows_));
  OrderedProduct({transposed_.data(), dim_, rows_}, {q, 1, dim_}, {projected.data(), 1, rows_});
  return projected;
}

void SignSketch::Encode(MatrixView<const float> r, uint8_t* packed, int64_t stride) const {
  // Places without a row of the sketch get code 0.
  const int64_t width = blocks_ * kCodeBlock;
  std::vector<float> projected(static_cast<size_t>(r.rows * width), -1.0f);
  OrderedProduct({transposed_.data(), dim_, rows_}, r, {projected.data(), r.rows, rows_, width});
  constexpr float kZero = 0;
  for (int64_t i = 0; i < r.rows; ++i)
    RankAndPack(projected.data() + i * width, blocks_, 1, &kZero, 1, packed + i * stride);
}

void SignSketch::Decode(const uint8_t* packed, int64_t stride, int64_t n, float* x) const {
  const int64_t width = blocks_ * kCodeBlock;
  std::vector<float> z(static_cast<size_t>(n * width));
  for (int64_t i = 0; i < n; ++i) DecodeGrid(grid_, packed + i * stride, blocks_, z.data() + i * width);
  OrderedProduct({matrix_.data(), rows_, dim_}, {z.data(), n, rows_, width}, {x, n, dim_});
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
    for (int64_t j = 0; j < dim(); ++j) x[j] *= Norm(codes);
  }
}

std::unique_ptr<VectorCode::Query> SketchCode::Prepare(const float* query) const {
  return std::make_unique<SketchQuery>(*this, query);
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

float ProdCode::Norm(const uint8_t* code) const {
  return mse_ ? mse_->Norm(code) : LoadFactor(code + sketch_.bytes());
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

std::unique_ptr<VectorCode::Query> ProdCode::Prepare(const float* query) const {
  return std::make_unique<ProdQuery>(*this, query);
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

std::unique_ptr<VectorCode::Query> OutlierSplitCode::Prepare(const float* query) const {
  const auto [fine, coarse] = Split(query);
  return std::make_unique<SplitQuery>(*this, SumOfSquares(query, dim()), fine_->Prepare(fine.data()),
                                      coarse_->Prepare(coarse.data()));
}

float OutlierSplitCode::Norm(const uint8_t* code) const {
  return std::hypot(fine_->Norm(code), coarse_->Norm(code + fine_->bytes()));
}

}  // namespace lowbit
