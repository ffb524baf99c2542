// Lloyd-Max quantizers: the 2^b levels c_i and thresholds t_i that minimise E (x - c(x))^2 for a density f
// (Max 1960, Lloyd 1982). At the optimum every level is the mean of its cell and every threshold lies midway
// between two levels:
//   c_i = E[x | t_{i-1} <= x < t_i],   t_i = (c_i + c_{i+1}) / 2.
// For log-concave densities (all of those below) the solution is unique. It is found by Newton's method on
// c_i - E[x | cell i] = 0, whose Jacobian is tridiagonal, after a few of Lloyd's own steps.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lowbit {

// A density on [low, high] with the two integrals over cells that the conditions need.
struct Density {
  double low = 0, high = 0;  // the support, or where the rest is negligible; finite
  std::function<double(double x)> value;
  std::function<double(double a, double b)> mass;          // integral of f over [a, b]
  std::function<double(double a, double b)> first_moment;  // integral of x f over [a, b]
  double variance = 1;                                     // E x^2
  bool symmetric = false;                                  // f(-x) = f(x), and so the levels
};

Density GaussianDensity();  // N(0, 1)
Density LaplaceDensity();   // variance 1: f(x) = exp(-sqrt(2) |x|) / sqrt(2)
// sqrt(d) times a coordinate of a uniform unit vector of R^d, variance 1 (TurboQuant's Beta law):
//   f(x) proportional to (1 - x^2 / d)^((d - 3) / 2),  |x| <= sqrt(d);  d >= 2.
Density SphereDensity(int64_t d);
// Any density given by its values: integrals by Gauss-Legendre quadrature over `pieces` pieces of the
// support, normalised to mass 1. f finite and not negative on (low, high).
Density NumericDensity(std::function<double(double)> f, double low, double high, int pieces = 64);

struct ScalarQuantizer {
  std::vector<double> level;      // ascending, 2^b
  std::vector<double> threshold;  // 2^b - 1; a value on a threshold takes the level above
  double distortion = 0;          // E (x - c(x))^2
};

// The optimum for 1 <= bits <= 8, conditions met to 1e-10. Throws for other numbers of bits, and when the
// iteration does not settle (a density that is not log-concave).
ScalarQuantizer DesignLloydMax(const Density& density, int bits);

}  // namespace lowbit
