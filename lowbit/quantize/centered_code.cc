#include "lowbit/quantize/centered_code.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// ||q - x||^2 = ||(q - c) - (x - c)||^2, so distances are the inner code's of the query q - c; inner products
// are its own of q, plus <q, c>.
class CenteredQuery : public VectorCode::Query {
 public:
  CenteredQuery(const VectorCode& code, double offset, std::unique_ptr<Query> plain,
                std::unique_ptr<Query> residual)
      : Query(code, 0), offset_(offset), plain_(std::move(plain)), residual_(std::move(residual)) {}

  void InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const override {
    plain_->InnerProducts(codes, n, estimates);
    for (int64_t i = 0; i < n; ++i) estimates[i] += static_cast<float>(offset_);
  }
  void SquaredDistances(const uint8_t* codes, int64_t n, float* estimates) const override {
    residual_->SquaredDistances(codes, n, estimates);
  }

 private:
  double offset_;
  std::unique_ptr<Query> plain_, residual_;
};

}  // namespace

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

std::unique_ptr<VectorCode::Query> CenteredCode::Prepare(const float* query) const {
  double offset = 0;
  std::vector<float> residual(center_.size());
  for (size_t j = 0; j < center_.size(); ++j) {
    offset += double{query[j]} * center_[j];
    residual[j] = query[j] - center_[j];
  }
  return std::make_unique<CenteredQuery>(*this, offset, code_->Prepare(query),
                                         code_->Prepare(residual.data()));
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
