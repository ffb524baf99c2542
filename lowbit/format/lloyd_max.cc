#include "lowbit/format/lloyd_max.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "lowbit/base/error.h"
#include "lowbit/base/log_gamma.h"

namespace lowbit {
namespace {

constexpr double kSqrt2 = 1.4142135623730950488, kPi = 3.14159265358979323846;

// Gauss-Legendre nodes and weights of 16 points on [-1, 1], positive half.
constexpr std::array<std::array<double, 2>, 8> kGauss = {{{0.0950125098376374402, 0.1894506104550684963},
                                                          {0.2816035507792589132, 0.1826034150449235889},
                                                          {0.4580167776572273863, 0.1691565193950025382},
                                                          {0.6178762444026437484, 0.1495959888165767321},
                                                          {0.7554044083550030339, 0.1246289712555338721},
                                                          {0.8656312023878317439, 0.0951585116824927848},
                                                          {0.9445750230732325761, 0.0622535239386478929},
                                                          {0.9894009349916499326, 0.0271524594117540949}}};

template <typename F>
double Integrate(const F& f, double a, double b, int pieces) {
  double sum = 0;
  const double width = (b - a) / pieces;
  for (int p = 0; p < pieces; ++p) {
    const double middle = a + (p + 0.5) * width;
    for (const auto& [node, weight] : kGauss)
      sum += weight * (f(middle - 0.5 * width * node) + f(middle + 0.5 * width * node));
  }
  return sum * width / 2;
}

// Level i is where the integral of f^(1/3) reaches (i + 1/2) / n: optimal for many levels (Panter and Dite).
std::vector<double> Compander(const Density& density, size_t n) {
  constexpr int kSteps = 20000;
  const double width = (density.high - density.low) / kSteps;
  std::vector<double> sum(kSteps + 1, 0.0);
  for (int i = 0; i < kSteps; ++i) {
    const double f = density.value(density.low + (i + 0.5) * width);
    sum[static_cast<size_t>(i) + 1] = sum[static_cast<size_t>(i)] + std::cbrt(std::max(f, 0.0));
  }
  std::vector<double> level(n);
  for (size_t i = 0; i < n; ++i) {
    const double target = (static_cast<double>(i) + 0.5) / static_cast<double>(n) * sum.back();
    const auto at = std::upper_bound(sum.begin(), sum.end(), target) - sum.begin();
    level[i] = density.low + (static_cast<double>(at) - 0.5) * width;
  }
  return level;
}

// Cells of levels: [threshold[i], threshold[i + 1]], the support's ends included.
std::vector<double> Edges(const Density& density, const std::vector<double>& level) {
  std::vector<double> edge = {density.low};
  for (size_t i = 0; i + 1 < level.size(); ++i) edge.push_back((level[i] + level[i + 1]) / 2);
  edge.push_back(density.high);
  return edge;
}

}  // namespace

Density GaussianDensity() {
  Density density;
  density.low = -12, density.high = 12;
  density.symmetric = true;
  density.value = [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * kPi); };
  density.mass = [](double a, double b) {
    // From the tail's side, where the difference keeps its digits.
    return a >= 0 ? 0.5 * (std::erfc(a / kSqrt2) - std::erfc(b / kSqrt2))
                  : 0.5 * (std::erfc(-b / kSqrt2) - std::erfc(-a / kSqrt2));
  };
  density.first_moment = [f = density.value](double a, double b) { return f(a) - f(b); };
  return density;
}

Density LaplaceDensity() {
  Density density;
  density.low = -40, density.high = 40;
  density.symmetric = true;
  density.value = [](double x) { return std::exp(-kSqrt2 * std::abs(x)) / kSqrt2; };
  // On the positive axis, tails from x: mass e^(-sqrt2 x) / 2, moment (x + 1/sqrt2) e^(-sqrt2 x) / 2.
  const auto tail = [](double x) { return std::exp(-kSqrt2 * x) / 2; };
  const auto moment = [](double x) { return (x + 1 / kSqrt2) * std::exp(-kSqrt2 * x) / 2; };
  density.mass = [tail](double a, double b) {
    if (a >= 0) return tail(a) - tail(b);
    if (b <= 0) return tail(-b) - tail(-a);
    return 1 - tail(-a) - tail(b);
  };
  density.first_moment = [moment](double a, double b) { return moment(std::abs(a)) - moment(std::abs(b)); };
  return density;
}

Density NumericDensity(std::function<double(double)> f, double low, double high, int pieces) {
  if (!(low < high) || pieces < 1)
    Fail("a density on [{}, {}] in {} pieces has no integral", low, high, pieces);
  const double total = Integrate(f, low, high, pieces);
  if (!(total > 0) || !std::isfinite(total))
    Fail("a density whose integral is {} cannot be normalised", total);
  Density density;
  density.low = low, density.high = high;
  density.value = [f, total](double x) { return f(x) / total; };
  const auto parts = [low, high, pieces](double a, double b) {
    return std::max(1, static_cast<int>(std::ceil((b - a) / (high - low) * pieces)));
  };
  density.mass = [f = density.value, parts](double a, double b) { return Integrate(f, a, b, parts(a, b)); };
  density.first_moment = [f = density.value, parts](double a, double b) {
    return Integrate([&](double x) { return x * f(x); }, a, b, parts(a, b));
  };
  density.variance = Integrate([&](double x) { return x * x * density.value(x); }, low, high, pieces);
  return density;
}

Density SphereDensity(int64_t d) {
  if (d < 2) Fail("a unit vector of {} dimensions has no density of a coordinate: 2 or more are needed", d);
  const auto n = static_cast<double>(d);
  // In x = sqrt(d) sin(angle) the density is cos(angle)^(d - 2): smooth up to the ends for every d.
  const double root = std::sqrt(n);
  const double log_factor = LogGamma(n / 2) - LogGamma((n - 1) / 2) - 0.5 * std::log(kPi);
  Density density;
  density.high = root, density.low = -root;
  density.symmetric = true;
  density.value = [=](double x) {
    const double t = x / root, inside = 1 - t * t;
    if (inside <= 0) return 0.0;
    return std::exp(log_factor + (n - 3) / 2 * std::log(inside)) / root;
  };
  density.mass = [=](double a, double b) {
    const auto angle = [&](double x) { return std::asin(std::clamp(x / root, -1.0, 1.0)); };
    const double from = angle(a), to = angle(b);
    // The peak has width 1/sqrt(d).
    const int pieces = std::max(1, static_cast<int>(std::ceil((to - from) * root / 2)));
    return Integrate([&](double t) { return std::exp(log_factor + (n - 2) * std::log(std::cos(t))); }, from,
                     to, pieces);
  };
  // x f(x) = -(d/dx) d (1 - x^2/d)^((d-1)/2) c / (d - 1): G(a) - G(b) of the card, in units of x.
  density.first_moment = [=](double a, double b) {
    const auto g = [&](double x) {
      const double t = x / root, inside = 1 - t * t;
      if (inside <= 0) return 0.0;
      return root * std::exp(log_factor + (n - 1) / 2 * std::log(inside)) / (n - 1);
    };
    return g(a) - g(b);
  };
  return density;
}

ScalarQuantizer DesignLloydMax(const Density& density, int bits) {
  if (bits < 1 || bits > 8) Fail("a Lloyd-Max quantizer of {} bits: 1 to 8 are possible", bits);
  const size_t n = size_t{1} << bits;
  std::vector<double> level = Compander(density, n);
  std::vector<double> mean(n), mass(n), below(n), diagonal(n), above(n), step(n);
  double residual = 1;
  for (int iteration = 0; iteration < 400 && residual > 1e-13; ++iteration) {
    const std::vector<double> edge = Edges(density, level);
    residual = 0;
    for (size_t i = 0; i < n; ++i) {
      mass[i] = density.mass(edge[i], edge[i + 1]);
      mean[i] =
          mass[i] > 0 ? density.first_moment(edge[i], edge[i + 1]) / mass[i] : (edge[i] + edge[i + 1]) / 2;
      residual = std::max(residual, std::abs(level[i] - mean[i]));
    }
    if (iteration < 8) {  // Lloyd
      level = mean;
      continue;
    }
    // Newton: d mean_i / d edge = f(edge) (+-)(edge - mean_i) / mass_i, and an edge moves by half of either
    // level's movement.
    for (size_t i = 0; i < n; ++i) {
      const auto slope = [&](size_t e, double sign) {
        return e == 0 || e == n || mass[i] <= 0
                   ? 0.0
                   : sign * density.value(edge[e]) * (edge[e] - mean[i]) / mass[i] / 2;
      };
      const double left = slope(i, -1), right = slope(i + 1, 1);
      below[i] = -left, above[i] = -right, diagonal[i] = 1 - left - right;
      step[i] = mean[i] - level[i];
    }
    for (size_t i = 1; i < n; ++i) {
      const double factor = below[i] / diagonal[i - 1];
      diagonal[i] -= factor * above[i - 1];
      step[i] -= factor * step[i - 1];
    }
    for (size_t i = n; i-- > 0;) {
      if (i + 1 < n) step[i] -= above[i] * step[i + 1];
      step[i] /= diagonal[i];
    }
    std::vector<double> next = level;
    for (size_t i = 0; i < n; ++i) next[i] += step[i];
    const bool ordered =
        std::is_sorted(next.begin(), next.end()) && next.front() > density.low && next.back() < density.high;
    level = ordered ? next : mean;
    // Laplace's density is log-linear on either side: levels hardly feel a common shift, which rounding
    // feeds.
    for (size_t i = 0; density.symmetric && i < n / 2; ++i) {
      const double half = (level[n - 1 - i] - level[i]) / 2;
      level[i] = -half, level[n - 1 - i] = half;
    }
  }
  if (!(residual < 1e-9)) Fail("the Lloyd-Max iteration stopped {} from its conditions", residual);
  ScalarQuantizer quantizer;
  quantizer.level = level;
  const std::vector<double> edge = Edges(density, level);
  quantizer.threshold.assign(edge.begin() + 1, edge.end() - 1);
  quantizer.distortion = density.variance;  // E x^2 - sum p c^2, with c the means of their cells
  for (size_t i = 0; i < n; ++i)
    quantizer.distortion -= density.mass(edge[i], edge[i + 1]) * level[i] * level[i];
  return quantizer;
}

}  // namespace lowbit
