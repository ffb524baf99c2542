// What an index has learnt: the centroids of its lists and its codecs. It turns vectors into lists and codes.
#pragma once

#include <memory>
#include <vector>

#include "lowbit/index/codec.h"
#include "lowbit/index/index_file.h"
#include "lowbit/index/segment.h"
#include "lowbit/quantize/point_source.h"

namespace lowbit {

struct TrainingOptions {
  uint64_t seed = 1;
  // Vectors to learn from, evenly drawn; 0: 256 for each list, at least 65536.
  int64_t sample = 0;
  // Whether rotated codes for products and cosines keep what lies along the axis of their list (codec.h): 16
  // bits a vector, for which less has to be estimated. Files of earlier versions do not.
  bool axial = true;
};

class IndexModel {
 public:
  // Throws UsageError when the spec does not fit the dimension, Error for too few vectors and for values that
  // are not finite.
  static IndexModel Train(const IndexSpec& spec, Metric metric, const PointSource& vectors,
                          const TrainingOptions& options, ThreadPool& pool);
  static IndexModel Load(const IndexFile& file);
  // Appends what was learnt and fills the table's part of it.
  void Store(IndexOutput& output, IndexTable& table) const;

  const IndexSpec& spec() const { return spec_; }
  Metric metric() const { return metric_; }
  int64_t dim() const { return dim_; }
  int64_t lists() const { return spec_.lists; }
  const IndexCodec& codec() const { return *codec_; }
  const IndexCodec* fine() const { return fine_.get(); }  // null without a refinement
  RowBytes row_bytes() const { return {codec_->bytes(), fine_ ? fine_->bytes() : 0}; }
  // (lists, d); with one list, the mean.
  MatrixView<const float> centroids() const { return {centroids_.data(), spec_.lists, dim_}; }
  const std::vector<float>& half_norms() const { return half_norms_; }
  // 1 / ||c|| of a list's centroid; 0 for c = 0, which has no axis.
  float InverseNorm(int64_t list) const;

  // Appends x (n, d), as the index holds it (unit vectors for the cosine), to `rows`; ids (n). `first` is the
  // first vector's number for messages.
  void Encode(MatrixView<const float> x, int64_t first, const int64_t* ids, SegmentRows& rows,
              ThreadPool& pool) const;
  // The vector of a code, or of its refining code where there is one.
  void Decode(const Segment& segment, int64_t row, float* x) const;

 private:
  IndexModel(IndexSpec spec, Metric metric, bool axial, int64_t dim, uint64_t seed);
  // What codes are of: x - c of each row's list in `residual` (n, d), less what lies along its axis where
  // codes are axial, which goes to `along` (n).
  void Subtract(MatrixView<const float> x, const uint32_t* lists, float* residual, float* along) const;

  IndexSpec spec_;
  Metric metric_;
  int64_t dim_;
  uint64_t seed_;
  std::vector<float> centroids_, half_norms_;
  std::unique_ptr<IndexCodec> codec_, fine_;
};

// x (rows, d) over their lengths, in place. Throws Error naming the row for a vector of zeros; `what` is
// "vector" or "query".
void Normalize(MatrixView<float> x, int64_t first, const char* what);

// The vectors of another source as an index of that metric holds them: unit vectors for the cosine.
class MetricSource final : public PointSource {
 public:
  MetricSource(const PointSource& whole, Metric metric) : whole_(whole), metric_(metric) {}
  int64_t count() const override { return whole_.count(); }
  int64_t dimension() const override { return whole_.dimension(); }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override;

 private:
  const PointSource& whole_;
  Metric metric_;
};

}  // namespace lowbit
