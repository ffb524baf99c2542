// Additive quantization: M full-width codebooks whose codewords add up, trained together.
//
//   x ~ sum_m C_m[b_m],   C_m (K, d)                                        (Babenko and Lempitsky 2014)
// Starts as a residual quantizer, then alternates two steps that each lower the distortion: all codebooks at
// once by least squares for the codes as they are, and iterated beam search for the codes
// (codebook_search.h). With B the (n, M K) matrix of ones at the chosen codewords and W the weights, the
// codebooks solve
//   (B^T W B + lambda I) C = B^T W X + lambda C_before;
// the pull to the codebooks before makes the solution unique (adding a vector to one codebook and taking it
// from another changes nothing) and the error no larger than theirs.
#pragma once

#include <vector>

#include "lowbit/quantize/codebook_quantizer.h"

namespace lowbit {

struct AdditiveOptions {
  CodebookOptions start{.search = {.beam = 4, .sweeps = 1}};  // the search also of every round
  int64_t rounds = 10;
  double tolerance = 1e-3;  // ends when a round lowers the distortion by less than this share
};

class AdditiveQuantizer final : public CodebookQuantizer {
 public:
  // Throws lowbit::Error as CodebookQuantizer::Train, and when codebooks times codewords exceed 8192 (the
  // normal equations of all codewords are solved as one dense system).
  static AdditiveQuantizer Train(const PointSource& source, int64_t codebooks, int64_t codewords,
                                 const AdditiveOptions& options = {},
                                 ThreadPool& pool = ThreadPool::Global());

  // Distortion of the training points: of the start, then after the codes of each round.
  const std::vector<double>& distortion() const { return distortion_; }

 private:
  AdditiveQuantizer(CodebookQuantizer trained, std::vector<double> distortion)
      : CodebookQuantizer(std::move(trained)), distortion_(std::move(distortion)) {}

  std::vector<double> distortion_;
};

}  // namespace lowbit
