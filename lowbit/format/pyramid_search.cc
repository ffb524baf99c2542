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

// The few coordinates of the smallest keys, in ascending order.
class Fewest {
 public:
  void Offer(float key, size_t i) {
    if (size_ == kFew && !(key < key_[kFew - 1])) return;
    int at = size_ < kFew ? size_++ : kFew - 1;
    for (; at > 0 && key < key_[at - 1]; --at) {
      key_[at] = key_[at - 1];
      index_[at] = index_[at - 1];
    }
    key_[at] = key;
    index_[at] = i;
  }
  std::span<const size_t> indices() const { return {index_, static_cast<size_t>(size_)}; }

 private:
  static constexpr int kFew = 4;
  int size_ = 0;
  float key_[kFew];
  size_t index_[kFew];
};

// Moves the one pulse that raises the cosine most, from one of the coordinates with too much for the gain
// squares / dot to one of those with too little; false when none gains more than rounding could feign.
bool MovePulse(const float* a, float* z, size_t n, float& dot, float& squares) {
  const float gain = squares / dot;
  Fewest over, under;
  for (size_t i = 0; i < n; ++i) {
    const float missing = gain * a[i] - z[i];
    if (z[i] > 0) over.Offer(missing, i);
    under.Offer(-missing, i);
  }
  size_t from = 0, to = 0;
  float best_top = dot * dot * (1 + 1e-6f), best_bottom = squares;
  for (const size_t i : over.indices()) {
    for (const size_t j : under.indices()) {
      const float moved = dot - a[i] + a[j], top = moved * moved;
      const float bottom = squares - 2.0f * z[i] + 2.0f + 2.0f * z[j];
      if (j != i && top * best_bottom > best_top * bottom) {
        from = i;
        to = j;
        best_top = top;
        best_bottom = bottom;
      }
    }
  }
  if (from == to) return false;
  dot += a[to] - a[from];
  squares = best_bottom;
  z[from] -= 1.0f;
  z[to] += 1.0f;
  return true;
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
  thread_local std::vector<float> magnitudes, points, scores;
  magnitudes.resize(n);
  points.resize(n);
  scores.resize(n);
  float* const a = magnitudes.data();
  float* const z = points.data();  // y as floats
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] = std::abs(x[i]) / largest;
  // A start below the optimum of the L1 problem, then pulse by pulse the largest cosine.
  const float scale = static_cast<float>(pulses) / sum;
  float dot = 0, squares = 0;
  int rest = pulses;
  for (size_t i = 0; i < n; ++i) {
    const int pulse = std::min(rest, static_cast<int>(scale * a[i]));
    z[i] = static_cast<float>(pulse);
    rest -= pulse;
    dot += a[i] * z[i];
    squares += z[i] * z[i];
  }
  for (; rest > 0; --rest) {
    float* const score = scores.data();
    for (size_t i = 0; i < n; ++i) {
      const float grown = dot + a[i];
      score[i] = grown * grown / (squares + 1.0f + 2.0f * z[i]);
    }
    const auto best = static_cast<size_t>(std::max_element(score, score + n) - score);
    dot += a[best];
    squares += 1.0f + 2.0f * z[best];
    z[best] += 1.0f;
  }
  while (MovePulse(a, z, n, dot, squares)) continue;
  for (size_t i = 0; i < n; ++i) y[i] = static_cast<int16_t>(z[i]);
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
