// The search for codes over a sum of codebooks, the one mechanism behind product, residual, group-residual,
// masked-channel and additive quantizers: they differ only in the channels that each codebook covers.
//
//   x ~ sum_m C_m[b_m],   codebook m: `size` codewords over channels [first, first + width), zero elsewhere.
// Codes are chosen codebook by codebook, each the nearest codeword of what is left of the point. With a beam
// of B the B best partial sums are kept at every step. Codebooks that share no channel, directly or through
// others, do not influence one another and are searched apart (a product is therefore exact whatever the
// beam). Sweeps then go over the codebooks again: each code in turn is freed and chosen anew, which never
// makes a point worse (iterated beam search, as in AQLM: Egiazarian et al. 2024).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

struct CodebookShape {
  int64_t first, width;  // channels
  int64_t size;          // codewords, 1 to 65536
};

struct Codebook {
  CodebookShape shape;
  std::vector<float> words;       // (size, width)
  std::vector<float> half_norms;  // (size), kernel/nearest.h

  Codebook(const CodebookShape& shape_in, std::vector<float> words_in);
  MatrixView<const float> view() const { return {words.data(), shape.size, shape.width}; }
};

struct CodeSearch {
  int beam = 1;
  int sweeps = 0;
};

enum class StartCodes : uint8_t { kNone, kGiven };

// points (n, d) -> codes (n, codebooks). kGiven: sweeps start from the codes that are there.
void SearchCodes(std::span<const Codebook> codebooks, const CodeSearch& search,
                 MatrixView<const float> points, MatrixView<uint16_t> codes, ThreadPool& pool,
                 StartCodes start = StartCodes::kNone);

// points (n, d) = the sums that the codes of the first codebooks.size() columns name.
void SumCodewords(std::span<const Codebook> codebooks, MatrixView<const uint16_t> codes,
                  MatrixView<float> points, ThreadPool& pool);

}  // namespace lowbit
