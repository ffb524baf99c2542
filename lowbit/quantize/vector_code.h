// Codes for vectors of R^d, each of a fixed number of bytes, and estimates of inner products with float
// queries straight from the bytes: what an index or a key/value cache stores.
//
//   name                      bits a dimension        source
//   tq1 ... tq4               b                       TurboQuant mse: x^ = ||x|| Pi^T c(Pi x / ||x||)
//   tqB-debiased              b                       the same over 1 - D_b: unbiased over rotations
//   tqB-rescaled              b                       the same times ||x||^2 / <x, x^>: unbiased as RaBitQ is
//   tqB-prod                  b, 1 of them a sketch   TurboQuant prod: signs of a sketch of the residual
//   tq2.5, tq3.5 (-prod ...)  2.25, 3.25              a quarter of the dimensions one bit finer (Train)
//   qjl                       1                       signs of a Gaussian sketch of x itself
//   rabitq1 ... rabitq8       b                       RaBitQ: the grid point of largest cosine, rescaled
//   trellis1 ... trellis4     b                       a bit-shift trellis code (kernel/code_scan.h), rescaled
//
// All but qjl rotate first (transform/rotation.h); dimensions are padded with zeros to a multiple of 32. A
// vector's bytes are its codes and its factors in f16: a scale, a norm where the scale does not give it and
// L2 distances are wanted, and a bias where the caller keeps one. The names are nominal; bits() counts every
// byte.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/kernel/row_scores.h"
#include "lowbit/transform/rotation.h"

namespace lowbit {

inline constexpr int64_t kFactorBytes = 2;  // of a factor, an f16

struct VectorCodeOptions {
  RotationOptions rotation;
  bool norms = true;    // store what squared distances need
  bool center = false;  // Train takes the mean off (RaBitQ's centroid); kept once for all vectors
  bool bias = false;    // room for a number of the caller's beside each code; not with `center`
};

// Queries after VectorCode::Project.
struct ProjectedQueries {
  MatrixView<const float> rows;   // (queries, projected_dim()), finite
  const float* constant;          // (queries)
  const float* weight = nullptr;  // (queries), of the codes' biases in products; null: biases do not count
};

class VectorCode {
 public:
  // Several queries made ready together, so that a code is decoded once for all of them. Lower scores are
  // nearer. A score does not depend on the queries beside it.
  class Batch {
   public:
    virtual ~Batch() = default;
    // scores[r n + i] = constant_r - <q_r, x_i> - weight_r bias_i, or constant_r + ||q_r - x_i||^2, as
    // estimates; n codes one after another.
    virtual void Scores(const uint8_t* codes, int64_t n, float* scores) const = 0;
    // Those of the same scores that pass the queries' limits.
    virtual void ScoresWithin(const uint8_t* codes, int64_t n, const PassedRows& passed) const;
  };

  // One query, for as many codes as one likes. It refers to the code it was made by.
  class Query {
   public:
    // estimates[i] ~ <query, x_i>, for n codes one after another.
    void InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const;
    // estimates[i] ~ ||query - x_i||^2. Throws when the code stores no norms.
    void SquaredDistances(const uint8_t* codes, int64_t n, float* estimates) const;

   private:
    friend class VectorCode;
    Query(const VectorCode& code, const float* query);
    void Scores(ScoreKind kind, const uint8_t* codes, int64_t n, float* scores) const;
    const VectorCode& code_;
    std::vector<float> projected_;
  };

  virtual ~VectorCode() = default;
  const std::string& name() const { return name_; }
  int64_t dim() const { return dim_; }
  // Of one vector, factors included.
  int64_t bytes() const { return own_bytes() + (biased_ ? kFactorBytes : 0); }
  double bits() const { return 8.0 * static_cast<double>(bytes()) / static_cast<double>(dim_); }

  // Learns from x (n, d) what the code needs; most need nothing. What was learnt, for files.
  virtual void Train(MatrixView<const float> x, ThreadPool& pool);
  virtual std::vector<float> Parameters() const { return {}; }
  virtual void SetParameters(std::span<const float> parameters);

  // codes (n, bytes()) of x (n, d). Throws, naming the row, for NaN, infinities and norms beyond f16.
  void Encode(MatrixView<const float> x, uint8_t* codes, ThreadPool& pool) const;
  // x (n, d) as the code means it: InnerProducts estimates <query, decoded>, up to the rounding of the query
  // to 8 bits.
  virtual void Decode(const uint8_t* codes, int64_t n, float* x) const = 0;
  // Throws Error for a query that is not finite.
  Query Prepare(const float* query) const { return {*this, query}; }

  // What a query goes through before it meets codes, as far as it is linear: a rotation, a sketch. Project(q
  // - c) = Project(q) - Project(c) spares the work where one query meets the codes of many residuals x - c.
  // projected (projected_dim()) of q (d).
  virtual int64_t projected_dim() const = 0;
  virtual void Project(const float* q, float* projected) const = 0;
  // The batch keeps nothing of the queries. Squared distances throw when the code stores no norms.
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind) const {
    return PrepareBatch(queries, kind, bytes());
  }
  // The same for codes that lie `stride` bytes apart: parts of others.
  virtual std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                              int64_t stride) const = 0;

  // One slice of Encode on the calling thread; `first` is its first row's number for messages. Biases are
  // left as they are.
  virtual void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const = 0;
  // The numbers beside n codes (VectorCodeOptions::bias), in f16. `what` they are is for messages.
  void StoreBiases(const float* biases, int64_t n, const char* what, int64_t first, uint8_t* codes) const;
  void LoadBiases(const uint8_t* codes, int64_t n, float* biases) const;

 protected:
  VectorCode(std::string name, int64_t dim, bool biased)
      : name_(std::move(name)), dim_(dim), biased_(biased) {}
  // bytes() without the bias, which comes last.
  virtual int64_t own_bytes() const = 0;

 private:
  std::string name_;
  int64_t dim_;
  bool biased_;
};

// A factor of a code. Throws Error, naming the row and `what` the value is, when it is beyond f16.
void StoreFactor(double value, const char* what, int64_t row, uint8_t* at);
float LoadFactor(const uint8_t* at);

// The code of that name for dim >= 1 dimensions. Throws UsageError, listing the names, for any other name.
std::unique_ptr<VectorCode> MakeVectorCode(std::string_view name, int64_t dim,
                                           const VectorCodeOptions& options = {});
// Every name MakeVectorCode knows.
std::vector<std::string> VectorCodeNames();

}  // namespace lowbit
