// TurboQuant (Zandieh et al., ICLR 2026) and QJL (Zandieh et al., 2024): data-oblivious codes of vectors.
//
//   mse    u = x / ||x||, y = Pi u, c(y_j) the nearest Lloyd-Max level of the law of a coordinate;
//          x^ = ||x|| Pi^T c(y). E <q, x^> = (1 - D) <q, x> over rotations.
//   prod   u~ by mse with b - 1 bits; r = u - u~, gamma = ||r||, z = sign(S r), S of N(0, 1) entries:
//          <q, x^> = ||x|| (<q, u~> + gamma sqrt(pi/2) / d <S q, z>), unbiased over S.
//   QJL    the sketch alone: <q, x^> = ||x|| sqrt(pi/2) / m <S q, sign(S x)>, S (m, d).
#pragma once

#include "lowbit/quantize/grid_code.h"

namespace lowbit {

enum class Estimator : uint8_t { kMse, kDebiased, kRescaled, kProd };
// "", "debiased", "rescaled", "prod": what follows the dash of a name.
std::string_view SuffixOf(Estimator estimator);

// 1 to 4 bits.
std::unique_ptr<VectorCode> MakeTurboQuant(std::string name, int64_t dim, int bits, Estimator estimator,
                                           const VectorCodeOptions& options);

// The signs of a Gaussian sketch and what they estimate, of vectors of R^dim with `rows` sketch rows.
class SignSketch {
 public:
  SignSketch(int64_t dim, int64_t rows, uint64_t seed);
  int64_t bytes() const { return CodeBytes(1, blocks_); }
  int64_t rows() const { return rows_; }
  // rows, padded to whole blocks.
  int64_t width() const { return blocks_ * kCodeBlock; }
  const Grid& grid() const { return grid_; }
  // sign(S r) of vectors r (n, dim), packed at packed + i stride; sign(0) = +1.
  void Encode(MatrixView<const float> r, uint8_t* packed, int64_t stride) const;
  // S q (rows), and zeros up to width().
  void Project(const float* q, float* projected) const;
  // x (n, dim) = sqrt(pi/2) / rows S^T z.
  void Decode(const uint8_t* packed, int64_t stride, int64_t n, float* x) const;
  // sqrt(pi/2) / rows: the factor of <S q, z>.
  double factor() const;

 private:
  int64_t dim_, rows_, blocks_;
  std::vector<float> matrix_, transposed_;  // S (rows, dim), S^T
  Grid grid_;                               // levels +-1
};

// QJL: the sketch of the vector itself.
class SketchCode : public VectorCode {
 public:
  SketchCode(int64_t dim, int64_t rows, const VectorCodeOptions& options);
  void Decode(const uint8_t* codes, int64_t n, float* x) const override;
  // S q and q.
  int64_t projected_dim() const override { return sketch_.width() + dim(); }
  void Project(const float* q, float* projected) const override;
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                      int64_t stride) const override;
  void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const override;

  const SignSketch& sketch() const { return sketch_; }

 private:
  int64_t own_bytes() const override { return sketch_.bytes() + kFactorBytes; }
  SignSketch sketch_;
};

// prod: the mse code, the signs of the sketch of its residual, and gamma ||x||.
class ProdCode : public VectorCode {
 public:
  ProdCode(std::string name, int64_t dim, int bits, const VectorCodeOptions& options);
  void Decode(const uint8_t* codes, int64_t n, float* x) const override;
  // Pi q and S q; with 1 bit S q and q.
  int64_t projected_dim() const override;
  void Project(const float* q, float* projected) const override;
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                      int64_t stride) const override;
  void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const override;

  const GridCode* mse() const { return mse_.get(); }  // null with 1 bit: u~ = 0
  const SignSketch& sketch() const { return sketch_; }

 private:
  int64_t own_bytes() const override;
  int64_t mse_bytes() const { return mse_ ? mse_->bytes() : 0; }
  std::unique_ptr<GridCode> mse_;
  SignSketch sketch_;
};

// A quarter of the dimensions, those of the largest mean square in training, with bits + 1, the others with
// `bits`; each part with its own rotation, norm and levels for its own number of dimensions.
class OutlierSplitCode : public VectorCode {
 public:
  OutlierSplitCode(std::string name, int64_t dim, int bits, Estimator estimator,
                   const VectorCodeOptions& options);
  void Train(MatrixView<const float> x, ThreadPool& pool) override;
  // The numbers of the fine dimensions, ascending.
  std::vector<float> Parameters() const override;
  void SetParameters(std::span<const float> parameters) override;
  void Decode(const uint8_t* codes, int64_t n, float* x) const override;
  // Of both parts.
  int64_t projected_dim() const override { return fine_->projected_dim() + coarse_->projected_dim(); }
  void Project(const float* q, float* projected) const override;
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                      int64_t stride) const override;
  void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const override;

 private:
  int64_t own_bytes() const override { return fine_->bytes() + coarse_->bytes(); }
  // Throws before training.
  void RequireDims() const;
  // (fine, coarse) parts of a vector, each with kSplitSlack entries more. Throws before training.
  std::pair<std::vector<float>, std::vector<float>> Split(const float* x) const;

  std::vector<int64_t> fine_dims_, coarse_dims_;
  std::vector<uint8_t> fine_mask_;  // bit j mod 8 of byte j / 8: dimension j is fine
  std::unique_ptr<VectorCode> fine_, coarse_;
};

}  // namespace lowbit
