#include "lowbit/quantize/kmeans_1d.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// Sums over the first i distinct values; x is counted from the mean of all, or the squares would cancel.
struct Prefix {
  std::vector<double> w, wx, wxx;

  // Error of values [m, i) about their mean.
  double Cost(int64_t m, int64_t i) const {
    const auto a = static_cast<size_t>(m), b = static_cast<size_t>(i);
    const double weight = w[b] - w[a], first = wx[b] - wx[a];
    return weight > 0 ? std::max(0.0, wxx[b] - wxx[a] - first * first / weight) : 0.0;
  }
};

// One row of the table: best[i] = min over m of before[m] + cost(m, i) for i in [low, high], m in [from, to].
void FillRow(const Prefix& prefix, const std::vector<double>& before, int64_t low, int64_t high, int64_t from,
             int64_t to, std::vector<double>& best, int32_t* split) {
  if (low > high) return;
  const int64_t i = low + (high - low) / 2;
  best[static_cast<size_t>(i)] = std::numeric_limits<double>::infinity();
  int64_t at = from;
  for (int64_t m = from; m <= std::min(to, i); ++m) {
    const double error = before[static_cast<size_t>(m)] + prefix.Cost(m, i);
    if (error < best[static_cast<size_t>(i)]) {
      best[static_cast<size_t>(i)] = error;
      at = m;
    }
  }
  split[i] = static_cast<int32_t>(at);
  FillRow(prefix, before, low, i - 1, from, at, best, split);
  FillRow(prefix, before, i + 1, high, at, to, best, split);
}

}  // namespace

ScalarClusters KMeans1D(std::span<const float> values, int64_t k, std::span<const float> weights) {
  if (k < 1) Fail("{} scalar levels were asked for: at least one is needed", k);
  if (!weights.empty() && weights.size() != values.size())
    Fail("{} weights for {} values", weights.size(), values.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < values.size(); ++i) {
    const float w = weights.empty() ? 1.0f : weights[i];
    if (!std::isfinite(values[i])) Fail("value {} is {}: levels need finite values", i, values[i]);
    if (!(w >= 0 && std::isfinite(w)))
      Fail("value {} has the weight {}: weights are finite and not negative", i, w);
    if (w > 0) order.push_back(i);
  }
  if (order.empty()) Fail("scalar levels from no values of positive weight");
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });

  double mean = 0, total = 0;
  for (const size_t i : order) {
    const double w = weights.empty() ? 1.0 : weights[i];
    mean += w * values[i];
    total += w;
  }
  mean /= total;
  Prefix prefix;
  prefix.w = prefix.wx = prefix.wxx = {0.0};
  for (size_t i = 0; i < order.size(); ++i) {
    const double w = weights.empty() ? 1.0 : weights[order[i]], x = values[order[i]] - mean;
    if (i == 0 || values[order[i]] != values[order[i - 1]]) {
      prefix.w.push_back(prefix.w.back());
      prefix.wx.push_back(prefix.wx.back());
      prefix.wxx.push_back(prefix.wxx.back());
    }
    prefix.w.back() += w;
    prefix.wx.back() += w * x;
    prefix.wxx.back() += w * x * x;
  }
  const auto n = static_cast<int64_t>(prefix.w.size()) - 1;
  k = std::min(k, n);

  std::vector<std::vector<int32_t>> split(static_cast<size_t>(k),
                                          std::vector<int32_t>(static_cast<size_t>(n + 1)));
  std::vector<double> before(static_cast<size_t>(n + 1)), best = before;
  for (int64_t i = 1; i <= n; ++i) before[static_cast<size_t>(i)] = prefix.Cost(0, i);
  for (int64_t j = 1; j < k; ++j) {
    FillRow(prefix, before, j + 1, n, j, n, best, split[static_cast<size_t>(j)].data());
    std::swap(before, best);
  }
  ScalarClusters result;
  result.error = before[static_cast<size_t>(n)];
  for (int64_t j = k - 1, end = n; j >= 0; --j) {
    const int64_t begin = j == 0 ? 0 : split[static_cast<size_t>(j)][static_cast<size_t>(end)];
    const auto a = static_cast<size_t>(begin), b = static_cast<size_t>(end);
    result.levels.push_back(
        static_cast<float>(mean + (prefix.wx[b] - prefix.wx[a]) / (prefix.w[b] - prefix.w[a])));
    end = begin;
  }
  std::reverse(result.levels.begin(), result.levels.end());
  for (size_t j = 1; j < result.levels.size(); ++j)
    result.thresholds.push_back(0.5f * result.levels[j - 1] + 0.5f * result.levels[j]);
  return result;
}

}  // namespace lowbit
