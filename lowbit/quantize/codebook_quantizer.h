// Quantizers made of codebooks learned by k-means, whose chosen codewords add up (codebook_search.h).
//
//   ProductQuantizer            M codebooks on consecutive slices of the channels (Jegou et al. 2011)
//   ResidualQuantizer           S codebooks on all channels, each trained on what those before left over
//   GroupResidualQuantizer      G slices with S codebooks in each; codes (s=1,g=1), (1,2), ..., (2,1) ...
//   [hifi-codec] MaskedChannelQuantizer      the first `bands` codebooks see one slice each, the others all
//   channels; codebooks
//                               in order, so that trailing ones can be dropped [language-codec]
// G = 1 is the residual quantizer and S = 1 the product quantizer, code for code. Slices of d channels in M
// parts are [m d / M, (m+1) d / M), rounded down.
#pragma once

#include <cstdint>
#include <vector>

#include "lowbit/quantize/codebook_search.h"
#include "lowbit/quantize/kmeans.h"
#include "lowbit/quantize/vector_quantizer.h"

namespace lowbit {

struct CodebookOptions {
  // Of every codebook; `seed` also chooses the training sample, which all codebooks share.
  KMeansOptions kmeans;
  // In Encode. Training takes greedy residuals whatever the beam: those of a beam served no better where
  // measured.
  CodeSearch search;
};

class CodebookQuantizer : public VectorQuantizer {
 public:
  // Each codebook in turn is trained on the residual of its channels. Throws lowbit::Error when a shape does
  // not fit the channels or k-means has too few points.
  static CodebookQuantizer Train(const PointSource& source, const std::vector<CodebookShape>& shapes,
                                 const CodebookOptions& options = {},
                                 ThreadPool& pool = ThreadPool::Global());
  // From codebooks made elsewhere.
  CodebookQuantizer(int64_t dimension, std::vector<Codebook> codebooks, const CodeSearch& search);

  int64_t dimension() const override { return dimension_; }
  const std::vector<int>& code_bits() const override { return code_bits_; }
  int64_t table_values() const override;
  void Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
              ThreadPool& pool = ThreadPool::Global()) const override;
  void Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
              ThreadPool& pool = ThreadPool::Global()) const override;
  // The sum of the first codebooks only: codes (n, count) with count <= codes().
  void DecodeFirst(MatrixView<const uint16_t> codes, MatrixView<float> points,
                   ThreadPool& pool = ThreadPool::Global()) const;

  const std::vector<Codebook>& codebooks() const { return codebooks_; }
  const CodeSearch& search() const { return search_; }

 private:
  int64_t dimension_;
  std::vector<Codebook> codebooks_;
  CodeSearch search_;
  std::vector<int> code_bits_;
};

// What the codebooks of a quantizer leave of the points of another source.
class ResidualSource final : public PointSource {
 public:
  ResidualSource(const PointSource& whole, const CodebookQuantizer& quantizer, ThreadPool& pool)
      : whole_(whole), quantizer_(quantizer), pool_(pool) {}
  int64_t count() const override { return whole_.count(); }
  int64_t dimension() const override { return whole_.dimension(); }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override;

 private:
  const PointSource& whole_;
  const CodebookQuantizer& quantizer_;
  ThreadPool& pool_;
  mutable PointScratch inner_;  // of `whole_`: one reader at a time, as for every source
};

class ProductQuantizer final : public CodebookQuantizer {
 public:
  static std::vector<CodebookShape> Shapes(int64_t dimension, int64_t parts, int64_t codewords);
  static ProductQuantizer Train(const PointSource& source, int64_t parts, int64_t codewords,
                                const CodebookOptions& options = {}, ThreadPool& pool = ThreadPool::Global());

 private:
  explicit ProductQuantizer(CodebookQuantizer trained) : CodebookQuantizer(std::move(trained)) {}
};

class ResidualQuantizer final : public CodebookQuantizer {
 public:
  static std::vector<CodebookShape> Shapes(int64_t dimension, int64_t stages, int64_t codewords);
  static ResidualQuantizer Train(const PointSource& source, int64_t stages, int64_t codewords,
                                 const CodebookOptions& options = {},
                                 ThreadPool& pool = ThreadPool::Global());

 private:
  explicit ResidualQuantizer(CodebookQuantizer trained) : CodebookQuantizer(std::move(trained)) {}
};

class GroupResidualQuantizer final : public CodebookQuantizer {
 public:
  static std::vector<CodebookShape> Shapes(int64_t dimension, int64_t groups, int64_t stages,
                                           int64_t codewords);
  static GroupResidualQuantizer Train(const PointSource& source, int64_t groups, int64_t stages,
                                      int64_t codewords, const CodebookOptions& options = {},
                                      ThreadPool& pool = ThreadPool::Global());

 private:
  explicit GroupResidualQuantizer(CodebookQuantizer trained) : CodebookQuantizer(std::move(trained)) {}
};

class MaskedChannelQuantizer final : public CodebookQuantizer {
 public:
  // `codebooks` in all, of which the first `bands` are masked to one slice each.
  static std::vector<CodebookShape> Shapes(int64_t dimension, int64_t bands, int64_t codebooks,
                                           int64_t codewords);
  static MaskedChannelQuantizer Train(const PointSource& source, int64_t bands, int64_t codebooks,
                                      int64_t codewords, const CodebookOptions& options = {},
                                      ThreadPool& pool = ThreadPool::Global());

 private:
  explicit MaskedChannelQuantizer(CodebookQuantizer trained) : CodebookQuantizer(std::move(trained)) {}
};

}  // namespace lowbit
