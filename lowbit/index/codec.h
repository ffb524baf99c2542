// The codes of an index: vectors to a fixed number of bytes and back, and distances from the bytes to a batch
// of queries. Two kinds:
//
//   rotated   quantize/vector_code.h. Codes are of residuals x - c, c the centroid of the vector's list, and
//             distances estimates, unbiased where the code's are: ||q - c - (x - c)||^2. For products a list
//             has an axis a = c / ||c||; what the residual has along it is kept as a number, and the code is
//             of the rest, r = x - c - <x - c, a> a:
//               <q, x> = <q, c> + <q, a> <x - c, a> + <q - <q, a> a, r>,
//             so that only the product of the parts orthogonal to the axis is an estimate.
//   decoded   all others (f32, f16, scalar, product and residual quantizers) keep x itself; a distance is
//             that to the decoded vector. Vectors are decoded a few at a time for all queries of a batch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/index/index_spec.h"
#include "lowbit/index/metric.h"
#include "lowbit/quantize/kmeans.h"
#include "lowbit/quantize/vector_code.h"

namespace lowbit {

class IndexCodec {
 public:
  // Scores are distances of metric.h: lower is nearer.
  using Batch = VectorCode::Batch;

  virtual ~IndexCodec() = default;
  int64_t dim() const { return dim_; }
  // Of one vector.
  virtual int64_t bytes() const = 0;
  // Codes are of x - c; queries of squared distances are then q - c.
  virtual bool of_residuals() const { return false; }
  // Whether <x - c, a> is kept beside each code.
  virtual bool axial() const { return false; }
  // Of axial codes: puts along (n) beside codes (n, bytes()), after Encode. `first` is the first row's number
  // for messages. Throws Error for numbers beyond f16.
  virtual void StoreAlong(const float* /*along*/, int64_t /*n*/, int64_t /*first*/,
                          uint8_t* /*codes*/) const {}
  // The number beside a code; 0 where there is none.
  virtual float Along(const uint8_t* /*code*/) const { return 0; }

  // Learns from x (n, d), residuals where codes are of residuals. kmeans: seed and progress of k-means, where
  // the codec runs it.
  virtual void Train(MatrixView<const float> x, const KMeansOptions& kmeans, ThreadPool& pool);
  // Codebooks that Train makes by k-means.
  virtual int64_t codebooks() const { return 0; }
  // What was learnt. SetParameters throws Error for numbers that are no such parameters.
  virtual std::vector<float> Parameters() const { return {}; }
  virtual void SetParameters(std::span<const float> parameters);

  // codes (n, bytes()) of x (n, d) on the calling thread, and back; `first` is the first row's number for
  // messages.
  virtual void Encode(MatrixView<const float> x, int64_t first, uint8_t* codes) const = 0;
  virtual void Decode(const uint8_t* codes, int64_t n, float* x) const = 0;

  // As VectorCode's: linear, so that differences may be taken afterwards.
  virtual int64_t projected_dim() const { return dim_; }
  virtual void Project(const float* q, float* projected) const;
  virtual std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind) const = 0;

 protected:
  explicit IndexCodec(int64_t dim) : dim_(dim) {}

 private:
  int64_t dim_;
};

// What rotated codes keep beside their scale: nothing, norms for squared distances, or what lies along the
// axis of a list for products.
enum class Beside : uint8_t { kNothing, kNorm, kAlongAxis };

// The codec for vectors of R^dim, before training. The seed is that of random rotations. Throws UsageError
// when the spec does not fit the dimension.
std::unique_ptr<IndexCodec> MakeCodec(const CodecSpec& spec, int64_t dim, Beside beside, uint64_t seed);

}  // namespace lowbit
