#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/method/gptq.h"
#include "lowbit/quantize/output_error.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

constexpr GgmlGridType kTypes[] = {
    GgmlGridType::kQ4_0, GgmlGridType::kQ4_1, GgmlGridType::kQ5_0, GgmlGridType::kQ5_1, GgmlGridType::kQ8_0,
    GgmlGridType::kQ2_K, GgmlGridType::kQ3_K, GgmlGridType::kQ4_K, GgmlGridType::kQ5_K, GgmlGridType::kQ6_K};

template <typename T>
double TotalError(const std::vector<T>& w, const std::vector<float>& q, const std::vector<T>& h,
                  int64_t rows) {
  std::vector<T> difference(w.size());
  for (size_t i = 0; i < w.size(); ++i) difference[i] = w[i] - static_cast<T>(q[i]);
  const std::vector<double> error =
      OutputError<T>(View(difference, rows), View(h, static_cast<int64_t>(w.size()) / rows));
  return std::accumulate(error.begin(), error.end(), 0.0);
}

template <typename T>
std::vector<float> Diagonal(const std::vector<T>& h, int64_t columns) {
  std::vector<float> d;
  for (int64_t c = 0; c < columns; ++c)
    d.push_back(static_cast<float>(h[static_cast<size_t>(c * columns + c)]));
  return d;
}

TEST(GptqGgml, ReportedLossIsTheErrorOfTheStoredMatrixAndBeatsWeightedRounding) {
  const int64_t rows = 33, columns = 512;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 1),
                            h = RandomHessian<double>(columns, 2);
  for (const GgmlGridType type : kTypes) {
    for (const ColumnOrder order : {ColumnOrder::kNone, ColumnOrder::kGroupAware}) {
      GptqGgmlOptions options;
      options.type = type;
      options.order = order;
      const GptqGgmlResult result = SolveGptqGgml<double>(View(w, rows), View(h, columns), options);
      ASSERT_FALSE(result.fell_back) << result.reason;
      std::vector<double> damped = h;
      for (int64_t c = 0; c < columns; ++c) damped[static_cast<size_t>(c * columns + c)] += result.damping;
      const double error = TotalError(w, Dequantize(result.matrix), damped, rows);
      // Files are dequantized in float, the sweep ran in double.
      EXPECT_NEAR(result.loss, error / 2, 1e-4 * error) << GridOf(type).name;
      const std::vector<float> rounded =
          Dequantize(RoundToGgml<double>(View(w, rows), type, Diagonal(h, columns)));
      EXPECT_LT(error, 0.8 * TotalError(w, rounded, damped, rows)) << GridOf(type).name;
    }
  }
}

TEST(GptqGgml, DiagonalHessianEqualsWeightedRoundingBitForBit) {
  const int64_t rows = 40, columns = 512;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 3);
  std::vector<float> h(static_cast<size_t>(columns * columns), 0.0f);
  for (int64_t c = 0; c < columns; ++c)
    h[static_cast<size_t>(c * columns + c)] = 1.0f + static_cast<float>((c * 37) % 101);
  for (const GgmlGridType type : kTypes) {
    for (const ColumnOrder order : {ColumnOrder::kNone, ColumnOrder::kGroupAware}) {
      GptqGgmlOptions options;
      options.type = type;
      options.order = order;
      options.search_weight = SearchWeight::kHessianDiagonal;
      const GgmlCodes a = SolveGptqGgml<float>(View(w, rows), View(h, columns), options).matrix;
      std::vector<float> importance = Diagonal(h, columns);
      const GgmlCodes b = RoundToGgml<float>(View(w, rows), type, importance);
      EXPECT_EQ(a.codes, b.codes) << GridOf(type).name;
      EXPECT_EQ(a.d, b.d) << GridOf(type).name;
      EXPECT_EQ(a.dmin, b.dmin) << GridOf(type).name;
      EXPECT_EQ(a.scale, b.scale) << GridOf(type).name;
      EXPECT_EQ(a.min, b.min) << GridOf(type).name;
    }
  }
}

TEST(GptqGgml, PivotWeightsLeaveLessErrorThanTheDiagonal) {
  const int64_t rows = 96, columns = 512;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 7),
                            h = RandomHessian<double>(columns, 8);
  for (const GgmlGridType type :
       {GgmlGridType::kQ2_K, GgmlGridType::kQ3_K, GgmlGridType::kQ4_0, GgmlGridType::kQ4_K}) {
    GptqGgmlOptions options;
    options.type = type;
    const double pivot = SolveGptqGgml<double>(View(w, rows), View(h, columns), options).loss;
    options.search_weight = SearchWeight::kHessianDiagonal;
    EXPECT_LT(pivot, SolveGptqGgml<double>(View(w, rows), View(h, columns), options).loss)
        << GridOf(type).name;
  }
}

TEST(GptqGgml, DoesNotDependOnThreadsOrBlock) {
  const int64_t rows = 70, columns = 768;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 4),
                            h = RandomHessian<double>(columns, 5);
  for (const GgmlGridType type : {GgmlGridType::kQ4_0, GgmlGridType::kQ2_K, GgmlGridType::kQ4_K}) {
    GptqGgmlOptions options;
    options.type = type;
    ThreadPool one(1), seven(7);
    const GptqGgmlResult a = SolveGptqGgml<double>(View(w, rows), View(h, columns), options, one);
    const GptqGgmlResult b = SolveGptqGgml<double>(View(w, rows), View(h, columns), options, seven);
    EXPECT_EQ(a.matrix.codes, b.matrix.codes);
    EXPECT_EQ(a.row_loss, b.row_loss);
    options.block = 32;
    EXPECT_EQ(SolveGptqGgml<double>(View(w, rows), View(h, columns), options).matrix.codes, a.matrix.codes);
  }
}

TEST(GptqGgml, FallsBackAndRefuses) {
  const int64_t rows = 4, columns = 256;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 6);
  std::vector<float> h(static_cast<size_t>(columns * columns), 0.0f);
  const GptqGgmlResult zero = SolveGptqGgml<float>(View(w, rows), View(h, columns), {});
  EXPECT_TRUE(zero.fell_back);
  EXPECT_EQ(zero.matrix.codes, RoundToGgml<float>(View(w, rows), GgmlGridType::kQ4_K).codes);
  GptqGgmlOptions options;
  options.order = ColumnOrder::kActivation;
  EXPECT_THROW(SolveGptqGgml<float>(View(w, rows), View(h, columns), options), UsageError);
  const std::vector<float> narrow(100, 0.1f), small(10000, 0.0f);
  EXPECT_THROW(SolveGptqGgml<float>(View(narrow, 1), View(small, 100), {}), Error);
}

}  // namespace
}  // namespace lowbit
