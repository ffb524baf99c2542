#include "lowbit/format/lloyd_max_levels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// The right half of a symmetric density, up to a constant factor.
struct Half {
  std::function<double(double)> density;
  std::function<double(double, double)> mass, moment;  // integrals of f and x f over [a, b]
  double end;                                          // of the support
  double compander;  // f^(1/3) is f stretched by this much, nearly for kBeta
};

// Nodes and weights of 16-point Gauss-Legendre quadrature on [-1, 1], by Newton on the polynomial.
struct Quadrature {
  std::array<double, 16> node, weight;
  Quadrature() {
    constexpr int n = 16;
    for (int i = 0; i < n; ++i) {
      double x = std::cos(std::numbers::pi * (i + 0.75) / (n + 0.5)), slope = 1;
      for (int step = 0; step < 20; ++step) {
        double p = 1, before = 0;
        for (int k = 1; k <= n; ++k) {
          const double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
          before = p;
          p = next;
        }
        slope = n * (x * p - before) / (x * x - 1);
        x -= p / slope;
      }
      node[static_cast<size_t>(i)] = x;
      weight[static_cast<size_t>(i)] = 2 / ((1 - x * x) * slope * slope);
    }
  }
};

template <typename F>
double Integrate(double a, double b, F f) {
  static const Quadrature q;
  constexpr int kPieces = 4;
  double sum = 0;
  const double width = (b - a) / kPieces;
  for (int piece = 0; piece < kPieces; ++piece) {
    const double middle = a + (piece + 0.5) * width;
    for (size_t i = 0; i < q.node.size(); ++i) sum += q.weight[i] * f(middle + q.node[i] * width / 2);
  }
  return sum * width / 2;
}

Half HalfOf(const Law& law) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (law.kind) {
    case LawKind::kGaussian: {
      const auto f = [](double x) {
        return std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
      };
      return {f,
              [](double a, double b) {
                return (std::erfc(a / std::numbers::sqrt2) - std::erfc(b / std::numbers::sqrt2)) / 2;
              },
              [f](double a, double b) { return f(a) - f(b); }, kInfinity, std::sqrt(3.0)};
    }
    case LawKind::kLaplace: {
      const auto tail = [](double x) { return std::exp(-std::numbers::sqrt2 * x); };
      const auto moment = [tail](double x) {
        return std::isinf(x) ? 0 : (x + 1 / std::numbers::sqrt2) * tail(x) / 2;
      };
      return {[tail](double x) { return tail(x) / std::numbers::sqrt2; },
              [tail](double a, double b) { return (tail(a) - tail(b)) / 2; },
              [moment](double a, double b) { return moment(a) - moment(b); }, kInfinity, 3};
    }
    case LawKind::kBeta:
      break;
  }
  if (law.dimension < 3) Fail("the Beta law of {} dimensions; 3 or more are possible", law.dimension);
  const double d = law.dimension, power = (d - 3) / 2;
  const auto f = [d, power](double x) { return std::pow(std::max(0.0, 1 - x * x / d), power); };
  // Normalised so that half the mass is 1/2, which the compander below relies on.
  // Beyond twelve standard deviations there is nothing that a double could tell.
  const double end = std::min(std::sqrt(d), 12.0), whole = Integrate(0, end, f) * 2;
  const auto unit = [f, whole](double x) { return f(x) / whole; };
  return {unit, [unit](double a, double b) { return Integrate(a, b, unit); },
          [unit](double a, double b) { return Integrate(a, b, [&](double x) { return x * unit(x); }); }, end,
          std::sqrt(3.0)};
}

// x >= 0 with mass(0, x) = share.
double Quantile(const Half& half, double share) {
  double low = 0, high = std::min(half.end, 60.0);
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (half.mass(0, middle) < share ? low : high) = middle;
  }
  return (low + high) / 2;
}

class Solver {
 public:
  Solver(const Half& half, int count) : half_(half), level_(static_cast<size_t>(count)) {
    for (int i = 0; i < count; ++i) {
      const double share = (i + 0.5) / count;
      const double start = Quantile(half, share / 2) * half.compander;
      level_[static_cast<size_t>(i)] = std::isinf(half.end) ? start : std::min(start, share * half.end);
    }
  }

  std::vector<double> Solve() {
    for (int i = 0; i < 30; ++i) level_ = Means();
    for (int i = 0; i < 200; ++i) {
      if (NewtonStep() < 1e-13) break;
    }
    return level_;
  }

 private:
  double Threshold(size_t i) const {  // below cell i
    if (i == 0) return 0;
    return i == level_.size() ? half_.end : (level_[i - 1] + level_[i]) / 2;
  }
  double Mean(size_t i) const {
    const double a = Threshold(i), b = Threshold(i + 1);
    return half_.moment(a, b) / half_.mass(a, b);
  }
  std::vector<double> Means() const {
    std::vector<double> means(level_.size());
    for (size_t i = 0; i < means.size(); ++i) means[i] = Mean(i);
    return means;
  }

  // Solves J step = level - mean (Thomas' algorithm). Returns the greatest residual. A step that would
  // disorder the levels is replaced by one of Lloyd's.
  double NewtonStep() {
    const size_t n = level_.size();
    std::vector<double> upper(n), residual(n), next = Means();
    double most = 0, before = 0;
    for (size_t i = 0; i < n; ++i) {
      const double a = Threshold(i), b = Threshold(i + 1), mass = half_.mass(a, b);
      const double right = i + 1 < n ? half_.density(b) * (b - next[i]) / mass / 2 : 0;
      const double left = i > 0 ? half_.density(a) * (next[i] - a) / mass / 2 : 0;
      const double r = level_[i] - next[i];
      most = std::max(most, std::abs(r));
      const double pivot = 1 - left - right + left * (i > 0 ? upper[i - 1] : 0);
      upper[i] = -right / pivot;
      residual[i] = (r + left * before) / pivot;
      before = residual[i];
    }
    std::vector<double> moved(n);
    double step = 0;
    for (size_t i = n; i-- > 0;) {
      step = residual[i] - upper[i] * step;
      moved[i] = level_[i] - step;
    }
    const bool ordered =
        moved[0] > 0 && moved[n - 1] < half_.end &&
        std::adjacent_find(moved.begin(), moved.end(), std::greater_equal<>()) == moved.end();
    level_ = ordered ? moved : next;
    return most;
  }

  const Half& half_;
  std::vector<double> level_;
};

}  // namespace

std::vector<float> LloydMaxLevels(const Law& law, int bits) {
  if (bits < 1 || bits > 8) Fail("Lloyd-Max levels of {} bits; 1 to 8 are possible", bits);
  const Half half = HalfOf(law);
  const std::vector<double> right = Solver(half, 1 << (bits - 1)).Solve();
  std::vector<float> levels;
  for (size_t i = right.size(); i-- > 0;) levels.push_back(static_cast<float>(-right[i]));
  for (double level : right) levels.push_back(static_cast<float>(level));
  return levels;
}

}  // namespace lowbit
