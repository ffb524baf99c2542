// Scalar number formats measured beside what is possible at their bits.
//
//   mse         sum (x - value)^2 / (n variance): relative to the variance of the data
//   bits        of a value, all side information counted: codes, scales, zero points, the tensor's scale
//   coded bits  the same with the codes at the entropy of their frequencies, one table for all groups: what
//               ideal entropy coding would leave
//   gap         how far above the bound: in dB at equal bits, in bits at equal mse
//
// Scales minimise the squared error on the deployed grid unless the format says otherwise (table_scale.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lowbit/base/thread_pool.h"
#include "lowbit/format/byte_decode.h"
#include "lowbit/format/scalar_format.h"
#include "lowbit/metric/rate_distortion.h"

namespace lowbit {

// Values to quantize, (rows, cols), and the least error at a rate.
class MeasuredSource {
 public:
  // Independent values of a law of unit variance: "gauss", "laplace", "student" (t with `freedom` degrees).
  // `count` is rounded down to rows of 4096. The bound is that of the law.
  static MeasuredSource OfLaw(const std::string& law, int64_t count, double freedom, uint64_t seed);
  // A real tensor; the bound takes its values as independent draws from their histogram. Throws Error when a
  // value is not finite or all are the same.
  static MeasuredSource OfTensor(const std::string& name, std::vector<float> values, int64_t cols);

  const std::string& name() const { return name_; }
  std::span<const float> values() const { return values_; }
  int64_t rows() const { return static_cast<int64_t>(values_.size()) / cols_; }
  int64_t cols() const { return cols_; }
  double variance() const { return variance_; }
  double kurtosis() const { return kurtosis_; }  // 3 for a Gaussian
  // Differential entropy of the values over their standard deviation, bits; -infinity where values repeat.
  double entropy() const { return entropy_; }

  // The greater of Blahut and Arimoto's and Shannon's lower bound, relative to the variance; its inverse.
  double Bound(double rate) const;
  double RateFor(double mse) const;

 private:
  MeasuredSource(std::string name, std::vector<float> values, int64_t cols);

  std::string name_;
  std::vector<float> values_;
  int64_t cols_ = 0;
  double variance_ = 0, kurtosis_ = 0, entropy_ = 0;
  std::optional<RateDistortion> curve_;  // relative to the variance; none for the Gaussian law
};

struct FormatDistortion {
  ScalarFormat format;
  std::string name;
  double bits = 0, coded_bits = 0, mse = 0;
  double bound = 0;      // at `bits`
  double gap_db = 0;     // of mse over the bound
  double gap_bits = 0;   // of bits over the rate of the bound at mse
  double coded_gap = 0;  // of coded bits over the same
  Arithmetic arithmetic = Arithmetic::kF32;
  double byte_error = 0;  // of one int8 table, relative to the greatest level
};

FormatDistortion MeasureFormat(const ScalarFormat& format, const MeasuredSource& source, ThreadPool& pool);

// The formats measured unless others are named: every signed alphabet up to 8 bits, with one f16 scale a row,
// 128 or 64 values, E8M0 a block of 32 and E4M3 a block of 16, and the block formats as specified.
std::vector<ScalarFormat> FormatsToMeasure();

}  // namespace lowbit
