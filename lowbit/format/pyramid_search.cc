// Points of the pyramid for real vectors: the encoder's half of pyramid.h.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/format/pyramid.h"

namespace lowbit {
namespace {

void CheckSearch(std::span<const float> x, int pulses, std::span<int16_t> y) {
  if (x.empty() || x.size() != y.size())
    Fail("a pyramid point of {} coordinates for {} values", y.size(), x.size());
  if (pulses < 0 || pulses > 32767) Fail("a pyramid point of {} pulses: 0 to 32767 are possible", pulses);
}

PyramidFit Finish(std::span<const float> x, std::span<int16_t> y) {
  double dot = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    dot += std::abs(double{x[i]}) * y[i];
    squares += double{1} * y[i] * y[i];
    if (x[i] < 0) y[i] = static_cast<int16_t>(-y[i]);
  }
  return {static_cast<float>(dot), static_cast<float>(squares)};
}

}  // namespace

PyramidFit PyramidDirection(std::span<const float> x, int pulses, std::span<int16_t> y) {
  CheckSearch(x, pulses, y);
  std::fill(y.begin(), y.end(), int16_t{0});
  float largest = 0;
  for (const float v : x) largest = std::max(largest, std::abs(v));
  if (largest == 0 || pulses == 0) {
    y[0] = static_cast<int16_t>(pulses);
    return {0.0f, static_cast<float>(pulses) * static_cast<float>(pulses)};
  }
  const size_t n = x.size();
  thread_local std::vector<float> a;
  a.resize(n);
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] = std::abs(x[i]) / largest;
  // A start below the optimum of the L1 problem, then pulse by pulse the largest cosine (dot + a)^2 /
  // (squares + 2y+1).
  const float scale = static_cast<float>(pulses) / sum;
  float dot = 0, squares = 0;
  int rest = pulses;
  for (size_t i = 0; i < n; ++i) {
    const int pulse = std::min(rest, static_cast<int>(scale * a[i]));
    y[i] = static_cast<int16_t>(pulse);
    rest -= pulse;
    dot += a[i] * static_cast<float>(pulse);
    squares += static_cast<float>(pulse) * static_cast<float>(pulse);
  }
  for (; rest > 0; --rest) {
    size_t best = 0;
    float best_top = -1, best_bottom = 1;
    for (size_t i = 0; i < n; ++i) {
      const float top = (dot + a[i]) * (dot + a[i]),
                  bottom = squares + 2.0f * static_cast<float>(y[i]) + 1.0f;
      if (top * best_bottom > best_top * bottom) {
        best = i;
        best_top = top;
        best_bottom = bottom;
      }
    }
    dot += a[best];
    squares = best_bottom;
    ++y[best];
  }
  // One pulse from i to j, while that gains more than rounding could feign.
  for (bool moved = true; moved;) {
    moved = false;
    size_t from = 0, to = 0;
    float best_top = dot * dot * (1 + 1e-6f), best_bottom = squares;
    for (size_t i = 0; i < n; ++i) {
      if (y[i] == 0) continue;
      const float dot_i = dot - a[i], squares_i = squares - 2.0f * static_cast<float>(y[i]) + 1.0f;
      for (size_t j = 0; j < n; ++j) {
        const float top = (dot_i + a[j]) * (dot_i + a[j]),
                    bottom = squares_i + 2.0f * static_cast<float>(y[j]) + 1.0f;
        if (j != i && top * best_bottom > best_top * bottom) {
          from = i;
          to = j;
          best_top = top;
          best_bottom = bottom;
          moved = true;
        }
      }
    }
    if (moved) {
      dot += a[to] - a[from];
      squares = best_bottom;
      --y[from];
      ++y[to];
    }
  }
  return Finish(x, y);
}

PyramidFit PyramidNearest(std::span<const float> x, int pulses, std::span<int16_t> y) {
  CheckSearch(x, pulses, y);
  const size_t n = x.size();
  std::vector<double> a(n);
  for (size_t i = 0; i < n; ++i) a[i] = std::abs(double{x[i]});
  // The nearest real point of the simplex is max(0, a - t); rounded down it stays below the best integer
  // point, whose remaining pulses (fewer than n) go where the marginal cost 1 - 2 (a - y) is least.
  std::vector<double> sorted = a;
  std::sort(sorted.rbegin(), sorted.rend());
  double t = 0, sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += sorted[i];
    const double level = (sum - pulses) / static_cast<double>(i + 1);
    if (i > 0 && sorted[i] <= level) break;
    t = level;
  }
  int rest = pulses;
  for (size_t i = 0; i < n; ++i) {
    const int pulse = std::min(rest, static_cast<int>(std::max(0.0, std::floor(a[i] - t))));
    y[i] = static_cast<int16_t>(pulse);
    rest -= pulse;
  }
  for (; rest > 0; --rest) {
    size_t best = 0;
    for (size_t i = 1; i < n; ++i) {
      if (a[i] - y[i] > a[best] - y[best]) best = i;
    }
    ++y[best];
  }
  return Finish(x, y);
}

}  // namespace lowbit
