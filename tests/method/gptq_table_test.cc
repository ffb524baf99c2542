#include <gtest/gtest.h>

#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/method/gptq.h"
#include "lowbit/quantize/output_error.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

constexpr const char* kNames[] = {"e2m1-g32", "nf4-g64",     "apot4", "mxfp4-mse",
                                  "nvfp4",    "ternary-g64", "e4m3"};

double Error2(const std::vector<float>& w, const std::vector<float>& q, const std::vector<float>& h,
              int64_t rows) {
  std::vector<float> difference(w.size());
  for (size_t i = 0; i < w.size(); ++i) difference[i] = w[i] - q[i];
  const std::vector<double> error =
      OutputError<float>(View(difference, rows), View(h, static_cast<int64_t>(w.size()) / rows));
  return std::accumulate(error.begin(), error.end(), 0.0);
}

TEST(GptqTable, LossIsTheErrorOfTheStoredMatrixAndBeatsRounding) {
  const int64_t rows = 33, columns = 256;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 1), h = RandomHessian<float>(columns, 2);
  for (const char* name : kNames) {
    const ScalarFormat format = ParseScalarFormat(name);
    const Table table = TableOf(format.alphabet);
    for (const ColumnOrder order : {ColumnOrder::kNone, ColumnOrder::kActivation, ColumnOrder::kStaticGroups,
                                    ColumnOrder::kGroupAware}) {
      const GptqTableResult result =
          SolveGptqTable(View(w, rows), View(h, columns), {.format = format, .order = order});
      ASSERT_FALSE(result.fell_back) << result.reason;
      std::vector<float> damped = h;
      for (int64_t c = 0; c < columns; ++c)
        damped[static_cast<size_t>(c * columns + c)] += static_cast<float>(result.damping);
      const double error = Error2(w, Dequantize(result.matrix, table), damped, rows);
      EXPECT_NEAR(result.loss, error / 2, 1e-3 * error) << name;
      EXPECT_LT(error, 0.9 * Error2(w, Dequantize(RoundToTable(View(w, rows), format), table), damped, rows))
          << name;
    }
  }
}

TEST(GptqTable, DiagonalHessianEqualsRounding) {
  const int64_t rows = 40, columns = 128;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 3);
  std::vector<float> h(static_cast<size_t>(columns * columns), 0.0f), diagonal;
  for (int64_t c = 0; c < columns; ++c) {
    diagonal.push_back(1.0f + static_cast<float>((c * 37) % 101));
    h[static_cast<size_t>(c * columns + c)] = diagonal.back();
  }
  // The search sees weights relative to their mean.
  const float mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0f) / static_cast<float>(columns);
  for (float& d : diagonal) d /= mean;
  for (const char* name : kNames) {
    const ScalarFormat format = ParseScalarFormat(name);
    const TableCodes a = SolveGptqTable(View(w, rows), View(h, columns), {.format = format}).matrix;
    const TableCodes b = RoundToTable(View(w, rows), format, diagonal);
    EXPECT_EQ(a.codes, b.codes) << name;
    EXPECT_EQ(a.scales, b.scales) << name;
  }
}

TEST(GptqTable, WeightsOnTheGridStay) {
  const int64_t rows = 8, columns = 64;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 4), h = RandomHessian<float>(columns, 5);
  for (const char* name : {"e2m1-g32", "mxfp4-mse", "apot4"}) {
    const ScalarFormat format = ParseScalarFormat(name);
    const Table table = TableOf(format.alphabet);
    const std::vector<float> grid = Dequantize(RoundToTable(View(w, rows), format), table);
    const GptqTableResult result = SolveGptqTable(View(grid, rows), View(h, columns), {.format = format});
    EXPECT_EQ(Dequantize(result.matrix, table), grid) << name;
    EXPECT_EQ(result.loss, 0) << name;
  }
}

TEST(GptqTable, DoesNotDependOnThreads) {
  const int64_t rows = 70, columns = 192;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 6), h = RandomHessian<float>(columns, 7);
  ThreadPool one(1), seven(7);
  const GptqTableOptions options{.format = ParseScalarFormat("nvfp4-mse"), .order = ColumnOrder::kGroupAware};
  const GptqTableResult a = SolveGptqTable(View(w, rows), View(h, columns), options, one),
                        b = SolveGptqTable(View(w, rows), View(h, columns), options, seven);
  EXPECT_EQ(a.matrix.codes, b.matrix.codes);
  EXPECT_EQ(a.matrix.scales, b.matrix.scales);
}

}  // namespace
}  // namespace lowbit
