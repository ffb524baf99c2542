#include "lowbit/quantize/column_sweep.h"

#include <gtest/gtest.h>

#include <numeric>

#include "lowbit/quantize/affine_groups.h"
#include "lowbit/quantize/inverse_factor.h"
#include "lowbit/quantize/output_error.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

std::vector<int64_t> Groups(int64_t columns, int64_t group) {
  std::vector<int64_t> begin;
  for (int64_t c = 0; c < columns; c += group) begin.push_back(c);
  return begin;
}

std::vector<int32_t> GroupOf(int64_t columns, int64_t group) {
  std::vector<int32_t> of;
  for (int64_t c = 0; c < columns; ++c) of.push_back(static_cast<int32_t>(c / group));
  return of;
}

TEST(PanelPlan, CoversEveryColumnAndCutsNoStartedGroup) {
  for (const int64_t columns : {1, 31, 128, 700, 1536, 4100}) {
    for (const int64_t group : {1, 17, 32, 96, 128, 200, 512, 1000, 5000}) {
      for (const int64_t block : {1, 32, 128}) {
        const std::vector<int64_t> begin = Groups(columns, group);
        int64_t at = 0;
        size_t next = 0;
        for (const sweep::Panel& panel : sweep::PlanPanels(columns, begin, block)) {
          ASSERT_EQ(panel.begin, at);
          for (const sweep::Block& b : panel.blocks) {
            ASSERT_EQ(b.begin, at);
            ASSERT_GT(b.end, b.begin);
            ASSERT_LE(b.end - b.begin, block);
            ASSERT_EQ(b.group, next);
            for (size_t g = b.group; g < b.group + b.groups; ++g) {
              const int64_t end = g + 1 < begin.size() ? begin[g + 1] : columns;
              ASSERT_GE(begin[g], b.begin);
              ASSERT_LT(begin[g], b.end);
              ASSERT_TRUE(end <= b.end || begin[g] == b.begin);
              ASSERT_TRUE(end <= panel.end || g == 0);
            }
            next += b.groups;
            at = b.end;
          }
          ASSERT_EQ(panel.end, at);
        }
        ASSERT_EQ(at, columns);
        ASSERT_EQ(next, begin.size());
      }
    }
  }
}

struct Solved {
  std::vector<uint8_t> codes;
  std::vector<double> values, errors;
  SweepResult result;
};

Solved Sweep(const std::vector<double>& w, int64_t rows, int64_t group, const InverseFactor<double>& factor,
             int64_t block, int threads = 2) {
  const int64_t columns = static_cast<int64_t>(w.size()) / rows;
  ThreadPool pool(threads);
  AffineGroups<double> quantizer({.bits = 3}, rows, (columns + group - 1) / group, GroupOf(columns, group));
  Solved s;
  s.codes.resize(w.size());
  s.errors.resize(w.size());
  s.result =
      ColumnSweep<double>(View(w, rows), {factor.u.data(), columns, columns}, {}, Groups(columns, group),
                          {block}, quantizer, s.codes, {s.errors.data(), rows, columns}, pool);
  AffineCodes matrix;
  matrix.cols = columns;
  matrix.codes = s.codes;
  matrix.g_idx = GroupOf(columns, group);
  quantizer.Store(matrix);
  const std::vector<float> values = Dequantize(matrix);
  s.values.assign(values.begin(), values.end());
  return s;
}

TEST(ColumnSweep, WMinusQIsExactlyEU) {
  const int64_t rows = 37, columns = 290;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 1),
                            h = RandomHessian<double>(columns, 2);
  const InverseFactor<double> factor = FactorInverse<double>(View(h, columns), {}, {});
  ASSERT_TRUE(factor.ok);
  for (const int64_t group : {32, 100, 128, 290}) {
    const Solved s = Sweep(w, rows, group, factor, 128);
    std::vector<double> difference(w.size()), damped = h;
    for (int64_t i = 0; i < columns; ++i) damped[static_cast<size_t>(i * columns + i)] += factor.damping;
    double scale = 0, worst = 0;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        double eu = 0;
        for (int64_t k = 0; k <= c; ++k)
          eu +=
              s.errors[static_cast<size_t>(r * columns + k)] * factor.u[static_cast<size_t>(k * columns + c)];
        const size_t i = static_cast<size_t>(r * columns + c);
        difference[i] = w[i] - s.values[i];
        scale = std::max(scale, std::abs(difference[i]));
        worst = std::max(worst, std::abs(difference[i] - eu));
      }
    }
    EXPECT_LT(worst, 1e-9 * scale);
    const std::vector<double> error = OutputError<double>(View(difference, rows), View(damped, columns));
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) {
      EXPECT_NEAR(s.result.row_loss[static_cast<size_t>(r)], error[static_cast<size_t>(r)] / 2,
                  1e-8 * error[static_cast<size_t>(r)]);
      total += error[static_cast<size_t>(r)];
    }
    EXPECT_NEAR(s.result.loss, total / 2, 1e-8 * total);
  }
}

TEST(ColumnSweep, BlockSizeAndThreadsDoNotMatter) {
  const int64_t rows = 70, columns = 700;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 3),
                            h = RandomHessian<double>(columns, 4);
  const InverseFactor<double> factor = FactorInverse<double>(View(h, columns), {}, {});
  ASSERT_TRUE(factor.ok);
  for (const int64_t group : {48, 128, 700}) {
    const Solved reference = Sweep(w, rows, group, factor, 128, 1);
    for (const int64_t block : {1, 32})
      EXPECT_EQ(Sweep(w, rows, group, factor, block).codes, reference.codes) << block;
    for (const int threads : {2, 7}) {
      const Solved other = Sweep(w, rows, group, factor, 128, threads);
      EXPECT_EQ(other.codes, reference.codes);
      EXPECT_EQ(other.errors, reference.errors);
      EXPECT_EQ(other.result.row_loss, reference.result.row_loss);
    }
  }
}

// Remembers the live weights it was shown and rounds everything to a fixed coarse grid.
struct Witness {
  std::vector<double> seen;  // (R, C)
  int64_t rows, columns;
  void BeginGroup(const LiveColumns<double>& live) {
    for (int64_t r = 0; r < std::min<int64_t>(kLanes, rows - live.row); ++r) {
      for (int64_t c = live.begin; c < live.end; ++c) {
        seen[static_cast<size_t>((live.row + r) * columns + c)] =
            live.data[(c - live.begin) * live.stride + r];
      }
    }
  }
  void Quantize(int64_t, int64_t, const double* w, double* value, double* code) {
    for (int r = 0; r < kLanes; ++r) {
      code[r] = std::clamp(std::nearbyint(w[r] / 0.02) + 8, 0.0, 15.0);
      value[r] = 0.02 * (code[r] - 8);
    }
  }
};

TEST(ColumnSweep, GroupsAreShownLiveWeights) {
  const int64_t rows = 33, columns = 600;
  const std::vector<double> w = RandomWeights<double>(rows, columns, 5),
                            h = RandomHessian<double>(columns, 6);
  const InverseFactor<double> factor = FactorInverse<double>(View(h, columns), {}, {});
  ASSERT_TRUE(factor.ok);
  for (const int64_t group : {8, 100, 256}) {
    Witness witness{std::vector<double>(w.size()), rows, columns};
    std::vector<uint8_t> codes(w.size());
    ColumnSweep<double>(View(w, rows), {factor.u.data(), columns, columns}, {}, Groups(columns, group), {128},
                        witness, codes);
    // The plain algorithm, one row and one column at a time.
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> live(w.begin() + r * columns, w.begin() + (r + 1) * columns);
      for (int64_t c = 0; c < columns; ++c) {
        if (c % group == 0) {
          for (int64_t k = c; k < std::min(columns, c + group); ++k) {
            ASSERT_NEAR(witness.seen[static_cast<size_t>(r * columns + k)], live[static_cast<size_t>(k)],
                        1e-9);
          }
        }
        const double code = std::clamp(std::nearbyint(live[static_cast<size_t>(c)] / 0.02) + 8, 0.0, 15.0);
        ASSERT_EQ(codes[static_cast<size_t>(r * columns + c)], static_cast<uint8_t>(code));
        const double* u = factor.u.data() + c * columns;
        const double e = (live[static_cast<size_t>(c)] - 0.02 * (code - 8)) / u[c];
        for (int64_t k = c + 1; k < columns; ++k) live[static_cast<size_t>(k)] -= e * u[k];
      }
    }
  }
}

}  // namespace
}  // namespace lowbit
