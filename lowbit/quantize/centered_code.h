// A vector code of x - c, c the mean of the training vectors: <q, x> = <q, c> + <q, x - c>. Where a set of
// vectors lies off the origin, the residuals are shorter and so are the errors. c is kept once, in f32.
#pragma once

#include "lowbit/quantize/vector_code.h"

namespace lowbit {

class CenteredCode : public VectorCode {
 public:
  explicit CenteredCode(std::unique_ptr<VectorCode> code);

  void Train(MatrixView<const float> x, ThreadPool& pool) override;
  // The centre (d), then the inner code's parameters.
  std::vector<float> Parameters() const override;
  void SetParameters(std::span<const float> parameters) override;
  void Decode(const uint8_t* codes, int64_t n, float* x) const override;
  // The inner code's, and q.
  int64_t projected_dim() const override { return code_->projected_dim() + dim(); }
  void Project(const float* q, float* projected) const override;
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                      int64_t stride) const override;
  void EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const override;

 private:
  int64_t own_bytes() const override { return code_->bytes(); }
  std::unique_ptr<VectorCode> code_;
  std::vector<float> center_;
};

}  // namespace lowbit
