#include "lowbit/quantize/vector_code.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/kernel/code_scores.h"
#include "lowbit/quantize/centered_code.h"
#include "lowbit/quantize/grid_code.h"
#include "lowbit/quantize/trellis_codebook.h"
#include "lowbit/quantize/turboquant.h"

namespace lowbit {
namespace {

constexpr int64_t kTaskRows = 64;  // a multiple of what encoders take at a time

std::string Listed() {
  std::string all;
  for (const std::string& name : VectorCodeNames()) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// "tq2.5-prod" -> ("tq2.5", kProd); false when the suffix is none of ours.
bool SplitSuffix(std::string_view name, std::string_view& base, Estimator& estimator) {
  const size_t dash = name.find('-');
  base = name.substr(0, dash);
  const std::string_view suffix = dash == std::string_view::npos ? "" : name.substr(dash + 1);
  if (suffix.empty() && dash != std::string_view::npos) return false;
  for (const Estimator e : {Estimator::kMse, Estimator::kDebiased, Estimator::kRescaled, Estimator::kProd}) {
    if (suffix == SuffixOf(e)) {
      estimator = e;
      return true;
    }
  }
  return false;
}

// The single digit after `prefix`, 0 when `name` is something else.
int Digit(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 1) return 0;
  const char c = name.back();
  return c >= '1' && c <= '9' ? c - '0' : 0;
}

std::unique_ptr<VectorCode> MakeUncentered(std::string_view name, int64_t dim,
                                           const VectorCodeOptions& options) {
  const std::string full(name);
  if (name == "qjl") return std::make_unique<SketchCode>(dim, dim, options);
  if (const int bits = Digit(name, "rabitq"); bits >= 1 && bits <= 8) {
    return std::make_unique<GridCode>(full, dim, UniformGrid(bits), Rounding::kCosine, Scaling::kUnbiased,
                                      options);
  }
  if (const int bits = Digit(name, "trellis"); bits >= 1 && bits <= 4) {
    return std::make_unique<GridCode>(full, dim, TrellisGrid(bits), Rounding::kTrellis, Scaling::kUnbiased,
                                      options);
  }
  std::string_view base;
  Estimator estimator;
  if (SplitSuffix(name, base, estimator)) {
    if (const int bits = Digit(base, "tq"); bits >= 1 && bits <= 4)
      return MakeTurboQuant(full, dim, bits, estimator, options);
    if (base == "tq2.5" || base == "tq3.5")
      return std::make_unique<OutlierSplitCode>(full, dim, base[2] - '0', estimator, options);
  }
  FailUsage("\"{}\" is not a vector code; known: {}", name, Listed());
}

// Query by query: codes whose queries have nothing to share.
class SingleQueries : public VectorCode::Batch {
 public:
  SingleQueries(const VectorCode& code, const ProjectedQueries& queries, ScoreKind kind)
      : code_(code), constant_(queries.constant, queries.constant + queries.rows.rows), kind_(kind) {
    for (int64_t r = 0; r < queries.rows.rows; ++r) queries_.push_back(code.Prepare(queries.rows.Row(r)));
    if (queries.weight != nullptr) weight_.assign(queries.weight, queries.weight + queries.rows.rows);
  }
  void Scores(const uint8_t* codes, int64_t n, float* scores) const override {
    const bool biased = kind_ == ScoreKind::kNegativeProduct && !weight_.empty();
    std::vector<float> biases(static_cast<size_t>(biased ? n : 0));
    if (biased) code_.LoadBiases(codes, n, biases.data());
    for (size_t r = 0; r < queries_.size(); ++r, scores += n) {
      if (kind_ == ScoreKind::kSquaredDistance) {
        queries_[r]->SquaredDistances(codes, n, scores);
        for (int64_t i = 0; i < n; ++i) scores[i] = constant_[r] + scores[i];
      } else {
        queries_[r]->InnerProducts(codes, n, scores);
        for (int64_t i = 0; i < n; ++i) scores[i] = constant_[r] - scores[i];
        for (size_t i = 0; i < biases.size(); ++i) scores[i] -= weight_[r] * biases[i];
      }
    }
  }

 private:
  const VectorCode& code_;
  std::vector<std::unique_ptr<VectorCode::Query>> queries_;
  std::vector<float> constant_, weight_;
  ScoreKind kind_;
};

}  // namespace

void StoreFactor(double value, const char* what, int64_t row, uint8_t* at) {
  const uint16_t half = FloatToF16(static_cast<float>(value));
  if (!std::isfinite(F16ToFloat(half)))
    Fail("row {}: its {} {} is beyond 65504, the largest f16; scale the vectors down", row, what, value);
  std::memcpy(at, &half, sizeof half);
}

float LoadFactor(const uint8_t* at) {
  uint16_t half;
  std::memcpy(&half, at, sizeof half);
  return F16ToFloat(half);
}

void VectorCode::Project(const float* q, float* projected) const {
  std::copy(q, q + dim_, projected);
}

std::unique_ptr<VectorCode::Batch> VectorCode::PrepareBatch(const ProjectedQueries& queries,
                                                            ScoreKind kind) const {
  return std::make_unique<SingleQueries>(*this, queries, kind);
}

void VectorCode::Batch::ScoresWithin(const uint8_t* codes, int64_t n, const PassedRows& passed) const {
  Scores(codes, n, passed.score);
  SelectPassed(n, passed);
}

void VectorCode::Query::SquaredDistances(const uint8_t* codes, int64_t n, float* estimates) const {
  InnerProducts(codes, n, estimates);
  for (int64_t i = 0; i < n; ++i) {
    const double norm = code_.Norm(codes + i * code_.bytes());
    estimates[i] = static_cast<float>(squared_norm_ + norm * norm - 2.0 * estimates[i]);
  }
}

void VectorCode::StoreBiases(const float* biases, int64_t n, const char* what, int64_t first,
                             uint8_t* codes) const {
  for (int64_t i = 0; i < n; ++i) StoreFactor(biases[i], what, first + i, codes + i * bytes() + own_bytes());
}

void VectorCode::LoadBiases(const uint8_t* codes, int64_t n, float* biases) const {
  LoadFactors(codes + own_bytes(), bytes(), n, 1, false, biases);
}

void VectorCode::Train(MatrixView<const float> x, ThreadPool&) {
  if (x.cols != dim_) Fail("{}: training vectors have {} dimensions, the code {}", name_, x.cols, dim_);
}

void VectorCode::SetParameters(std::span<const float> parameters) {
  if (!parameters.empty()) Fail("{}: has no parameters, {} were given", name_, parameters.size());
}

void VectorCode::Encode(MatrixView<const float> x, uint8_t* codes, ThreadPool& pool) const {
  if (x.cols != dim_) Fail("{}: vectors have {} dimensions, the code {}", name_, x.cols, dim_);
  pool.Run((x.rows + kTaskRows - 1) / kTaskRows, [&](int64_t task, int) {
    const int64_t first = task * kTaskRows, rows = std::min(kTaskRows, x.rows - first);
    EncodeRows(x.Block(first, 0, rows, dim_), first, codes + first * bytes());
  });
}

std::unique_ptr<VectorCode> MakeVectorCode(std::string_view name, int64_t dim,
                                           const VectorCodeOptions& options) {
  if (dim < 1) FailUsage("a vector code of {} dimensions: at least 1 is needed", dim);
  if (options.center && options.bias) Fail("{}: a centred code keeps no numbers of others beside it", name);
  std::unique_ptr<VectorCode> code = MakeUncentered(name, dim, options);
  if (options.center) return std::make_unique<CenteredCode>(std::move(code));
  return code;
}

std::vector<std::string> VectorCodeNames() {
  std::vector<std::string> names;
  for (const char* base : {"tq1", "tq2", "tq2.5", "tq3", "tq3.5", "tq4"}) {
    names.push_back(base);
    for (const Estimator e : {Estimator::kDebiased, Estimator::kRescaled, Estimator::kProd})
      names.push_back(std::string(base) + "-" + std::string(SuffixOf(e)));
  }
  for (int bits = 1; bits <= 8; ++bits) names.push_back("rabitq" + std::to_string(bits));
  for (int bits = 1; bits <= 4; ++bits) names.push_back("trellis" + std::to_string(bits));
  names.push_back("qjl");
  return names;
}

}  // namespace lowbit
