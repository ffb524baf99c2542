#include "lowbit/quantize/codebook_search.h"

#include <algorithm>
#include <numeric>

#include "lowbit/kernel/nearest.h"

namespace lowbit {
namespace {

// Points searched together, whole tiles of every kernel: with a beam their residuals stay in L2, without one
// more of them share the cost of a call.
constexpr int64_t kBeamTile = 96, kTile = 480;

// Codebooks that reach each other through shared channels, in their order.
std::vector<std::vector<int>> Chains(std::span<const Codebook> codebooks) {
  std::vector<int> chain(codebooks.size());
  std::iota(chain.begin(), chain.end(), 0);
  for (size_t a = 0; a < codebooks.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      const CodebookShape &x = codebooks[a].shape, &y = codebooks[b].shape;
      if (x.first < y.first + y.width && y.first < x.first + x.width) {
        const int from = std::max(chain[a], chain[b]), to = std::min(chain[a], chain[b]);
        std::replace(chain.begin(), chain.end(), from, to);
      }
    }
  }
  std::vector<std::vector<int>> chains;
  for (size_t root = 0; root < codebooks.size(); ++root) {
    std::vector<int> members;
    for (size_t m = 0; m < codebooks.size(); ++m) {
      if (chain[m] == static_cast<int>(root)) members.push_back(static_cast<int>(m));
    }
    if (!members.empty()) chains.push_back(std::move(members));
  }
  return chains;
}

// Beam search of one chain over one tile of points. A hypothesis is a set of codes and what it leaves of its
// point; those of point p lie at p * live_ on, best first.
class ChainSearch {
 public:
  ChainSearch(std::span<const Codebook> codebooks, const std::vector<int>& chain, const CodeSearch& search,
              ThreadPool& pool)
      : codebooks_(codebooks), chain_(chain), beam_(search.beam), sweeps_(search.sweeps), pool_(pool) {
    first_ = codebooks[static_cast<size_t>(chain[0])].shape.first;
    int64_t end = 0;
    for (const int m : chain) {
      const CodebookShape& shape = codebooks[static_cast<size_t>(m)].shape;
      first_ = std::min(first_, shape.first);
      end = std::max(end, shape.first + shape.width);
    }
    width_ = end - first_;
  }

  void Run(MatrixView<const float> points, MatrixView<uint16_t> codes, StartCodes start) {
    points_ = points.Block(0, first_, points.rows, width_);
    if (chain_.size() == 1) {
      Single(codes);
      return;
    }
    live_ = 1;
    distinct_.assign(static_cast<size_t>(points.rows), 1);
    residual_.resize(static_cast<size_t>(points.rows * width_));
    codes_.assign(static_cast<size_t>(points.rows) * chain_.size(), 0);
    for (int64_t p = 0; p < points.rows; ++p) std::copy_n(points_.Row(p), width_, Residual(p, 0));
    if (start == StartCodes::kGiven) {
      for (int64_t p = 0; p < points.rows; ++p) {
        for (size_t i = 0; i < chain_.size(); ++i) {
          Codes(p, 0)[i] = codes(p, chain_[i]);
          AddWord(i, codes(p, chain_[i]), -1, Residual(p, 0));
        }
      }
    } else {
      for (size_t i = 0; i < chain_.size(); ++i) Choose(i, StartCodes::kNone);
    }
    for (int sweep = 0; sweep < sweeps_; ++sweep) {
      for (size_t i = 0; i < chain_.size(); ++i) Choose(i, StartCodes::kGiven);
    }
    for (int64_t p = 0; p < points.rows; ++p) {
      for (size_t i = 0; i < chain_.size(); ++i) codes(p, chain_[i]) = Codes(p, 0)[i];
    }
  }

 private:
  struct Candidate {
    float error;
    int32_t hypothesis;
    uint32_t code;
  };

  const Codebook& Book(size_t i) const { return codebooks_[static_cast<size_t>(chain_[i])]; }
  float* Residual(int64_t p, int64_t b) { return residual_.data() + (p * live_ + b) * width_; }
  uint16_t* Codes(int64_t p, int64_t b) {
    return codes_.data() + static_cast<size_t>(p * live_ + b) * chain_.size();
  }
  // residual += sign * codeword
  void AddWord(size_t i, uint32_t code, float sign, float* residual) const {
    const Codebook& book = Book(i);
    const float* word = book.words.data() + static_cast<int64_t>(code) * book.shape.width;
    float* to = residual + (book.shape.first - first_);
    for (int64_t c = 0; c < book.shape.width; ++c) to[c] += sign * word[c];
  }

  void Single(MatrixView<uint16_t> codes) {
    const Codebook& book = Book(0);
    index_.resize(static_cast<size_t>(points_.rows));
    NearestCentroids(points_, book.view(), book.half_norms.data(), 1, index_.data(), nullptr, pool_);
    for (int64_t p = 0; p < points_.rows; ++p)
      codes(p, chain_[0]) = static_cast<uint16_t>(index_[static_cast<size_t>(p)]);
  }

  // Extends every hypothesis by code i, or chooses its code i anew, and keeps the best of all.
  void Choose(size_t i, StartCodes present) {
    const Codebook& book = Book(i);
    const int64_t n = points_.rows, each = std::min<int64_t>(beam_, book.shape.size);
    if (present == StartCodes::kGiven) {
      for (int64_t p = 0; p < n; ++p) {
        for (int64_t b = 0; b < live_; ++b) AddWord(i, Codes(p, b)[i], 1, Residual(p, b));
      }
    }
    index_.resize(static_cast<size_t>(n * live_ * each));
    score_.resize(index_.size());
    const float* slice = residual_.data() + (book.shape.first - first_);
    NearestCentroids({slice, n * live_, book.shape.width, width_}, book.view(), book.half_norms.data(), each,
                     index_.data(), score_.data(), pool_);
    const int64_t keep = std::min<int64_t>(beam_, live_ * each);
    next_residual_.resize(static_cast<size_t>(n * keep * width_));
    next_codes_.resize(static_cast<size_t>(n * keep) * chain_.size());
    for (int64_t p = 0; p < n; ++p) Keep(p, i, each, keep);
    live_ = keep;
    std::swap(residual_, next_residual_);
    std::swap(codes_, next_codes_);
  }

  // The best continuations of point p, each set of codes once. Places that remain are filled with the first,
  // and not continued: what other points find makes no difference.
  void Keep(int64_t p, size_t i, int64_t each, int64_t keep) {
    const int64_t distinct = distinct_[static_cast<size_t>(p)];
    candidates_.clear();
    for (int64_t b = 0; b < distinct; ++b) {
      const float* r = Residual(p, b);
      float left = 0;
      if (distinct > 1) {
        for (int64_t c = 0; c < width_; ++c) left += r[c] * r[c];
      }
      for (int64_t e = 0; e < each; ++e) {
        const auto at = static_cast<size_t>((p * live_ + b) * each + e);
        candidates_.push_back({left + 2 * score_[at], static_cast<int32_t>(b), index_[at]});
      }
    }
    if (distinct > 1) {  // one hypothesis has its candidates in order
      std::stable_sort(candidates_.begin(), candidates_.end(),
                       [](const Candidate& a, const Candidate& b) { return a.error < b.error; });
    }
    int64_t kept = 0;
    for (const Candidate& candidate : candidates_) {
      if (kept == keep) break;
      uint16_t* to = next_codes_.data() + static_cast<size_t>(p * keep + kept) * chain_.size();
      std::copy_n(Codes(p, candidate.hypothesis), chain_.size(), to);
      to[i] = static_cast<uint16_t>(candidate.code);
      bool known = false;
      for (int64_t other = 0; other < kept && !known; ++other) {
        const uint16_t* a = next_codes_.data() + static_cast<size_t>(p * keep + other) * chain_.size();
        known = std::equal(a, a + chain_.size(), to);
      }
      if (known) continue;
      float* residual = next_residual_.data() + (p * keep + kept) * width_;
      std::copy_n(Residual(p, candidate.hypothesis), width_, residual);
      AddWord(i, candidate.code, -1, residual);
      ++kept;
    }
    distinct_[static_cast<size_t>(p)] = kept;
    for (int64_t b = kept; b < keep; ++b) {
      std::copy_n(next_residual_.data() + p * keep * width_, width_,
                  next_residual_.data() + (p * keep + b) * width_);
      const uint16_t* first = next_codes_.data() + static_cast<size_t>(p * keep) * chain_.size();
      std::copy_n(first, chain_.size(),
                  next_codes_.data() + static_cast<size_t>(p * keep + b) * chain_.size());
    }
  }

  std::span<const Codebook> codebooks_;
  const std::vector<int>& chain_;
  int64_t beam_, sweeps_;
  ThreadPool& pool_;
  int64_t first_, width_, live_ = 1;
  MatrixView<const float> points_;
  std::vector<float> residual_, next_residual_, score_;
  std::vector<uint16_t> codes_, next_codes_;
  std::vector<uint32_t> index_;
  std::vector<int64_t> distinct_;  // hypotheses of each point that differ, of live_
  std::vector<Candidate> candidates_;
};

}  // namespace

Codebook::Codebook(const CodebookShape& shape_in, std::vector<float> words_in)
    : shape(shape_in), words(std::move(words_in)), half_norms(HalfSquaredNorms(view())) {}

void SearchCodes(std::span<const Codebook> codebooks, const CodeSearch& search,
                 MatrixView<const float> points, MatrixView<uint16_t> codes, ThreadPool& pool,
                 StartCodes start) {
  const std::vector<std::vector<int>> chains = Chains(codebooks);
  const int64_t tile = search.beam > 1 ? kBeamTile : kTile;
  pool.Run((points.rows + tile - 1) / tile, [&](int64_t task, int) {
    const int64_t first = task * tile, rows = std::min(tile, points.rows - first);
    for (const std::vector<int>& chain : chains) {
      ChainSearch(codebooks, chain, search, pool)
          .Run(points.Block(first, 0, rows, points.cols), codes.Block(first, 0, rows, codes.cols), start);
    }
  });
}

void SumCodewords(std::span<const Codebook> codebooks, MatrixView<const uint16_t> codes,
                  MatrixView<float> points, ThreadPool& pool) {
  pool.Run((points.rows + kTile - 1) / kTile, [&](int64_t task, int) {
    for (int64_t p = task * kTile; p < std::min(points.rows, (task + 1) * kTile); ++p) {
      float* const x = points.Row(p);
      std::fill_n(x, points.cols, 0.0f);
      for (size_t m = 0; m < codebooks.size(); ++m) {
        const CodebookShape& shape = codebooks[m].shape;
        const float* word = codebooks[m].words.data() + codes(p, static_cast<int64_t>(m)) * shape.width;
        for (int64_t c = 0; c < shape.width; ++c) x[shape.first + c] += word[c];
      }
    }
  });
}

}  // namespace lowbit
