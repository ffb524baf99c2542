#include "lowbit/quantize/vector_code.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
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

void VectorCode::Batch::ScoresWithin(const uint8_t* codes, int64_t n, const PassedRows& passed) const {
  Scores(codes, n, passed.score);
  SelectPassed(n, passed);
}

VectorCode::Query::Query(const VectorCode& code, const float* query)
    : code_(code), projected_(static_cast<size_t>(code.projected_dim())) {
  if (!AllFinite({query, static_cast<size_t>(code.dim())}))
    Fail("a query holds a NaN or an infinity; it must be finite");
  code.Project(query, projected_.data());
}

void VectorCode::Query::Scores(ScoreKind kind, const uint8_t* codes, int64_t n, float* scores) const {
  constexpr int64_t kRun = 4096;  // codes whose factors are in memory at a time
  const float zero = 0;
  const auto batch = code_.PrepareBatch({{projected_.data(), 1, code_.projected_dim()}, &zero}, kind);
  for (int64_t begin = 0; begin < n; begin += kRun)
    batch->Scores(codes + begin * code_.bytes(), std::min(kRun, n - begin), scores + begin);
}

void VectorCode::Query::InnerProducts(const uint8_t* codes, int64_t n, float* estimates) const {
  Scores(ScoreKind::kNegativeProduct, codes, n, estimates);
  for (int64_t i = 0; i < n; ++i) estimates[i] = -estimates[i];
}

void VectorCode::Query::SquaredDistances(const uint8_t* codes, int64_t n, float* estimates) const {
  Scores(ScoreKind::kSquaredDistance, codes, n, estimates);
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
