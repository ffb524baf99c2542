#include "lowbit/metric/format_distortion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/block_float.h"
#include "lowbit/quantize/table_scale.h"

namespace lowbit {
namespace {

constexpr int64_t kLawColumns = 4096;
constexpr double kHighestRate = 3.5;  // of Blahut and Arimoto; Shannon's bound is tight above

// Uniform in (0, 1), 53 bits.
double Open(Random& random) {
  return (static_cast<double>(random.Next64() >> 11) + 0.5) * 0x1p-53;
}

double Gaussian(Random& random) {
  const double radius = std::sqrt(-2 * std::log(Open(random)));
  return radius * std::cos(2 * std::numbers::pi * Open(random));
}

double Laplace(Random& random) {
  const double u = Open(random);
  return (u < 0.5 ? std::log(2 * u) : -std::log(2 * (1 - u))) / std::numbers::sqrt2;
}

// Bailey's polar method, scaled to unit variance.
double Student(Random& random, double freedom) {
  for (;;) {
    const double u = 2 * Open(random) - 1, v = 2 * Open(random) - 1, w = u * u + v * v;
    if (w >= 1) continue;
    return u * std::sqrt(freedom * (std::pow(w, -2 / freedom) - 1) / w) * std::sqrt((freedom - 2) / freedom);
  }
}

Source Scaled(Source source, double factor) {
  for (double& v : source.value) v *= factor;
  return source;
}

struct Tally {
  double error = 0;
  std::array<int64_t, 256> count{};
};

// As specified rather than searched.
bool IsSpecifiedBlock(const ScalarFormat& f) {
  return f.rule == ScaleRule::kAbsMax && f.group > 0 &&
         (f.scale == ScaleFormat::kE8M0 || f.scale == ScaleFormat::kE4M3);
}

Tally TallyBlocks(const ScalarFormat& format, const MeasuredSource& source) {
  const BlockCodes blocks = EncodeBlocks(format, source.values(), source.rows(), source.cols());
  const std::vector<float> values = DecodeBlocks(format, blocks);
  Tally tally;
  for (size_t i = 0; i < values.size(); ++i) {
    tally.error += std::pow(static_cast<double>(source.values()[i]) - values[i], 2);
    ++tally.count[blocks.codes[i]];
  }
  return tally;
}

Tally TallyGroups(const ScalarFormat& format, const MeasuredSource& source, ThreadPool& pool) {
  const int64_t cols = source.cols(), group = format.group == 0 ? cols : format.group;
  const float tensor = TensorScale(format, TableOf(format.alphabet), source.values());
  std::vector<TableScaler> scalers(static_cast<size_t>(pool.threads()), TableScaler(format, tensor));
  std::vector<Tally> rows(static_cast<size_t>(source.rows()));
  pool.Run(source.rows(), [&](int64_t r, int worker) {
    TableScaler& scaler = scalers[static_cast<size_t>(worker)];
    Tally& tally = rows[static_cast<size_t>(r)];
    std::vector<uint8_t> codes(static_cast<size_t>(group));
    for (int64_t begin = 0; begin < cols; begin += group) {
      const auto n = static_cast<size_t>(std::min(group, cols - begin));
      const auto x = source.values().subspan(static_cast<size_t>(r * cols + begin), n);
      const GroupScale scale = scaler.Fit(x);
      scaler.Encode(x, scale, std::span(codes).first(n));
      for (size_t i = 0; i < n; ++i) ++tally.count[codes[i]];
      tally.error += scale.error;
    }
  });
  Tally all;
  for (const Tally& row : rows) {
    all.error += row.error;
    for (size_t c = 0; c < all.count.size(); ++c) all.count[c] += row.count[c];
  }
  return all;
}

}  // namespace

MeasuredSource::MeasuredSource(std::string name, std::vector<float> values, int64_t cols)
    : name_(std::move(name)), values_(std::move(values)), cols_(cols) {
  if (values_.size() < 64 || cols_ < 1 || static_cast<int64_t>(values_.size()) % cols_ != 0) {
    Fail("{}: {} values in rows of {} are too few to measure", name_, values_.size(), cols_);
  }
  double mean = 0, fourth = 0;
  for (float v : values_) {
    if (!std::isfinite(v)) Fail("{}: a value is not finite", name_);
    mean += v;
  }
  const auto n = static_cast<double>(values_.size());
  mean /= n;
  for (float v : values_) {
    const double d = (v - mean) * (v - mean);
    variance_ += d / n;
    fourth += d * d / n;
  }
  if (!(variance_ > 0)) Fail("{}: all values are the same", name_);
  kurtosis_ = fourth / (variance_ * variance_);
}

MeasuredSource MeasuredSource::OfLaw(const std::string& law, int64_t count, double freedom, uint64_t seed) {
  const int64_t rows = std::max<int64_t>(1, count / kLawColumns);
  std::vector<float> values(static_cast<size_t>(rows * kLawColumns));
  Random random(seed);
  if (law == "gauss") {
    for (float& v : values) v = static_cast<float>(Gaussian(random));
    MeasuredSource source("Gaussian", std::move(values), kLawColumns);
    source.entropy_ = GaussianEntropy();
    return source;
  }
  if (law == "laplace") {
    for (float& v : values) v = static_cast<float>(Laplace(random));
    MeasuredSource source("Laplace", std::move(values), kLawColumns);
    source.entropy_ = LaplaceEntropy();
    source.curve_.emplace(
        DiscretizeDensity([](double x) { return std::exp(-std::numbers::sqrt2 * std::abs(x)); }, 14),
        kHighestRate);
    return source;
  }
  if (law == "student") {
    const double entropy = StudentEntropy(freedom);  // refuses freedom <= 2
    for (float& v : values) v = static_cast<float>(Student(random, freedom));
    MeasuredSource source(fmt::format("Student t, {} degrees", freedom), std::move(values), kLawColumns);
    source.entropy_ = entropy;
    const double scale = freedom - 2;
    source.curve_.emplace(
        DiscretizeDensity([&](double x) { return std::pow(1 + x * x / scale, -(freedom + 1) / 2); }, 60),
        kHighestRate);
    return source;
  }
  FailUsage("\"{}\" is not a law; gauss, laplace and student are", law);
}

MeasuredSource MeasuredSource::OfTensor(const std::string& name, std::vector<float> values, int64_t cols) {
  MeasuredSource source(name, std::move(values), cols);
  const double deviation = std::sqrt(source.variance_);
  source.entropy_ = EntropyOfSample(source.values_) - std::log2(deviation);
  source.curve_.emplace(Scaled(HistogramOf(source.values_), 1 / deviation), kHighestRate);
  return source;
}

double MeasuredSource::Bound(double rate) const {
  const double shannon = ShannonLowerBound(entropy_, rate);
  return curve_ ? std::max(shannon, curve_->DistortionAt(rate)) : shannon;
}

double MeasuredSource::RateFor(double mse) const {
  const double shannon = entropy_ - std::log2(mse * 2 * std::numbers::pi * std::numbers::e) / 2;
  return std::max(0.0, curve_ ? std::max(shannon, curve_->RateAt(mse)) : shannon);
}

FormatDistortion MeasureFormat(const ScalarFormat& format, const MeasuredSource& source, ThreadPool& pool) {
  const Tally tally =
      IsSpecifiedBlock(format) ? TallyBlocks(format, source) : TallyGroups(format, source, pool);
  const auto n = static_cast<double>(source.values().size());
  const int64_t cols = source.cols(), width = format.group == 0 ? cols : format.group;
  // The last group of a row may be short.
  const double group = static_cast<double>(cols) / static_cast<double>((cols + width - 1) / width);
  const Table table = TableOf(format.alphabet);
  FormatDistortion result{.format = format, .name = NameOf(format)};
  result.bits = BitsPerValue(format, group) + (format.scale == ScaleFormat::kE4M3 ? 32 / n : 0);
  result.coded_bits = result.bits - StoredBits(format.alphabet) + EntropyOf(tally.count);
  result.mse = tally.error / n / source.variance();
  result.bound = source.Bound(result.bits);
  result.gap_db = 10 * std::log10(result.mse / result.bound);
  const double rate = source.RateFor(result.mse);
  result.gap_bits = result.bits - rate;
  result.coded_gap = result.coded_bits - rate;
  result.arithmetic = ExactArithmetic(table);
  result.byte_error = DecodeToBytes(table).error;
  return result;
}

std::vector<ScalarFormat> FormatsToMeasure() {
  std::vector<ScalarFormat> formats;
  for (const char* alphabet :
       {"binary",         "ternary",      "int2",         "int3",         "int4",           "int5",
        "int6",           "int8",         "int2-asym",    "int3-asym",    "int4-asym",      "lloyd1-gauss",
        "lloyd2-gauss",   "lloyd3-gauss", "lloyd4-gauss", "lloyd5-gauss", "lloyd2-laplace", "lloyd3-laplace",
        "lloyd4-laplace", "nf4",          "iq4nl",        "e2m1",         "e3m0",           "e1m2",
        "e2m3",           "e3m2",         "e4m3",         "e5m2",         "apot3",          "apot4",
        "apot5",          "pot3",         "pot4",         "post4",        "nupes3-p0.7",    "nupes4-p0.5",
        "nupes4-p0.7",    "nested8-2",    "nested8-4"}) {
    for (const char* scaling : {"", "-g128", "-g64", "-g32-e8m0", "-g16-e4m3"}) {
      formats.push_back(ParseScalarFormat(std::string(alphabet) + scaling));
    }
  }
  for (const char* name : {"binary-mean", "ternary-mean", "ternary-median", "mxfp4", "nvfp4", "mxfp6-e2m3",
                           "mxfp6-e3m2", "mxfp8-e4m3", "mxfp8-e5m2", "mxint8", "nf4-g64-absmax"}) {
    formats.push_back(ParseScalarFormat(name));
  }
  return formats;
}

}  // namespace lowbit
