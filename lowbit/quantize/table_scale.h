// The scale of one group for a table alphabet, chosen on what is deployed: every candidate is first rounded
// to the scale's own format, codes are those of the table, and the error is that of code times scale.
//
//   error(s) = sum_i w_i (x_i - s level(x_i / s))^2        value = s (code - zero) with a zero point
//
// Search: geometric steps of 2^(1/8) (groups up to 128: 2^(1/16)) from half a standard deviation at the
// outermost level to the greatest magnitude there (small groups: to twice that), then the best scale of the
// codes found (least squares), then steps of 2^(1/32) around.
// Scales of 8 bits are all tried. With a zero point both ends of the range shrink together in 24 steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/format/scalar_format.h"
#include "lowbit/kernel/table_rounding.h"

namespace lowbit {

// `wanted` > 0 in the scale's format, never 0: f16 to nearest within 2^-24 ... 65504, E8M0 to the nearest
// power in the logarithm, E4M3 to nearest of wanted / tensor within 2^-9 ... 448, times tensor.
float RoundScale(ScaleFormat format, float wanted, float tensor);

// The f32 scale of a tensor under which E4M3 scales reach its greatest magnitude; 1 for all other formats and
// for zeros.
float TensorScale(const ScalarFormat& format, const Table& table, std::span<const float> values);

struct GroupScale {
  float scale = 1;
  int zero = 0;      // with a zero point
  double error = 0;  // sum of (weighted) squared errors
};

// One format's search, reused for many groups. Not for two threads at once.
class TableScaler {
 public:
  // Takes `tensor` from TensorScale. kMean and kMedian are for ternary and binary, as the grammar says.
  TableScaler(const ScalarFormat& format, float tensor);

  const Table& table() const { return table_; }
  // x must be finite; `weight` is empty (all 1) or holds one non-negative w_i a value.
  GroupScale Fit(std::span<const float> x, std::span<const float> weight = {});
  // The codes under a scale found by Fit.
  void Encode(std::span<const float> x, const GroupScale& scale, std::span<uint8_t> codes);
  void Decode(std::span<const uint8_t> codes, const GroupScale& scale, std::span<float> values) const;

 private:
  GroupScale FitSymmetric(std::span<const float> x);
  GroupScale FitAffine(std::span<const float> x);
  GroupScale At(std::span<const float> x, float scale, int zero);
  void Try(std::span<const float> x, float wanted, GroupScale& best);
  std::span<const float> Shifted(std::span<const float> x, float offset);

  ScalarFormat format_;
  float tensor_;
  Table table_;
  TableRounder rounder_;
  std::span<const float> weight_;  // of the Fit at work
  std::vector<float> shifted_, values_;
  std::vector<uint8_t> codes_;
  std::vector<float> tried_;
};

}  // namespace lowbit
