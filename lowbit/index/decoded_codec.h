// Codecs whose distances are those to the decoded vectors: f32, f16, scalar grids, codebooks.
#pragma once

#include "lowbit/index/codec.h"

namespace lowbit {

class DecodedCodec : public IndexCodec {
 public:
  std::unique_ptr<Batch> PrepareBatch(const ProjectedQueries& queries, ScoreKind kind) const override;

 protected:
  using IndexCodec::IndexCodec;
};

// Of every kind but RotatedCode. Throws UsageError when the spec does not fit the dimension.
std::unique_ptr<IndexCodec> MakeDecodedCodec(const CodecSpec& spec, int64_t dim);

}  // namespace lowbit
