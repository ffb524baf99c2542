// Codes that round the rotated vector to an alphabet, coordinate by coordinate or along a trellis:
//   y = Pi x,   x^ = s Pi^T v,   v_j = (level_j - middle) step,
// where v stands for sqrt(d) y / ||y|| and s is the stored scale over sqrt(d). How codes are chosen and what
// s is makes TurboQuant mse, RaBitQ and the trellis codes.
#pragma once

#include "lowbit/kernel/code_scores.h"
#include "lowbit/quantize/vector_code.h"

namespace lowbit {

// What the levels of an alphabet mean.
struct Grid {
  CodeAlphabet alphabet;
  double middle = 63.5, step = 1;
  std::vector<float> threshold;  // between the levels, in units of v; for rounding by thresholds
  double distortion = 0;         // E (y - v)^2 of the design law, for the estimators that need it
};

enum class Rounding : uint8_t {
  kNearest,  // thresholds
  kCosine,   // RaBitQ: argmax <y, v> / ||v|| over all v of a uniform grid
  kTrellis,  // Viterbi
};
enum class Scaling : uint8_t {
  kNorm,      // s = ||x||
  kDebiased,  // s = ||x|| / (1 - distortion)
  kUnbiased,  // s = ||x||^2 / <y, v>: x^ - x is orthogonal to x
};

// Lloyd-Max levels of the law of a coordinate of a rotated vector of R^dim, 1 to 4 bits, as bytes.
Grid LloydMaxGrid(int64_t dim, int bits);
// Levels 0 ... 2^bits - 1 around their middle, 1 to 8 bits.
Grid UniformGrid(int bits);

// RaBitQ's codes (Gao et al., SIGMOD 2025): the v of the uniform grid of `bits` bits with the largest cosine
// to y (n), found exactly: as a factor t grows, t y crosses the grid's thresholds one coordinate at a time,
// and only 2^(bits-1) n points are met. codes (n) in [0, 2^bits).
void LargestCosineCodes(const float* y, int64_t n, int bits, uint8_t* codes);

// What <q, x> counts in a score of that kind, and the rest of it that depends on the query alone: its
// constant, for distances with the square of its columns from `begin` on.
constexpr float FactorOfProduct(ScoreKind kind) {
  return kind == ScoreKind::kSquaredDistance ? -2.0f : -1.0f;
}
std::vector<float> ConstantsOf(const ProjectedQueries& queries, ScoreKind kind, int64_t begin = 0);

// Queries rounded to bytes, and their scores of codes of a grid:
//   constant_r + weight_r bias_i + multiplier scale_i <q_r, v_i>.
class GridQueries {
 public:
  // rows (queries, 32 blocks); the constant of each, and its weight (none: 1 for all).
  GridQueries(const Grid& grid, MatrixView<const float> rows, float multiplier, std::vector<float> constant,
              std::vector<float> weight = {});
  // Of n packed codes `stride` bytes apart, with scale and bias (n): all scores (queries, n), or those within
  // the queries' limits.
  void Scores(const uint8_t* codes, int64_t stride, int64_t n, const float* scale, const float* bias,
              float* scores) const;
  void ScoresWithin(const uint8_t* codes, int64_t stride, int64_t n, const float* scale, const float* bias,
                    const PassedRows& passed) const;

 private:
  ByteQueries queries() const;

  CodeAlphabet alphabet_;
  int64_t blocks_;
  std::vector<int8_t> bytes_;
  std::vector<float> factor_, middle_, constant_, weight_;
};

// v (32 blocks) of packed codes.
void DecodeGrid(const Grid& grid, const uint8_t* packed, int64_t blocks, float* v);

class GridCode : public VectorCode {
 public:
  GridCode(std::string name, int64_t dim, Grid grid, Rounding rounding, Scaling scaling,
           const VectorCodeOptions& options);

  void Decode(const uint8_t* codes, int64_t n, float* x) const override;
  void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const override;
  // Pi q.
  int64_t projected_dim() const override { return blocks_ * kCodeBlock; }
  void Project(const float* q, float* projected) const override;
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                      int64_t stride) const override;

  const Grid& grid() const { return grid_; }
  int64_t blocks() const { return blocks_; }
  // s of n codes; the same and what squared distances need, ||x||^2; the same and the biases.
  void Scales(const uint8_t* codes, int64_t stride, int64_t n, float* scales) const;
  void ScalesAndSquaredNorms(const uint8_t* codes, int64_t stride, int64_t n, float* scales,
                             float* squares) const;
  void ScalesAndBiases(const uint8_t* codes, int64_t n, float* scales, float* biases) const;

 private:
  int64_t own_bytes() const override;
  // EncodeRows for rounding by thresholds.
  void RankInOnePass(MatrixView<const float> x, int64_t first, uint8_t* codes) const;
  // Of a vector of norm ||x||, ||y||^2 and <y, v>, the last two only for kUnbiased.
  void StoreFactors(float norm, double square, double product, int64_t row, uint8_t* factors) const;
  bool stores_norm() const { return norms_ && scaling_ == Scaling::kUnbiased; }
  // Where the scale is in a code.
  int64_t scale_at() const { return CodeBytes(grid_.alphabet.bits, blocks_); }

  Grid grid_;
  Rounding rounding_;
  Scaling scaling_;
  bool norms_;
  int64_t blocks_;
  float root_, to_scale_;  // sqrt(32 blocks) and its inverse
  Rotation rotation_;
};

// ||x||, after a check that it is a number that f16 holds.
float CheckedNorm(const float* x, int64_t n, int64_t row);
// The same where `square` is ||x||^2 already.
float CheckedNorm(float square, const float* x, int64_t n, int64_t row);

}  // namespace lowbit
