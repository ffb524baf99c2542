#include "lowbit/index/codec.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/index/decoded_codec.h"

namespace lowbit {
namespace {

class RotatedCodec : public IndexCodec {
 public:
  RotatedCodec(const std::string& name, int64_t dim, Beside beside, uint64_t seed)
      : IndexCodec(dim),
        axial_(beside == Beside::kAlongAxis),
        code_(MakeVectorCode(
            name, dim, {.rotation = {.seed = seed}, .norms = beside == Beside::kNorm, .bias = axial_})) {}

  int64_t bytes() const override { return code_->bytes(); }
  bool of_residuals() const override { return true; }
  bool axial() const override { return axial_; }
  void StoreAlong(const float* along, int64_t n, int64_t first, uint8_t* codes) const override {
    code_->StoreBiases(along, n, "component along its list's centroid", first, codes);
  }
  void Train(MatrixView<const float> x, const KMeansOptions&, ThreadPool& pool) override {
    code_->Train(x, pool);
  }
  std::vector<float> Parameters() const override { return code_->Parameters(); }
  void SetParameters(std::span<const float> parameters) override { code_->SetParameters(parameters); }
  void Encode(MatrixView<const float> x, int64_t first, uint8_t* codes) const override {
    code_->EncodeRows(x, first, codes);
  }
  void Decode(const uint8_t* codes, int64_t n, float* x) const override { code_->Decode(codes, n, x); }
  float Along(const uint8_t* code) const override {
    float along = 0;
    if (axial_) code_->LoadBiases(code, 1, &along);
    return along;
  }
  int64_t projected_dim() const override { return code_->projected_dim(); }
  void Project(const float* q, float* projected) const override { code_->Project(q, projected); }
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind) const override {
    return code_->PrepareBatch(queries, kind);
  }

 private:
  bool axial_;
  std::unique_ptr<VectorCode> code_;
};

}  // namespace

void IndexCodec::Train(MatrixView<const float> x, const KMeansOptions&, ThreadPool&) {
  if (x.cols != dim_) Fail("training vectors have {} dimensions, the codec {}", x.cols, dim_);
}

void IndexCodec::SetParameters(std::span<const float> parameters) {
  if (!parameters.empty()) Fail("{} parameters for a codec that has none", parameters.size());
}

void IndexCodec::Project(const float* q, float* projected) const {
  std::copy(q, q + dim_, projected);
}

std::unique_ptr<IndexCodec> MakeCodec(const CodecSpec& spec, int64_t dim, Beside beside, uint64_t seed) {
  if (const auto* rotated = std::get_if<RotatedCode>(&spec))
    return std::make_unique<RotatedCodec>(rotated->name, dim, beside, seed);
  return MakeDecodedCodec(spec, dim);
}

}  // namespace lowbit
