// Activations rounded to 8 bits, the right operand of the packed matrix product.
//
// Each token's row of K columns is cut into blocks of 128; a block has one f32 scale s = max|x| / 127 and
// codes q = round(x / s) in [-127, 127], ties to even. 128 is the widest the engine allows: the scale is then
// applied once for every 32 byte dots of a lane. (A scale for every 32 columns would cost one more
// multiplication for every 8 dots.)
//
// Outliers: a column far above the others of its block would leave them few codes. It gets code 0, stays out
// of the maximum, and is multiplied in f32 (matmul.h). Columns are taken from the largest on, at most
// kMostOutliers of a block, as long as |x| > kOutlierRatio * (the mean of |x| over the columns that are
// left); the same idea as in LLM.int8() (Dettmers et al. 2022), but for each token and block.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/base/buffer.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

inline constexpr int kActivationBlock = 128;
inline constexpr int kMostOutliers = 4;
inline constexpr float kOutlierRatio = 10;

// x[token, column], which the codes leave out.
struct Outlier {
  int32_t column, token;
  float value;
};

// T rows of K columns in codes. Memory grows to the largest T x K seen and is then reused: the token loop
// allocates nothing.
class QuantizedActivations {
 public:
  // Rounds x (T, K), row t at x + t * stride. Padding columns get code 0. A NaN or an infinity in a block
  // makes that block's scale NaN, so that it shows in the result.
  void Quantize(const float* x, int64_t tokens, int64_t cols, int64_t stride, ThreadPool& pool);

  int64_t tokens() const { return tokens_; }
  int64_t cols() const { return cols_; }
  // Columns rounded up to whole blocks: the stride of codes().
  int64_t padded() const { return padded_; }

  const int8_t* codes(int64_t token) const { return codes_.data() + token * padded_; }
  // One f32 for each block: (padded / 128).
  const float* scales(int64_t token) const { return scales_.data() + token * (padded_ / kActivationBlock); }
  // Sums of the codes of every 16 << level columns, level 0..3: (padded / (16 << level)). They carry the
  // offsets of the weight format.
  const int32_t* sums(int level, int64_t token) const {
    const int64_t units = padded_ / 16;
    return sums_.data() + (2 * units - (2 * units >> level)) * tokens_ + token * (units >> level);
  }
  // Ordered by column, then by token.
  std::span<const Outlier> outliers() const { return {outliers_.data(), outlier_count_}; }

 private:
  void CollectOutliers();

  int64_t tokens_ = 0, cols_ = 0, padded_ = 0;
  Buffer<int8_t> codes_;
  Buffer<float> scales_;
  Buffer<int32_t> sums_;      // level 0 of all tokens, then level 1, ...
  Buffer<Outlier> found_;     // kMostOutliers a block, block by block of each token
  Buffer<uint8_t> found_in_;  // how many of them are used
  Buffer<Outlier> outliers_;
  Buffer<uint32_t> first_of_column_;
  size_t outlier_count_ = 0;
};

}  // namespace lowbit
