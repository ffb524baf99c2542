#include "lowbit/quantize/centered_code.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit {

CenteredCode::CenteredCode(std::unique_ptr<VectorCode> code)
    : VectorCode(code->name(), code->dim(), /*biased=*/false),
      code_(std::move(code)),
      center_(static_cast<size_t>(code_->dim())) {}

void CenteredCode::Train(MatrixView<const float> x, ThreadPool& pool) {
  VectorCode::Train(x, pool);
  if (x.rows == 0) Fail("{}: a centre needs training vectors", name());
  std::vector<double> sum(center_.size());
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < dim(); ++j) sum[static_cast<size_t>(j)] += x(i, j);
  }
  for (size_t j = 0; j < sum.size(); ++j)
    center_[j] = static_cast<float>(sum[j] / static_cast<double>(x.rows));
  std::vector<float> residual(static_cast<size_t>(x.rows * dim()));
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < dim(); ++j)
      residual[static_cast<size_t>(i * dim() + j)] = x(i, j) - center_[static_cast<size_t>(j)];
  }
  code_->Train({residual.data(), x.rows, dim()}, pool);
}

std::vector<float> CenteredCode::Parameters() const {
  std::vector<float> parameters = center_;
  const std::vector<float> inner = code_->Parameters();
  parameters.insert(parameters.end(), inner.begin(), inner.end());
  return parameters;
}

void CenteredCode::SetParameters(std::span<const float> parameters) {
  if (parameters.size() < center_.size())
    Fail("{}: {} parameters, a centre needs {}", name(), parameters.size(), center_.size());
  center_.assign(parameters.begin(), parameters.begin() + dim());
  code_->SetParameters(parameters.subspan(center_.size()));
}

void CenteredCode::Decode(const uint8_t* codes, int64_t n, float* x) const {
  code_->Decode(codes, n, x);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < dim(); ++j) x[i * dim() + j] += center_[static_cast<size_t>(j)];
  }
}

void CenteredCode::Project(const float* q, float* projected) const {
  code_->Project(q, projected);
  std::copy(q, q + dim(), projected + code_->projected_dim());
}

// ||q - x||^2 = ||(q - c) - (x - c)||^2, so distances are the inner code's of the query q - c; inner products
// are its own of q, plus <q, c>.
std::unique_ptr<VectorCode::Batch> CenteredCode::PrepareBatch(const ProjectedQueries& queries, ScoreKind kind,
                                                              int64_t stride) const {
  const int64_t count = queries.rows.rows, width = code_->projected_dim();
  if (kind == ScoreKind::kNegativeProduct) {
    std::vector<float> constant(queries.constant, queries.constant + count);
    for (int64_t r = 0; r < count; ++r) {
      const float* q = queries.rows.Row(r) + width;
      double product = 0;
      for (size_t j = 0; j < center_.size(); ++j) product += double{q[j]} * center_[j];
      constant[static_cast<size_t>(r)] -= static_cast<float>(product);
    }
    return code_->PrepareBatch({queries.rows.Block(0, 0, count, width), constant.data()}, kind, stride);
  }
  std::vector<float> shift(static_cast<size_t>(width)), residual(static_cast<size_t>(count * width));
  code_->Project(center_.data(), shift.data());
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t j = 0; j < width; ++j)
      residual[static_cast<size_t>(r * width + j)] = queries.rows(r, j) - shift[static_cast<size_t>(j)];
  }
  return code_->PrepareBatch({{residual.data(), count, width}, queries.constant}, kind, stride);
}

void CenteredCode::EncodeRows(MatrixView<const float> x, int64_t first, uint8_t* codes) const {
  // A multiple of what encoders take at a time, few enough for the caches.
  constexpr int64_t kRows = 16;
  std::vector<float> residual(static_cast<size_t>(std::min(kRows, x.rows) * dim()));
  for (int64_t begin = 0; begin < x.rows; begin += kRows) {
    const int64_t rows = std::min(kRows, x.rows - begin);
    for (int64_t i = 0; i < rows; ++i) {
      const float* row = x.Row(begin + i);
      float* to = &residual[static_cast<size_t>(i * dim())];
      for (int64_t j = 0; j < dim(); ++j) to[j] = row[j] - center_[static_cast<size_t>(j)];
    }
    code_->EncodeRows({residual.data(), rows, dim()}, first + begin, codes + begin * bytes());
  }
}

}  // namespace lowbit
