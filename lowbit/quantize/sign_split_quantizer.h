// Sign-split vector quantization: a bit for the sign of every channel, codebooks for the magnitudes alone
// [ssvq].
//
//   x ~ (sum_m C_m[b_m]) o s,   s_c = +1 where x_c >= 0, else -1
// Magnitudes need far fewer codewords than signed vectors: 16 of 8 channels and 8 signs make 1.5 bits a
// channel. With one codebook the codewords are means of magnitudes, so none is negative and the sign of a
// decoded value is that of the value. The codes are those of the magnitudes, then the signs, sixteen channels
// in a code: bit c % 16 of sign code c / 16 is set where channel c is negative.
#pragma once

#include <vector>

#include "lowbit/quantize/codebook_quantizer.h"

namespace lowbit {

class SignSplitQuantizer final : public VectorQuantizer {
 public:
  // `shapes` are the codebooks of the magnitudes: {{0, d, K}} for the quantizer of the card.
  static SignSplitQuantizer Train(const PointSource& source, const std::vector<CodebookShape>& shapes,
                                  const CodebookOptions& options = {},
                                  ThreadPool& pool = ThreadPool::Global());
  explicit SignSplitQuantizer(CodebookQuantizer magnitudes);

  int64_t dimension() const override { return magnitudes_.dimension(); }
  const std::vector<int>& code_bits() const override { return code_bits_; }
  int64_t table_values() const override { return magnitudes_.table_values(); }
  void Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
              ThreadPool& pool = ThreadPool::Global()) const override;
  void Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
              ThreadPool& pool = ThreadPool::Global()) const override;

  const CodebookQuantizer& magnitudes() const { return magnitudes_; }

 private:
  CodebookQuantizer magnitudes_;
  std::vector<int> code_bits_;
};

// |x| of another source.
class MagnitudeSource final : public PointSource {
 public:
  explicit MagnitudeSource(const PointSource& whole) : whole_(whole) {}
  int64_t count() const override { return whole_.count(); }
  int64_t dimension() const override { return whole_.dimension(); }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override;

 private:
  const PointSource& whole_;
  mutable PointScratch inner_;
};

}  // namespace lowbit
