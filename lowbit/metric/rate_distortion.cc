#include "lowbit/metric/rate_distortion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "lowbit/base/error.h"
#include "lowbit/base/log_gamma.h"

namespace lowbit {
namespace {

constexpr double kTwoPiE = 2 * std::numbers::pi * std::numbers::e;

// Natural logarithms inside, bits outside.
constexpr double kBits = std::numbers::log2e;

// Four sums, so that the compiler may use vectors.
double Dot(const double* a, const double* b, size_t n) {
  double sums[4] = {};
  size_t j = 0;
  for (; j + 4 <= n; j += 4) {
    for (size_t k = 0; k < 4; ++k) sums[k] += a[j + k] * b[j + k];
  }
  for (; j < n; ++j) sums[0] += a[j] * b[j];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

double EntropyOf(std::span<const int64_t> counts) {
  double total = 0, sum = 0;
  for (int64_t count : counts) total += static_cast<double>(count);
  for (int64_t count : counts) {
    if (count > 0) sum -= static_cast<double>(count) * std::log2(static_cast<double>(count) / total);
  }
  return total == 0 ? 0 : sum / total;
}

double GaussianDistortion(double variance, double rate) {
  return variance * std::exp2(-2 * rate);
}

double ShannonLowerBound(double entropy, double rate) {
  return std::exp2(2 * (entropy - rate)) / kTwoPiE;
}

double GaussianEntropy() {
  return std::log2(kTwoPiE) / 2;
}

double LaplaceEntropy() {
  return std::log2(std::numbers::e * std::numbers::sqrt2);
}

double StudentEntropy(double freedom) {
  if (!(freedom > 2))
    Fail("Student's t with {} degrees of freedom has no variance; more than 2 is possible", freedom);
  const double half = (freedom + 1) / 2;
  // h = (v+1)/2 (psi((v+1)/2) - psi(v/2)) + ln(sqrt v B(v/2, 1/2)); the difference of digammas as a series:
  // psi(x + 1/2) - psi(x) = sum_k 1 / ((x + k)(2 (x + k) + 1)), its tail by the integral.
  double difference = 0;
  constexpr int kTerms = 20000;
  for (int k = 0; k < kTerms; ++k) {
    const double x = freedom / 2 + k;
    difference += 1 / (x * (2 * x + 1));
  }
  difference += 1 / (2 * (freedom / 2 + kTerms));
  const double beta = LogGamma(freedom / 2) + LogGamma(0.5) - LogGamma(half);
  const double natural = half * difference + std::log(freedom) / 2 + beta;
  return natural * kBits + std::log2((freedom - 2) / freedom) / 2;
}

double EntropyOfSample(std::span<const float> values) {
  if (values.size() < 8) Fail("{} values tell no entropy; 8 or more do", values.size());
  std::vector<float> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size(), m = static_cast<size_t>(std::sqrt(static_cast<double>(n)));
  double sum = 0;
  size_t count = 0;
  for (size_t i = m; i + m < n; ++i, ++count) {
    const double spread = static_cast<double>(sorted[i + m]) - sorted[i - m];
    sum += std::log2(spread * static_cast<double>(n) / static_cast<double>(2 * m));
  }
  return sum / static_cast<double>(count);
}

double Source::Variance() const {
  double mean = 0, square = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    mean += probability[i] * value[i];
    square += probability[i] * value[i] * value[i];
  }
  return square - mean * mean;
}

std::vector<double> CellEdges(double reach, double middle, int cells) {
  if (!(reach > 0) || !(middle > 0) || cells < 2) Fail("{} cells over a reach of {}", cells, reach);
  // Width of the middle is 2 a reach / (cells sinh a), falling in a.
  double low = 1e-3, high = 30;
  for (int i = 0; i < 60; ++i) {
    const double a = (low + high) / 2;
    (2 * a * reach / (cells * std::sinh(a)) > middle ? low : high) = a;
  }
  std::vector<double> edges;
  for (int k = 0; k <= cells; ++k) {
    edges.push_back(reach * std::sinh(low * (2.0 * k / cells - 1)) / std::sinh(low));
  }
  return edges;
}

Source HistogramOf(std::span<const float> values, int cells) {
  double reach = 0, sums = 0, squares = 0;
  for (float v : values) {
    reach = std::max(reach, std::abs(static_cast<double>(v)));
    sums += v;
    squares += static_cast<double>(v) * v;
  }
  if (!(reach > 0) || !std::isfinite(reach)) Fail("a histogram needs finite values, not all of them 0");
  const auto n = static_cast<double>(values.size());
  const double deviation = std::sqrt(std::max(0.0, squares / n - sums / n * (sums / n)));
  const std::vector<double> edges = CellEdges(reach, std::max(deviation / 30, 1e-6 * reach), cells);
  std::vector<int64_t> count(static_cast<size_t>(cells));
  std::vector<double> sum(count.size());
  for (float v : values) {
    const auto above = std::upper_bound(edges.begin(), edges.end(), static_cast<double>(v));
    const auto k = static_cast<size_t>(std::clamp<std::ptrdiff_t>(above - edges.begin() - 1, 0, cells - 1));
    ++count[k];
    sum[k] += v;
  }
  Source source;
  for (size_t k = 0; k < count.size(); ++k) {
    if (count[k] == 0) continue;
    source.value.push_back(sum[k] / static_cast<double>(count[k]));
    source.probability.push_back(static_cast<double>(count[k]) / static_cast<double>(values.size()));
  }
  return source;
}

RatePoint BlahutArimoto(std::span<const double> probability, std::span<const double> distortion, double slope,
                        const BlahutArimotoOptions& options, std::vector<double>* reproduction) {
  const size_t n = probability.size();
  if (n == 0 || distortion.size() % n != 0) {
    Fail("{} distortions for {} letters of a source", distortion.size(), n);
  }
  const size_t m = distortion.size() / n;
  std::vector<double> kernel(distortion.size()), ratio(m), output(m, 1.0 / static_cast<double>(m));
  if (reproduction != nullptr && reproduction->size() == m) output = *reproduction;
  for (size_t i = 0; i < kernel.size(); ++i) kernel[i] = std::exp(-slope * distortion[i]);
  double most = 0, logs = 0, before = -std::numeric_limits<double>::infinity(), power = 1;
  std::vector<double> saved = output;
  for (int iteration = 0; iteration < options.most_iterations; ++iteration) {
    std::fill(ratio.begin(), ratio.end(), 0.0);
    logs = 0;
    for (size_t i = 0; i < n; ++i) {
      const double* row = kernel.data() + i * m;
      const double z = Dot(row, output.data(), m);
      logs += probability[i] * std::log(z);
      const double share = probability[i] / z;
      for (size_t j = 0; j < m; ++j) ratio[j] += share * row[j];
    }
    double spread = 0;
    most = 0;
    for (size_t j = 0; j < m; ++j) {
      const double logarithm = ratio[j] > 0 ? std::log(ratio[j]) : -1e3;
      most = std::max(most, logarithm);
      spread += output[j] * ratio[j] * logarithm;
    }
    if ((most - spread) * kBits < options.tolerance) break;
    // Plain steps (power 1) always gain, but little where the output law shrinks to a few points; longer ones
    // are taken as long as they gain too.
    if (logs < before) {
      output = saved;
      power = 1;
      before = -std::numeric_limits<double>::infinity();
      continue;
    }
    before = logs;
    saved = output;
    double total = 0;
    for (size_t j = 0; j < m; ++j) {
      output[j] *= power == 1 ? ratio[j] : std::pow(ratio[j], power);
      total += output[j];
    }
    for (double& q : output) q /= total;
    power = std::min(power * 1.15, 200.0);
  }
  double mean = 0;
  for (size_t i = 0; i < n; ++i) {
    double sum = 0, z = 0;
    for (size_t j = 0; j < m; ++j) {
      const double share = kernel[i * m + j] * output[j];
      sum += share * distortion[i * m + j];
      z += share;
    }
    mean += probability[i] * sum / z;
  }
  if (reproduction != nullptr) *reproduction = output;
  return {std::max(0.0, (-slope * mean - logs - most) * kBits), mean};
}

RateDistortion::RateDistortion(const Source& source, double highest_rate) {
  const size_t n = source.value.size();
  const double variance = source.Variance();
  if (!(variance > 0)) Fail("a source of one value has no rate to trade");
  std::vector<double> distortion(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      distortion[i * n + j] = (source.value[i] - source.value[j]) * (source.value[i] - source.value[j]);
    }
  }
  std::vector<double> output = source.probability;
  // At high rates D = 1 / (2 slope); half a bit doubles the slope. The output law of one slope starts the
  // next.
  for (double rate = highest_rate + 0.5; rate > -1; rate -= rate > 1.5 ? 0.25 : 0.125) {
    const RatePoint point =
        BlahutArimoto(source.probability, distortion, std::exp2(2 * rate) / (2 * variance), {}, &output);
    if (point.rate < 1e-3) break;
    points_.push_back(point);
    for (double& q : output) q = (q + 1e-9 / static_cast<double>(n)) / (1 + 1e-9);
  }
  points_.push_back({0, variance});
  std::reverse(points_.begin(), points_.end());
}

double RateDistortion::DistortionAt(double rate) const {
  const auto above = std::partition_point(points_.begin(), points_.end(),
                                          [&](const RatePoint& p) { return p.rate <= rate; });
  if (above == points_.begin()) return points_.front().distortion;
  const RatePoint& low = *(above - 1);
  if (above == points_.end()) return low.distortion * std::exp2(-2 * (rate - low.rate));
  const double share = (rate - low.rate) / (above->rate - low.rate);
  return std::exp((1 - share) * std::log(low.distortion) + share * std::log(above->distortion));
}

double RateDistortion::RateAt(double distortion) const {
  if (distortion >= points_.front().distortion) return 0;
  const auto after = std::partition_point(points_.begin(), points_.end(),
                                          [&](const RatePoint& p) { return p.distortion >= distortion; });
  const RatePoint& low = *(after - 1);
  if (after == points_.end()) return low.rate + std::log2(low.distortion / distortion) / 2;
  const double share = std::log(low.distortion / distortion) / std::log(low.distortion / after->distortion);
  return low.rate + share * (after->rate - low.rate);
}

}  // namespace lowbit
