#include "lowbit/quantize/gram.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "lowbit/base/blas.h"
#include "lowbit/base/error.h"

namespace lowbit {
namespace {

[[noreturn]] void FailOnBadValue(MatrixView<const float> x) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) {
      if (!std::isfinite(x(t, c)) || std::abs(x(t, c)) > 1e18f) {
        Fail(
            "calibration input is {} at token {}, column {}: the layer before it overflowed or holds bad "
            "weights",
            x(t, c), t, c);
      }
    }
  }
  Fail("second moments of the calibration input overflowed: accumulate in double");
}

void CheckColumns(MatrixView<const float> x, int64_t columns) {
  if (x.cols != columns) Fail("calibration input has {} columns, the layer has {}", x.cols, columns);
}

}  // namespace

template <typename T>
HessianAccumulator<T>::HessianAccumulator(int64_t columns, ThreadPool& pool)
    : columns_(columns), pool_(pool), sum_(static_cast<size_t>(columns * columns)) {
  std::fill(sum_.begin(), sum_.end(), T(0));
}

template <typename T>
void HessianAccumulator<T>::Add(MatrixView<const float> x, int64_t sequences) {
  CheckColumns(x, columns_);
  if (sum_.size() == 0 && columns_ > 0) Fail("this Hessian was finished already");
  // A long batch goes in fixed chunks, so that one call's workspace and one gemm's reduction stay bounded.
  constexpr int64_t kChunk = 2048;
  for (int64_t t = 0; t < x.rows; t += kChunk) {
    const int64_t rows = std::min(kChunk, x.rows - t);
    MatrixView<const T> chunk;
    if constexpr (std::is_same_v<T, float>) {
      chunk = x.Block(t, 0, rows, columns_);
    } else {
      wide_.Reserve(static_cast<size_t>(rows * columns_));
      for (int64_t r = 0; r < rows; ++r)
        std::copy(x.Row(t + r), x.Row(t + r) + columns_, wide_.data() + r * columns_);
      chunk = {wide_.data(), rows, columns_};
    }
    Syrk<T>(T(1), chunk, {sum_.data(), columns_, columns_}, pool_);
  }
  // Any NaN or infinity in column c has reached its diagonal element by now.
  for (int64_t c = 0; c < columns_; ++c) {
    if (!std::isfinite(sum_[static_cast<size_t>(c * columns_ + c)])) FailOnBadValue(x);
  }
  sequences_ += sequences;
  tokens_ += x.rows;
}

template <typename T>
std::vector<int32_t> HessianAccumulator<T>::DeadColumns() const {
  std::vector<int32_t> dead;
  for (int64_t c = 0; c < columns_; ++c) {
    if (sum_[static_cast<size_t>(c * columns_ + c)] == T(0)) dead.push_back(static_cast<int32_t>(c));
  }
  return dead;
}

template <typename T>
std::vector<float> HessianAccumulator<T>::Diagonal() const {
  std::vector<float> diagonal(static_cast<size_t>(columns_));
  const T scale = T(2) / static_cast<T>(std::max<int64_t>(1, sequences_));
  for (size_t c = 0; c < diagonal.size(); ++c) {
    diagonal[c] = static_cast<float>(sum_[c * diagonal.size() + c] * scale);
  }
  return diagonal;
}

template <typename T>
Buffer<T> HessianAccumulator<T>::Finish() {
  if (sequences_ <= 0 || tokens_ == 0)
    Fail("no calibration data was seen: give a longer text or more samples");
  const T scale = T(2) / static_cast<T>(sequences_);
  pool_.Run(columns_, [&](int64_t row, int) {
    T* values = sum_.data() + row * columns_;
    for (int64_t c = row; c < columns_; ++c) values[c] *= scale;
  });
  MirrorUpper<T>({sum_.data(), columns_, columns_}, pool_);
  sequences_ = tokens_ = 0;
  return std::move(sum_);
}

template class HessianAccumulator<float>;
template class HessianAccumulator<double>;

void ImportanceAccumulator::Add(MatrixView<const float> x, std::span<const float> token_weights) {
  const int64_t columns = static_cast<int64_t>(sum_.size());
  CheckColumns(x, columns);
  if (!token_weights.empty() && static_cast<int64_t>(token_weights.size()) != x.rows) {
    Fail("{} token weights for {} tokens", token_weights.size(), x.rows);
  }
  for (int64_t t = 0; t < x.rows; ++t) {
    const double weight = token_weights.empty() ? 1.0 : token_weights[static_cast<size_t>(t)];
    const float* row = x.Row(t);
    for (int64_t c = 0; c < columns; ++c) sum_[static_cast<size_t>(c)] += weight * row[c] * row[c];
    weight_ += weight;
  }
  for (const double s : sum_) {
    if (!std::isfinite(s)) FailOnBadValue(x);
  }
}

void ImportanceAccumulator::AddMean(std::span<const float> mean, double weight) {
  if (mean.size() != sum_.size())
    Fail("importance of {} columns for a layer of {}", mean.size(), sum_.size());
  for (size_t c = 0; c < mean.size(); ++c) sum_[c] += weight * mean[c];
  weight_ += weight;
}

std::vector<float> ImportanceAccumulator::Mean() const {
  if (!(weight_ > 0)) Fail("no calibration data was seen: give a longer text or more samples");
  std::vector<float> mean(sum_.size());
  for (size_t c = 0; c < mean.size(); ++c) mean[c] = static_cast<float>(sum_[c] / weight_);
  return mean;
}

}  // namespace lowbit
