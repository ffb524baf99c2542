// Random layers for tests: weights, and Hessians of correlated inputs with uneven column energies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/random.h"

namespace lowbit {

template <typename T>
MatrixView<const T> View(const std::vector<T>& values, int64_t rows) {
  return {values.data(), rows, static_cast<int64_t>(values.size()) / std::max<int64_t>(1, rows)};
}

template <typename T>
std::vector<T> RandomWeights(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed, 1);
  std::vector<T> w(static_cast<size_t>(rows * cols));
  for (T& v : w) v = static_cast<T>(random.Normal()) * T(0.05);
  return w;
}

// X (tokens, cols): a few shared factors, own noise, column scales over about a decade.
template <typename T>
std::vector<T> RandomInputs(int64_t tokens, int64_t cols, uint64_t seed) {
  constexpr int64_t kFactors = 4;
  Random random(seed, 2);
  std::vector<double> loading(static_cast<size_t>(kFactors * cols)), scale(static_cast<size_t>(cols));
  for (double& v : loading) v = random.Normal();
  for (double& v : scale) v = std::exp(0.7 * static_cast<double>(random.Normal()));
  std::vector<T> x(static_cast<size_t>(tokens * cols));
  for (int64_t t = 0; t < tokens; ++t) {
    double factor[kFactors];
    for (double& f : factor) f = random.Normal();
    for (int64_t c = 0; c < cols; ++c) {
      double v = random.Normal();
      for (int64_t f = 0; f < kFactors; ++f) v += factor[f] * loading[static_cast<size_t>(f * cols + c)];
      x[static_cast<size_t>(t * cols + c)] = static_cast<T>(v * scale[static_cast<size_t>(c)]);
    }
  }
  return x;
}

// 2/sequences X^T X by plain loops in double.
template <typename T>
std::vector<T> PlainHessian(const std::vector<T>& x, int64_t cols, double sequences) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / cols;
  std::vector<double> h(static_cast<size_t>(cols * cols), 0.0);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < cols; ++i) {
      const double xi = static_cast<double>(x[static_cast<size_t>(t * cols + i)]);
      for (int64_t j = 0; j < cols; ++j) {
        h[static_cast<size_t>(i * cols + j)] +=
            xi * static_cast<double>(x[static_cast<size_t>(t * cols + j)]);
      }
    }
  }
  std::vector<T> result(h.size());
  for (size_t i = 0; i < h.size(); ++i) result[i] = static_cast<T>(2 / sequences * h[i]);
  return result;
}

template <typename T>
std::vector<T> RandomHessian(int64_t cols, uint64_t seed) {
  return PlainHessian(RandomInputs<T>(2 * cols + 8, cols, seed), cols, 4);
}

}  // namespace lowbit
