// How far a quantizer is from what is possible: the least mean squared error at a rate, for independent
// values of one law.
//
//   Gaussian        D(R) = variance 4^-R
//   any density     D(R) >= 2^(2 h - 2 R) / (2 pi e)   h the differential entropy in bits (Shannon's
//                                                      bound, reached at high rates)
//   any histogram   R(D) by Blahut's and Arimoto's iteration
//
// Rates in bits a value. "Independent" is an assumption: where scale or neighbours tell something about a
// value (groups of weights of different size), a format that uses it may lie below these bounds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

// sum_i p_i log2(1 / p_i) of the shares of `counts`: bits a symbol of ideal entropy coding.
double EntropyOf(std::span<const int64_t> counts);

double GaussianDistortion(double variance, double rate);
// `entropy` h in bits; -infinity gives 0.
double ShannonLowerBound(double entropy, double rate);

// h of laws of unit variance, in bits.
double GaussianEntropy();  // log2(2 pi e) / 2
double LaplaceEntropy();   // log2(e sqrt 2)
// Student's t with `freedom` > 2 degrees, scaled to unit variance.
double StudentEntropy(double freedom);
// Vasicek's estimate from the spacings of a sample, with m about the square root of its size: h is low by
// about log2(e) / (2 m). Values that repeat (a mass at a point) give -infinity. 8 values or more.
double EntropyOfSample(std::span<const float> values);

// A discrete source: its values and their probabilities.
struct Source {
  std::vector<double> value, probability;
  double Variance() const;  // about the mean
};

// Edges of `cells` cells over [-reach, reach], ascending: x_k = reach sinh(a u_k) / sinh(a) for even u_k,
// with a such that those in the middle are `middle` wide. Narrow where the mass is, few in the tails; even
// where that is enough.
std::vector<double> CellEdges(double reach, double middle, int cells);

// Each cell has the mean of its values; empty ones are left out. The middle ones are a thirtieth of a
// standard deviation wide: within 2 % of D at 4 bits.
Source HistogramOf(std::span<const float> values, int cells = 300);
// A density of about unit variance on [-reach, reach], cut in the same way.
template <typename Density>
Source DiscretizeDensity(Density density, double reach, int cells = 300);

struct RatePoint {
  double rate, distortion;
};

struct BlahutArimotoOptions {
  double tolerance = 1e-3;    // bits between the bounds of the rate at which it stops
  int most_iterations = 800;  // what is left then only loosens the bound
};

// The point of the R(D) curve with slope dR/dD = -slope log2(e), for distortions d(i, j) = distortion[i * m +
// j] of source letter i reproduced as j. `reproduction`, when not null, starts the output law and returns it.
// The rate is the lower of the two bounds: never above the truth.
RatePoint BlahutArimoto(std::span<const double> probability, std::span<const double> distortion, double slope,
                        const BlahutArimotoOptions& options = {},
                        std::vector<double>* reproduction = nullptr);

// D(R) of a source under squared error, reproduced by its own values.
class RateDistortion {
 public:
  // Follows the curve from `highest_rate` downwards.
  explicit RateDistortion(const Source& source, double highest_rate = 5);

  // Interpolated in log D; below the first point towards (0, variance), above the last with slope 4^-R.
  double DistortionAt(double rate) const;
  double RateAt(double distortion) const;
  const std::vector<RatePoint>& points() const { return points_; }  // ascending in rate, from (0, variance)

 private:
  std::vector<RatePoint> points_;
};

template <typename Density>
Source DiscretizeDensity(Density density, double reach, int cells) {
  const std::vector<double> edges = CellEdges(reach, 1 / 30.0, cells);
  Source source;
  double total = 0;
  for (size_t k = 0; k + 1 < edges.size(); ++k) {
    constexpr int kSteps = 16;
    double mass = 0, moment = 0;
    for (int i = 0; i < kSteps; ++i) {
      const double x = edges[k] + (edges[k + 1] - edges[k]) * (i + 0.5) / kSteps, f = density(x);
      mass += f;
      moment += x * f;
    }
    if (mass == 0) continue;
    source.value.push_back(moment / mass);
    source.probability.push_back(mass * (edges[k + 1] - edges[k]) / kSteps);
    total += source.probability.back();
  }
  for (double& p : source.probability) p /= total;
  return source;
}

}  // namespace lowbit
