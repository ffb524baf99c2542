#include "lowbit/transform/rotation.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/hadamard.h"
#include "lowbit/kernel/ordered_product.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

// Streams of the generator: draws of different purposes never meet.
constexpr uint64_t kSignStream = 0x5167, kHaarStream = 0x4a42, kSketchStream = 0x514a;

}  // namespace

std::string_view NameOf(RotationKind kind) {
  switch (kind) {
    case RotationKind::kNone:
      return "none";
    case RotationKind::kHadamard:
      return "hadamard";
    case RotationKind::kHaar:
      return "haar";
  }
  return "";
}

Rotation::Rotation(int64_t dim, const RotationOptions& options) : dim_(dim), options_(options) {
  if (dim < 1) Fail("a rotation of {} dimensions: at least 1 is needed", dim);
  if (options.kind == RotationKind::kHaar) {
    const std::vector<double> pi = HaarMatrix(dim, options.seed);
    matrix_.assign(pi.begin(), pi.end());
    transposed_.resize(pi.size());
    for (int64_t i = 0; i < dim; ++i) {
      for (int64_t j = 0; j < dim; ++j)
        transposed_[static_cast<size_t>(j * dim + i)] = matrix_[static_cast<size_t>(i * dim + j)];
    }
  }
  if (options.kind != RotationKind::kHadamard) return;
  if (options.rounds < 1) Fail("a Hadamard rotation of {} rounds: at least 1 is needed", options.rounds);
  block_ = LargestHadamard(dim);
  const int64_t transforms = options.rounds * (block_ == dim ? 1 : 2);
  factor_.resize(static_cast<size_t>(transforms * block_));
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(block_)));
  Random random(options.seed, kSignStream);
  uint32_t word = 0;
  for (size_t i = 0; i < factor_.size(); ++i) {
    if (i % 32 == 0) word = random.Next32();
    factor_[i] = (word >> (i % 32) & 1) != 0 ? -scale : scale;
  }
}

void Rotation::Apply(const float* x, int64_t n, float* y) const {
  if (options_.kind == RotationKind::kHaar)
    return OrderedProduct({transposed_.data(), dim_, dim_}, {x, n, dim_}, {y, n, dim_});
  if (x != y) std::memcpy(y, x, static_cast<size_t>(n * dim_) * sizeof(float));
  if (options_.kind == RotationKind::kNone) return;
  for (int64_t i = 0; i < n; ++i, y += dim_) {
    const float* factor = factor_.data();
    for (int round = 0; round < options_.rounds; ++round) {
      Hadamard(y, factor, block_);
      factor += block_;
      if (block_ == dim_) continue;
      Hadamard(y + dim_ - block_, factor, block_);
      factor += block_;
    }
  }
}

void Rotation::Inverse(const float* y, float* x) const {
  if (options_.kind == RotationKind::kHaar)
    return OrderedProduct({matrix_.data(), dim_, dim_}, {y, 1, dim_}, {x, 1, dim_});
  if (x != y) std::memcpy(x, y, static_cast<size_t>(dim_) * sizeof(float));
  if (options_.kind == RotationKind::kNone) return;
  const float* factor = factor_.data() + factor_.size();
  for (int round = 0; round < options_.rounds; ++round) {
    if (block_ != dim_) {
      factor -= block_;
      HadamardTransposed(x + dim_ - block_, factor, block_);
    }
    factor -= block_;
    HadamardTransposed(x, factor, block_);
  }
}

std::vector<double> HaarMatrix(int64_t dim, uint64_t seed) {
  const auto d = static_cast<size_t>(dim);
  std::vector<double> pi(d * d, 0.0), v(d), w(d);
  NormalSequence normal(seed, kHaarStream);
  // Q grows from its lower right corner: Q <- H_k diag(s, Q), H_k the reflection that takes a Gaussian vector
  // of the last k coordinates to -sign(v_1) ||v|| e_1. All loops add whole rows, so their order is fixed and
  // they still run on vectors.
  pi[d * d - 1] = normal.Next() < 0 ? -1 : 1;
  for (size_t k = 2; k <= d; ++k) {
    const size_t first = d - k;
    double norm = 0;
    for (size_t i = 0; i < k; ++i) {
      v[i] = normal.Next();
      norm += v[i] * v[i];
    }
    norm = std::sqrt(norm);
    const double sign = v[0] < 0 ? -1 : 1;
    v[0] += sign * norm;  // v is now the normal of the reflection
    double square = 0;
    for (size_t i = 0; i < k; ++i) square += v[i] * v[i];
    pi[first * d + first] = -sign;  // makes R's diagonal positive
    std::fill(w.begin(), w.end(), 0.0);
    for (size_t i = 0; i < k; ++i) {
      const double* row = &pi[(first + i) * d];
      for (size_t j = first; j < d; ++j) w[j] += v[i] * row[j];
    }
    for (size_t i = 0; i < k; ++i) {
      const double factor = 2 * v[i] / square;
      double* row = &pi[(first + i) * d];
      for (size_t j = first; j < d; ++j) row[j] -= factor * w[j];
    }
  }
  return pi;
}

std::vector<float> GaussianSketch(int64_t rows, int64_t cols, uint64_t seed) {
  std::vector<float> s(static_cast<size_t>(rows * cols));
  NormalSequence normal(seed, kSketchStream);
  for (float& entry : s) entry = static_cast<float>(normal.Next());
  return s;
}

}  // namespace lowbit
