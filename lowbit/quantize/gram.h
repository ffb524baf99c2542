// Second moments of a layer's inputs, gathered while calibration data streams by.
//
// X (T, C) holds one token a row, C the layer's inputs. The Hessian of the layer's squared output error is
//   H = 2/n sum X^T X            (C, C), n the number of calibration *sequences*   [GPTQ, Hessian
//   accumulation]
// which equals the reference's running mean (H *= n/(n+b); n += b; H += 2/n X^T X): the sum is kept and
// divided once. `ImportanceAccumulator` keeps the diagonal alone, per token: the importance that llama.cpp's
// importance-matrix files store.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

// T is what sums are kept in: float halves memory and time, double is for small or badly conditioned layers.
template <typename T>
class HessianAccumulator {
 public:
  explicit HessianAccumulator(int64_t columns, ThreadPool& pool = ThreadPool::Global());

  // Adds the tokens of `sequences` calibration sequences. Throws lowbit::Error naming token and column when X
  // holds a NaN or infinity (or a value whose square overflows); the sums are then spoiled.
  void Add(MatrixView<const float> x, int64_t sequences = 1);

  int64_t columns() const { return columns_; }
  int64_t sequences() const { return sequences_; }
  int64_t tokens() const { return tokens_; }

  // Columns that were zero in every token: no calibration data says anything about their weights.
  std::vector<int32_t> DeadColumns() const;
  // Diagonal of H (C): the importance of each input.
  std::vector<float> Diagonal() const;
  // H (C, C), both triangles. Leaves the accumulator empty. Throws when nothing was added.
  Buffer<T> Finish();

 private:
  int64_t columns_, sequences_ = 0, tokens_ = 0;
  ThreadPool& pool_;
  Buffer<T> sum_;   // (C, C) upper triangle of sum X^T X
  Buffer<T> wide_;  // (tokens of one call, C) X in T when T is double
};

// sum x^2 over tokens, one value a column; optionally each token has its own weight.
class ImportanceAccumulator {
 public:
  explicit ImportanceAccumulator(int64_t columns) : sum_(static_cast<size_t>(columns), 0.0) {}

  // `token_weights` is empty (all one) or holds one non-negative weight a token. Throws as
  // HessianAccumulator.
  void Add(MatrixView<const float> x, std::span<const float> token_weights = {});
  // Takes over sums read from a file: `mean` (C) is the mean square over `weight` tokens.
  void AddMean(std::span<const float> mean, double weight);

  double weight() const { return weight_; }
  // sum x^2 of each column (C).
  const std::vector<double>& Sum() const { return sum_; }
  // Mean square of each column (C). Throws when nothing was added.
  std::vector<float> Mean() const;

 private:
  std::vector<double> sum_;
  double weight_ = 0;
};

}  // namespace lowbit
