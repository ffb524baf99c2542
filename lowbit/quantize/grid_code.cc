#include "lowbit/quantize/grid_code.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <numeric>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/lloyd_max.h"
#include "lowbit/kernel/code_rows.h"
#include "lowbit/kernel/code_scores.h"

namespace lowbit {
namespace {

constexpr float kLargestFactor = 65504;  // of f16

int64_t BlocksFor(int64_t dim) {
  return (dim + kCodeBlock - 1) / kCodeBlock;
}

// -<q, x^> = -s <Pi q, v>, less weight times bias, and ||q - x||^2 = ||q||^2 + ||x||^2 - 2 s <Pi q, v>, with
// s = scale / sqrt(d).
class GridBatch : public VectorCode::Batch {
 public:
  GridBatch(const GridCode& code, const ProjectedQueries& queries, ScoreKind kind, int64_t stride)
      : code_(code),
        kind_(kind),
        biased_(queries.weight != nullptr),
        stride_(stride),
        queries_(code.grid(), queries.rows, FactorOfProduct(kind), ConstantsOf(queries, kind),
                 Weights(queries, kind)) {}

  void Scores(const uint8_t* codes, int64_t n, float* scores) const override {
    const Factors of = FactorsOf(codes, n);
    queries_.Scores(codes, stride_, n, of.scale, of.bias, scores);
  }
  void ScoresWithin(const uint8_t* codes, int64_t n, const PassedRows& passed) const override {
    const Factors of = FactorsOf(codes, n);
    queries_.ScoresWithin(codes, stride_, n, of.scale, of.bias, passed);
  }

 private:
  struct Factors {
    float *scale, *bias;  // (n), of this thread until the next call
  };
  Factors FactorsOf(const uint8_t* codes, int64_t n) const {
    thread_local Buffer<float> memory;
    memory.Reserve(static_cast<size_t>(2 * n));
    const Factors of{memory.data(), memory.data() + n};
    if (kind_ == ScoreKind::kSquaredDistance) {
      code_.ScalesAndSquaredNorms(codes, stride_, n, of.scale, of.bias);
    } else if (biased_) {
      code_.ScalesAndBiases(codes, n, of.scale, of.bias);
    } else {
      code_.Scales(codes, stride_, n, of.scale);
      std::fill(of.bias, of.bias + n, 0.0f);
    }
    return of;
  }
  // Of the biases: squared norms count once, those of the caller as it says, and zeros may count as they are.
  static std::vector<float> Weights(const ProjectedQueries& queries, ScoreKind kind) {
    std::vector<float> weights;
    if (kind == ScoreKind::kNegativeProduct && queries.weight != nullptr)
      std::transform(queries.weight, queries.weight + queries.rows.rows, std::back_inserter(weights),
                     std::negate<>());
    return weights;
  }

  const GridCode& code_;
  ScoreKind kind_;
  bool biased_;
  int64_t stride_;
  GridQueries queries_;
};

}  // namespace

float CheckedNorm(const float* x, int64_t n, int64_t row) {
  return CheckedNorm(SumOfSquares(x, n), x, n, row);
}

float CheckedNorm(float square, const float* x, int64_t n, int64_t row) {
  const float norm = std::sqrt(square);
  if (norm <= kLargestFactor) return norm;
  for (int64_t j = 0; j < n; ++j) {
    if (!std::isfinite(x[j])) Fail("row {}: entry {} is {}; vectors must be finite", row, j, x[j]);
  }
  Fail("row {}: its norm {} is beyond 65504, the largest f16; scale the vectors down", row, norm);
}

Grid LloydMaxGrid(int64_t dim, int bits) {
  if (bits < 1 || bits > 4) Fail("Lloyd-Max codes of {} bits: 1 to 4 have tables of bytes", bits);
  const Density density = dim >= 2 ? SphereDensity(dim) : GaussianDensity();
  const ScalarQuantizer design = DesignLloydMax(density, bits);
  const size_t n = design.level.size();
  std::vector<double> mass(n);
  for (size_t i = 0; i < n; ++i)
    mass[i] = density.mass(i == 0 ? density.low : design.threshold[i - 1],
                           i + 1 == n ? density.high : design.threshold[i]);
  // The step for which levels (k + 1/2) step come closest to the design's.
  Grid grid{.alphabet = {.bits = bits}};
  double best = 1e9;
  for (int trial = 0; trial < 400; ++trial) {
    const double step = design.level.back() / 63.5 * (1 + 0.0025 * trial / bits);
    double error = 0;
    for (size_t i = 0; i < n; ++i) {
      const double e = design.level[i] - (std::floor(design.level[i] / step) + 0.5) * step;
      error += mass[i] * e * e;
    }
    if (error < best) best = error, grid.step = step;
  }
  for (size_t i = 0; i < n; ++i) {
    const double level = std::floor(design.level[i] / grid.step) + 64;
    grid.alphabet.table[i] = static_cast<uint8_t>(std::clamp(level, 0.0, 127.0));
  }
  for (size_t i = 0; i + 1 < n; ++i) {
    const double sum = grid.alphabet.table[i] + grid.alphabet.table[i + 1];
    grid.threshold.push_back(static_cast<float>((sum / 2 - grid.middle) * grid.step));
  }
  grid.distortion = design.distortion + best;
  return grid;
}

Grid UniformGrid(int bits) {
  if (bits < 1 || bits > 8) Fail("uniform codes of {} bits: 1 to 8 are possible", bits);
  Grid grid{.alphabet = {.bits = bits}};
  std::iota(grid.alphabet.table.begin(), grid.alphabet.table.end(), uint8_t{0});
  grid.middle = ((1 << bits) - 1) / 2.0;
  return grid;
}

void LargestCosineCodes(const float* y, int64_t n, int bits, uint8_t* codes) {
  const int half = 1 << (bits - 1);
  // Magnitudes start at 1/2 and step up where t |y_j| passes 1, 2, ..., half - 1.
  struct Crossing {
    float t;
    int32_t j;
  };
  std::vector<Crossing> crossings;
  double dot = 0, square = 0.25 * static_cast<double>(n);
  for (int64_t j = 0; j < n; ++j) {
    const float a = std::abs(y[j]);
    dot += 0.5 * a;
    for (int k = 1; k < half && a > 0; ++k)
      crossings.push_back({static_cast<float>(k) / a, static_cast<int32_t>(j)});
  }
  std::sort(crossings.begin(), crossings.end(),
            [](const Crossing& a, const Crossing& b) { return a.t != b.t ? a.t < b.t : a.j < b.j; });
  std::vector<int> magnitude(static_cast<size_t>(n), 0);
  double best = dot * dot / square;
  size_t best_count = 0;
  for (size_t i = 0; i < crossings.size(); ++i) {
    int& m = magnitude[static_cast<size_t>(crossings[i].j)];
    dot += std::abs(y[crossings[i].j]);
    square += 2 * m + 2;  // (m + 3/2)^2 - (m + 1/2)^2
    ++m;
    if (dot * dot > best * square) best = dot * dot / square, best_count = i + 1;
  }
  std::fill(magnitude.begin(), magnitude.end(), 0);
  for (size_t i = 0; i < best_count; ++i) ++magnitude[static_cast<size_t>(crossings[i].j)];
  for (int64_t j = 0; j < n; ++j) {
    const int m = magnitude[static_cast<size_t>(j)];
    codes[j] = static_cast<uint8_t>(y[j] < 0 ? half - 1 - m : half + m);
  }
}

std::vector<float> ConstantsOf(const ProjectedQueries& queries, ScoreKind kind, int64_t begin) {
  std::vector<float> constants(queries.constant, queries.constant + queries.rows.rows);
  for (size_t r = 0; r < constants.size() && kind == ScoreKind::kSquaredDistance; ++r)
    constants[r] +=
        SumOfSquares(queries.rows.Row(static_cast<int64_t>(r)) + begin, queries.rows.cols - begin);
  return constants;
}

GridQueries::GridQueries(const Grid& grid, MatrixView<const float> rows, float multiplier,
                         std::vector<float> constant, std::vector<float> weight)
    : alphabet_(grid.alphabet),
      blocks_(rows.cols / kCodeBlock),
      bytes_(static_cast<size_t>(rows.rows * rows.cols)),
      factor_(static_cast<size_t>(rows.rows)),
      middle_(factor_.size()),
      constant_(std::move(constant)),
      weight_(std::move(weight)) {
  if (weight_.empty()) weight_.assign(factor_.size(), 1.0f);
  for (int64_t r = 0; r < rows.rows; ++r) {
    int32_t sum = 0;
    const float step = RoundToBytes(rows.Row(r), rows.cols, bytes_.data() + r * rows.cols, &sum);
    factor_[static_cast<size_t>(r)] = multiplier * step * static_cast<float>(grid.step);
    middle_[static_cast<size_t>(r)] = static_cast<float>(grid.middle * sum);
  }
}

ByteQueries GridQueries::queries() const {
  return {static_cast<int64_t>(factor_.size()),
          bytes_.data(),
          factor_.data(),
          middle_.data(),
          weight_.data(),
          constant_.data()};
}

void GridQueries::Scores(const uint8_t* codes, int64_t stride, int64_t n, const float* scale,
                         const float* bias, float* scores) const {
  ScoreCodes(alphabet_, queries(), blocks_, codes, stride, n, scale, bias, scores);
}

void GridQueries::ScoresWithin(const uint8_t* codes, int64_t stride, int64_t n, const float* scale,
                               const float* bias, const PassedRows& passed) const {
  SelectCodes(alphabet_, queries(), blocks_, codes, stride, n, scale, bias, passed);
}

void DecodeGrid(const Grid& grid, const uint8_t* packed, int64_t blocks, float* v) {
  std::vector<uint8_t> levels(static_cast<size_t>(blocks * kCodeBlock));
  DecodeCodes(grid.alphabet, blocks, packed, CodeBytes(grid.alphabet.bits, blocks), 1, levels.data());
  for (size_t j = 0; j < levels.size(); ++j) v[j] = static_cast<float>((levels[j] - grid.middle) * grid.step);
}

GridCode::GridCode(std::string name, int64_t dim, Grid grid, Rounding rounding, Scaling scaling,
                   const VectorCodeOptions& options)
    : VectorCode(std::move(name), dim, options.bias),
      grid_(std::move(grid)),
      rounding_(rounding),
      scaling_(scaling),
      norms_(options.norms),
      blocks_(BlocksFor(dim)),
      root_(std::sqrt(static_cast<float>(blocks_ * kCodeBlock))),
      to_scale_(1 / root_),
      rotation_(blocks_ * kCodeBlock, options.rotation) {}

int64_t GridCode::own_bytes() const {
  return scale_at() + kFactorBytes * (stores_norm() ? 2 : 1);
}

void GridCode::Project(const float* q, float* projected) const {
  std::vector<float> padded(static_cast<size_t>(blocks_ * kCodeBlock));
  std::copy(q, q + dim(), padded.begin());
  rotation_.Apply(padded.data(), projected);
}

std::unique_ptr<VectorCode::Batch> GridCode::PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                                          int64_t stride) const {
  if (kind == ScoreKind::kSquaredDistance && scaling_ == Scaling::kUnbiased && !norms_)
    Fail("{}: made without norms, so it gives inner products and no distances", name());
  return std::make_unique<GridBatch>(*this, queries, kind, stride);
}

void GridCode::Scales(const uint8_t* codes, int64_t stride, int64_t n, float* scales) const {
  LoadFactors(codes + scale_at(), stride, n, to_scale_, false, scales);
}

void GridCode::ScalesAndSquaredNorms(const uint8_t* codes, int64_t stride, int64_t n, float* scales,
                                     float* squares) const {
  if (stores_norm()) {
    LoadTwoFactors(codes + scale_at(), stride, n, to_scale_, true, scales, squares);
  } else {  // the scale is the norm, or that over 1 - D
    Scales(codes, stride, n, scales);
    const double to_norm = scaling_ == Scaling::kDebiased ? 1 - grid_.distortion : 1.0;
    LoadFactors(codes + scale_at(), stride, n, static_cast<float>(to_norm), true, squares);
  }
}

void GridCode::ScalesAndBiases(const uint8_t* codes, int64_t n, float* scales, float* biases) const {
  if (stores_norm()) {
    Scales(codes, bytes(), n, scales);
    LoadBiases(codes, n, biases);
  } else {  // they are side by side
    LoadTwoFactors(codes + scale_at(), bytes(), n, to_scale_, false, scales, biases);
  }
}

void GridCode::EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  if (rounding_ == Rounding::kNearest && rotation_.options().kind != RotationKind::kHaar)
    return RankInOnePass(x, first, codes);
  const int64_t width = blocks_ * kCodeBlock;
  const int64_t stride = bytes();
  // The trellis search works on several vectors at a time.
  constexpr int64_t kRows = 8;
  std::vector<float> y(static_cast<size_t>(kRows * width)), units(y.size());
  std::vector<uint8_t> code(y.size());
  float norm[kRows];
  for (int64_t begin = 0; begin < x.rows; begin += kRows) {
    const int64_t rows = std::min(kRows, x.rows - begin);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = &y[static_cast<size_t>(r * width)];
      norm[r] = CheckedNorm(x.Row(begin + r), dim(), first + begin + r);
      std::copy(x.Row(begin + r), x.Row(begin + r) + dim(), row);
      std::fill(row + dim(), row + width, 0.0f);
    }
    if (rotation_.options().kind == RotationKind::kHaar) {
      units.assign(y.begin(), y.end());
      rotation_.Apply(units.data(), rows, y.data());
    } else {
      rotation_.Apply(y.data(), rows, y.data());
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = &y[static_cast<size_t>(r * width)];
      const float to_unit = norm[r] > 0 ? root_ / norm[r] : 0.0f;
      uint8_t* c = &code[static_cast<size_t>(r * width)];
      if (rounding_ == Rounding::kNearest) {
        RankAndPack(row, blocks_, to_unit, grid_.threshold.data(), grid_.alphabet.bits,
                    codes + (begin + r) * stride);
      } else if (rounding_ == Rounding::kCosine) {
        LargestCosineCodes(row, width, grid_.alphabet.bits, c);
      } else {
        const float factor = to_unit / static_cast<float>(grid_.step),
                    middle = static_cast<float>(grid_.middle);
        for (int64_t j = 0; j < width; ++j)
          units[static_cast<size_t>(r * width + j)] = row[j] * factor + middle;
      }
    }
    if (rounding_ == Rounding::kTrellis)
      TrellisEncode(grid_.alphabet, units.data(), rows, blocks_, code.data());
    for (int64_t r = 0; r < rows; ++r) {
      uint8_t* out = codes + (begin + r) * stride;
      if (rounding_ != Rounding::kNearest)
        PackCodes(grid_.alphabet.bits, &code[static_cast<size_t>(r * width)], blocks_, out);
      double square = 0, dot = 0;
      if (scaling_ == Scaling::kUnbiased) {
        const float* row = &y[static_cast<size_t>(r * width)];
        float* v = &units[static_cast<size_t>(r * width)];
        DecodeGrid(grid_, out, blocks_, v);
        for (int64_t j = 0; j < width; ++j) square += double{row[j]} * row[j], dot += double{row[j]} * v[j];
      }
      StoreFactors(norm[r], square, dot, first + begin + r, out + scale_at());
    }
  }
}

void GridCode::RankInOnePass(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  const bool multiplies = scaling_ == Scaling::kUnbiased;
  const int bits = grid_.alphabet.bits;
  const RowRotation rotation = {
      .length = rotation_.block(),
      .rounds = rotation_.options().kind == RotationKind::kHadamard ? rotation_.options().rounds : 0,
      .factor = rotation_.factors().data()};
  float value[16];
  for (size_t i = 0; i < size_t{1} << bits; ++i)
    value[i] = static_cast<float>((grid_.alphabet.table[i] - grid_.middle) * grid_.step);
  constexpr int64_t kRows = 64;
  RowSums sums[kRows];
  for (int64_t begin = 0; begin < x.rows; begin += kRows) {
    const int64_t rows = std::min(kRows, x.rows - begin), stride = bytes();
    uint8_t* out = codes + begin * stride;
    RankRows(x.Block(begin, 0, rows, dim()), blocks_, rotation,
             {.bits = bits, .threshold = grid_.threshold.data(), .value = multiplies ? value : nullptr}, out,
             stride, sums);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = begin + i;
      const float norm = CheckedNorm(sums[i].square, x.Row(row), dim(), first + row);
      StoreFactors(norm, sums[i].rotated_square, sums[i].product, first + row, out + i * stride + scale_at());
    }
  }
}

void GridCode::StoreFactors(float norm, double square, double product, int64_t row, uint8_t* factors) const {
  double scale = norm;
  if (scaling_ == Scaling::kDebiased) scale /= 1 - grid_.distortion;
  if (scaling_ == Scaling::kUnbiased) {
    scale = product > 0 ? square / product * root_ : 0;
    if (norms_) StoreFactor(norm, "norm", row, factors + kFactorBytes);
  }
  StoreFactor(scale, "scale", row, factors);
}

void GridCode::Decode(const uint8_t* codes, int64_t n, float* x) const {
  std::vector<float> v(static_cast<size_t>(blocks_ * kCodeBlock)), back(v.size());
  for (int64_t i = 0; i < n; ++i, codes += bytes(), x += dim()) {
    DecodeGrid(grid_, codes, blocks_, v.data());
    rotation_.Inverse(v.data(), back.data());
    const float scale = LoadFactor(codes + scale_at()) * to_scale_;
    for (int64_t j = 0; j < dim(); ++j) x[j] = scale * back[static_cast<size_t>(j)];
  }
}

}  // namespace lowbit
