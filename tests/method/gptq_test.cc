#include "lowbit/method/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/method/rtn.h"
#include "lowbit/quantize/output_error.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

constexpr ColumnOrder kOrders[] = {ColumnOrder::kNone, ColumnOrder::kActivation, ColumnOrder::kStaticGroups,
                                   ColumnOrder::kGroupAware};

// tr(D H D^T) of a quantized matrix.
template <typename T>
double Error(const std::vector<T>& w, const AffineCodes& q, const std::vector<T>& h) {
  const std::vector<float> values = Dequantize(q);
  std::vector<T> difference(w.size());
  for (size_t i = 0; i < w.size(); ++i) difference[i] = w[i] - static_cast<T>(values[i]);
  const std::vector<double> rows = OutputError<T>(View(difference, q.rows), View(h, q.cols));
  return std::accumulate(rows.begin(), rows.end(), 0.0);
}

std::vector<double> Damped(std::vector<double> h, int64_t columns, double damping) {
  for (int64_t i = 0; i < columns; ++i) h[static_cast<size_t>(i * columns + i)] += damping;
  return h;
}

void ExpectSame(const AffineCodes& a, const AffineCodes& b) {
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
  EXPECT_EQ(a.zeros, b.zeros);
  EXPECT_EQ(a.g_idx, b.g_idx);
}

TEST(Gptq, ReportedLossIsTheOutputError) {
  const int64_t rows = 40, columns = 300;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 1),
                            h = RandomHessian<double>(columns, 2);
  for (const ColumnOrder order : kOrders) {
    for (const int64_t group : {0, 64, 128}) {
      GptqOptions options;
      options.grid.bits = 3;
      options.group = group;
      options.order = order;
      const GptqResult result = SolveGptq<double>(View(w, rows), View(h, columns), options);
      ASSERT_FALSE(result.fell_back) << result.reason;
      const double error = Error(w, result.matrix, Damped(h, columns, result.damping));
      EXPECT_NEAR(result.loss, error / 2, 1e-5 * error);
      // And it beats rounding on the same grid size.
      const AffineCodes rtn = RoundToNearest<double>(View(w, rows), {options.grid, group});
      EXPECT_LT(error, 0.8 * Error(w, rtn, Damped(h, columns, result.damping)));
    }
  }
}

template <typename T>
class GptqTyped : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GptqTyped, Types);

TYPED_TEST(GptqTyped, DiagonalHessianEqualsRoundToNearestBitForBit) {
  using T = TypeParam;
  const int64_t rows = 45, columns = 200;
  const std::vector<T> w = RandomWeights<T>(rows, columns, 3);
  std::vector<T> h(static_cast<size_t>(columns * columns), T(0));
  for (int64_t c = 0; c < columns; ++c)
    h[static_cast<size_t>(c * columns + c)] = T(1) + static_cast<T>((c * 37) % 101);
  for (const ColumnOrder order : kOrders) {
    for (const GridKind kind : {GridKind::kAsymmetric, GridKind::kSymmetric}) {
      for (const int64_t group : {0, 32, 96}) {
        if (order == ColumnOrder::kActivation && group != 0) continue;  // other groups than rounding has
        GptqOptions options;
        options.grid = {.bits = 3, .kind = kind, .shrink_steps = group == 32 ? 80 : 0};
        options.group = group;
        options.order = order;
        options.grid.norm = 2;
        const GptqResult result = SolveGptq<T>(View(w, rows), View(h, columns), options);
        const AffineCodes rtn = RoundToNearest<T>(View(w, rows), {options.grid, group});
        if (group == 32 && order == ColumnOrder::kGroupAware) {  // the search's sum runs in another order
          EXPECT_NEAR(Error(w, result.matrix, h), Error(w, rtn, h), 1e-2 * Error(w, rtn, h));
        } else {
          ExpectSame(result.matrix, rtn);
        }
      }
    }
  }
}

TYPED_TEST(GptqTyped, RepresentableWeightsComeBackUnchanged) {
  using T = TypeParam;
  const int64_t rows = 34, columns = 192;
  const std::vector<T> h = RandomHessian<T>(columns, 5), random = RandomWeights<T>(rows, columns, 4);
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    GptqOptions options;
    options.grid.bits = bits;
    options.group = 64;
    const AffineCodes grid = RoundToNearest<T>(View(random, rows), {options.grid, options.group});
    // Every group uses its whole range, so that the fit finds the grid again.
    AffineCodes full = grid;
    const uint8_t top = static_cast<uint8_t>((1 << bits) - 1);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; c += 64) {
        full.codes[static_cast<size_t>(r * columns + c)] = 0;
        full.codes[static_cast<size_t>(r * columns + c + 1)] = top;
      }
    }
    const std::vector<float> values = Dequantize(full);
    const std::vector<T> w(values.begin(), values.end());
    const GptqResult result = SolveGptq<T>(View(w, rows), View(h, columns), options);
    ExpectSame(result.matrix, full);
    EXPECT_EQ(result.loss, 0);
  }
}

TYPED_TEST(GptqTyped, DoesNotDependOnThreads) {
  using T = TypeParam;
  const int64_t rows = 100, columns = 320;
  const std::vector<T> w = RandomWeights<T>(rows, columns, 6), h = RandomHessian<T>(columns, 7);
  for (const ColumnOrder order : kOrders) {
    GptqOptions options;
    options.grid = {.bits = 3, .shrink_steps = 20};
    options.group = 64;
    options.order = order;
    ThreadPool one(1);
    const GptqResult reference = SolveGptq<T>(View(w, rows), View(h, columns), options, one);
    for (const int threads : {2, 7}) {
      ThreadPool pool(threads);
      const GptqResult other = SolveGptq<T>(View(w, rows), View(h, columns), options, pool);
      ExpectSame(other.matrix, reference.matrix);
      EXPECT_EQ(other.row_loss, reference.row_loss);
      EXPECT_EQ(other.loss, reference.loss);
    }
  }
}

TEST(Gptq, BlockSizeDoesNotMatter) {
  const int64_t rows = 20, columns = 330;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 8),
                            h = RandomHessian<double>(columns, 9);
  for (const ColumnOrder order : kOrders) {
    GptqOptions options;
    options.group = 64;  // the last group has 10 columns
    options.order = order;
    const GptqResult reference = SolveGptq<double>(View(w, rows), View(h, columns), options);
    EXPECT_EQ(reference.matrix.groups, 6);
    for (const int64_t block : {1, 32}) {
      options.block = block;
      ExpectSame(SolveGptq<double>(View(w, rows), View(h, columns), options).matrix, reference.matrix);
    }
  }
}

TEST(Gptq, NeverBelowTheExhaustiveOptimumAndOnAverageBelowRounding) {
  const int64_t columns = 4;
  double gptq_sum = 0, rtn_sum = 0, best_sum = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<double> w = RandomWeights<double>(1, columns, seed),
                              h = RandomHessian<double>(columns, seed);
    GptqOptions options;
    options.grid.bits = 2;
    const GptqResult result = SolveGptq<double>(View(w, 1), View(h, columns), options);
    const std::vector<double> damped = Damped(h, columns, result.damping);
    const double gptq = Error(w, result.matrix, damped);
    double best = 1e300;
    AffineCodes trial = result.matrix;
    for (int all = 0; all < 256; ++all) {
      for (int c = 0; c < 4; ++c)
        trial.codes[static_cast<size_t>(c)] = static_cast<uint8_t>(all >> (2 * c) & 3);
      best = std::min(best, Error(w, trial, damped));
    }
    EXPECT_GE(gptq, best * (1 - 1e-9));
    gptq_sum += gptq;
    best_sum += best;
    rtn_sum += Error(w, RoundToNearest<double>(View(w, 1), {options.grid, 0}), damped);
  }
  EXPECT_LT(gptq_sum, 0.9 * rtn_sum);
  EXPECT_LT(gptq_sum, 1.6 * best_sum);
}

TEST(Gptq, GroupIndexDescribesTheOrder) {
  const int64_t rows = 8, columns = 100, group = 32;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 10),
                            h = RandomHessian<double>(columns, 11);
  for (const ColumnOrder order : kOrders) {
    GptqOptions options;
    options.group = group;
    options.order = order;
    const GptqResult result = SolveGptq<double>(View(w, rows), View(h, columns), options);
    std::vector<int32_t> sorted = result.permutation;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t c = 0; c < columns; ++c) ASSERT_EQ(sorted[static_cast<size_t>(c)], c);
    const auto d = [&](int64_t position) {
      const int64_t c = result.permutation[static_cast<size_t>(position)];
      return h[static_cast<size_t>(c * columns + c)];
    };
    for (int64_t i = 0; i < columns; ++i) {
      const int32_t column = result.permutation[static_cast<size_t>(i)];
      const int32_t g = result.matrix.g_idx[static_cast<size_t>(column)];
      switch (order) {
        case ColumnOrder::kNone:
          EXPECT_EQ(column, i);
          EXPECT_EQ(g, i / group);
          break;
        case ColumnOrder::kActivation:
          EXPECT_EQ(g, i / group);  // rank / group
          break;
        case ColumnOrder::kStaticGroups:
        case ColumnOrder::kGroupAware:
          EXPECT_EQ(g, column / group);
          break;
      }
      const bool same_group =
          i > 0 &&
          g == result.matrix.g_idx[static_cast<size_t>(result.permutation[static_cast<size_t>(i - 1)])];
      if (order == ColumnOrder::kActivation || order == ColumnOrder::kStaticGroups ||
          (order == ColumnOrder::kGroupAware && same_group)) {
        if (i > 0) {
          EXPECT_GE(d(i - 1), d(i));
        }
      }
    }
  }
}

// What a runtime does with an irregular g_idx: sort the columns by group once, gather the inputs alike.
TEST(Gptq, ReorderingByGroupDoesNotChangeTheMatrix) {
  const int64_t rows = 8, columns = 100;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 12),
                            h = RandomHessian<double>(columns, 13);
  GptqOptions options;
  options.group = 32;
  options.order = ColumnOrder::kActivation;
  const AffineCodes q = SolveGptq<double>(View(w, rows), View(h, columns), options).matrix;
  std::vector<int32_t> by_group(static_cast<size_t>(columns));
  std::iota(by_group.begin(), by_group.end(), 0);
  std::stable_sort(by_group.begin(), by_group.end(), [&](int32_t a, int32_t b) {
    return q.g_idx[static_cast<size_t>(a)] < q.g_idx[static_cast<size_t>(b)];
  });
  AffineCodes sorted = q;
  for (int64_t c = 0; c < columns; ++c) {
    sorted.g_idx[static_cast<size_t>(c)] = static_cast<int32_t>(c / 32);
    for (int64_t r = 0; r < rows; ++r)
      sorted.codes[static_cast<size_t>(r * columns + c)] =
          q.codes[static_cast<size_t>(r * columns + by_group[static_cast<size_t>(c)])];
  }
  const std::vector<float> a = Dequantize(q), b = Dequantize(sorted);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      ASSERT_EQ(a[static_cast<size_t>(r * columns + by_group[static_cast<size_t>(c)])],
                b[static_cast<size_t>(r * columns + c)]);
  }
}

TEST(Gptq, SingularHessianGetsMoreDampingOrFallsBack) {
  const int64_t rows = 8, columns = 64;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 14);
  GptqOptions options;
  options.group = 32;
  // Fewer tokens than columns, and no damping to begin with.
  const std::vector<float> rank5 = PlainHessian(RandomInputs<float>(5, columns, 15), columns, 1);
  options.damping.relative = 0;
  const GptqResult damped = SolveGptq<float>(View(w, rows), View(rank5, columns), options);
  EXPECT_FALSE(damped.fell_back);
  EXPECT_GT(damped.tries, 1);
  EXPECT_GT(damped.damping, 0);

  std::vector<float> bad = RandomHessian<float>(columns, 16);
  bad[3 * columns + 3] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> zero(bad.size(), 0.0f);
  for (const std::vector<float>& h : {bad, zero}) {
    const GptqResult result = SolveGptq<float>(View(w, rows), View(h, columns), options);
    EXPECT_TRUE(result.fell_back);
    EXPECT_FALSE(result.reason.empty());
    ExpectSame(result.matrix, RoundToNearest<float>(View(w, rows), {options.grid, options.group}));
  }
}

TEST(Gptq, DeadColumnsAreRoundedPlainly) {
  const int64_t rows = 8, columns = 64;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 17);
  std::vector<double> x = RandomInputs<double>(200, columns, 18);
  for (size_t t = 0; t < 200; ++t) x[t * columns + 9] = x[t * columns + 40] = 0;
  GptqOptions options;
  const GptqResult result =
      SolveGptq<double>(View(w, rows), View(PlainHessian(x, columns, 1), columns), options);
  EXPECT_EQ(result.dead_columns, 2);
  const AffineCodes rtn = RoundToNearest<double>(View(w, rows), {options.grid, 0});
  EXPECT_EQ(result.matrix.scales, rtn.scales);
  for (size_t r = 0; r < rows; ++r) {
    EXPECT_EQ(result.matrix.codes[r * columns + 9], rtn.codes[r * columns + 9]);
    EXPECT_EQ(result.matrix.codes[r * columns + 40], rtn.codes[r * columns + 40]);
  }
}

TEST(Gptq, BadWeightsAndOptionsAreNamed) {
  const int64_t rows = 3, columns = 8;
  std::vector<float> w = RandomWeights<float>(rows, columns, 19);
  const std::vector<float> h = RandomHessian<float>(columns, 20);
  GptqOptions options;
  options.group = -1;
  EXPECT_THROW(SolveGptq<float>(View(w, rows), View(h, columns), options), UsageError);
  w[2 * columns + 5] = std::numeric_limits<float>::infinity();
  try {
    SolveGptq<float>(View(w, rows), View(h, columns), {});
    FAIL();
  } catch (const lowbit::Error& error) {
    EXPECT_NE(std::string(error.what()).find("row 2, column 5"), std::string::npos) << error.what();
  }
}

// Wide enough for several panels and row tiles: the float solve stays close to the double one.
TEST(Gptq, FloatAgreesWithDouble) {
  const int64_t rows = 600, columns = 640;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 21), h = RandomHessian<float>(columns, 22);
  const std::vector<double> wd(w.begin(), w.end()), hd(h.begin(), h.end());
  GptqOptions options;
  options.group = 128;
  const GptqResult f = SolveGptq<float>(View(w, rows), View(h, columns), options);
  const GptqResult d = SolveGptq<double>(View(wd, rows), View(hd, columns), options);
  EXPECT_NEAR(f.loss, d.loss, 2e-3 * d.loss);
  size_t different = 0;
  for (size_t i = 0; i < w.size(); ++i) different += f.matrix.codes[i] != d.matrix.codes[i];
  EXPECT_LT(different, w.size() / 20);
}

}  // namespace
}  // namespace lowbit
