// Small sets of vectors and indexes of them for the tests of the index.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/index/index_writer.h"
#include "lowbit/index/vector_index.h"
#include "tests/io/scratch.h"

namespace lowbit {

// (n, d) around a few centres off the origin, as embeddings lie.
struct VectorSet {
  int64_t n, d;
  std::vector<float> x;

  VectorSet(int64_t n_in, int64_t d_in, uint64_t seed) : n(n_in), d(d_in) {
    Random centre(99), noise(seed);
    std::vector<float> centres(static_cast<size_t>(8 * d));
    for (float& v : centres) v = 1 + 2 * centre.Normal();
    for (int64_t i = 0; i < n; ++i) {
      const auto c = static_cast<int64_t>(noise.Below(8));
      for (int64_t j = 0; j < d; ++j) x.push_back(centres[static_cast<size_t>(c * d + j)] + noise.Normal());
    }
  }
  const float* row(int64_t i) const { return x.data() + i * d; }
  MatrixView<const float> view() const { return {x.data(), n, d}; }
  MatrixSource source() const { return MatrixSource(view()); }
};

inline double Product(const float* a, const float* b, int64_t d) {
  double sum = 0;
  for (int64_t j = 0; j < d; ++j) sum += double{a[j]} * b[j];
  return sum;
}
// metric.h in double.
inline double PlainScore(Metric metric, const float* q, const float* x, int64_t d) {
  const double product = Product(q, x, d), qq = Product(q, q, d), xx = Product(x, x, d);
  if (metric == Metric::kCosine) return product / std::sqrt(qq * xx);
  if (metric == Metric::kInnerProduct) return product;
  double sum = 0;
  for (int64_t j = 0; j < d; ++j) sum += (double{q[j]} - x[j]) * (double{q[j]} - x[j]);
  return sum;
}
// Ids of all vectors, nearest first.
inline std::vector<int64_t> PlainOrder(Metric metric, const float* q, const VectorSet& set) {
  std::vector<std::pair<double, int64_t>> order;
  for (int64_t i = 0; i < set.n; ++i) {
    const double score = PlainScore(metric, q, set.row(i), set.d);
    order.emplace_back(metric == Metric::kL2 ? score : -score, i);
  }
  std::sort(order.begin(), order.end());
  std::vector<int64_t> ids;
  for (const auto& [score, id] : order) ids.push_back(id);
  return ids;
}

inline std::string FileText(const std::filesystem::path& path) {
  return ReadFile(path);
}

// The message of the Error that `body` throws.
template <typename Body>
std::string MessageOf(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace lowbit
