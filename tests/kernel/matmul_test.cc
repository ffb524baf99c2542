#include "lowbit/kernel/matmul.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/kernel/targets.h"
#include "tests/kernel/random_matrix.h"

namespace lowbit {
namespace {

constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 1},    {5, 33},    {16, 128}, {17, 300},
                                                   {70, 513}, {33, 1100}, {128, 256}};

// The mathematics in double, from the codes that were rounded, with the sum of magnitudes for the tolerance.
struct Reference {
  std::vector<double> y, magnitude;
};

Reference Slow(const QuantizedMatrix& w, const QuantizedActivations& x) {
  Reference r;
  std::vector<float> row(static_cast<size_t>(w.cols)), bare = row;
  // Offsets are multiplied apart from the codes and may cancel them: rounding is relative to both parts.
  QuantizedMatrix without = w;
  std::fill(without.zero.begin(), without.zero.end(), 0);
  std::fill(without.min.begin(), without.min.end(), 0);
  r.y.resize(static_cast<size_t>(x.tokens() * w.rows));
  r.magnitude = r.y;
  for (int64_t o = 0; o < w.rows; ++o) {
    w.DequantizeRow(o, row.data());
    without.DequantizeRow(o, bare.data());
    for (int64_t t = 0; t < x.tokens(); ++t) {
      for (int64_t c = 0; c < w.cols; ++c) {
        const double a = x.codes(t)[c] * static_cast<double>(x.scales(t)[c / kActivationBlock]);
        r.y[t * w.rows + o] += a * row[c];
        r.magnitude[t * w.rows + o] += std::abs(a) * (std::abs(row[c]) + 2 * std::abs(bare[c]));
      }
    }
    for (const Outlier& x_of : x.outliers()) {
      const double a = x_of.value;
      r.y[x_of.token * w.rows + o] += a * row[x_of.column];
      r.magnitude[x_of.token * w.rows + o] +=
          std::abs(a) * (std::abs(row[x_of.column]) + 2 * std::abs(bare[x_of.column]));
    }
  }
  return r;
}

// Now and then a column, or several of one block, far above the others.
std::vector<float> FloatsWithOutliers(int64_t tokens, int64_t cols, uint64_t seed) {
  std::vector<float> x = RandomFloats(tokens * cols, seed);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t c = t % 7; c < cols; c += 53 + 100 * (t % 3)) x[t * cols + c] *= 400;
    x[t * cols + cols - 1] = -900;
  }
  return x;
}

class EveryTarget : public testing::Test {
 protected:
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};

using MatMulTest = EveryTarget;

void Check(const QuantizedMatrix& m, const std::vector<float>& x, int64_t tokens, const std::string& what) {
  const OwnedMatrix w(m);
  ThreadPool pool(2);
  for (Target target : SupportedTargets()) {
    SetTarget(target);
    QuantizedActivations q;
    q.Quantize(x.data(), tokens, m.cols, m.cols, pool);
    const Reference slow = Slow(m, q);
    std::vector<float> y(static_cast<size_t>(tokens * m.rows), -1);
    MatMul(w.view, q, y.data(), m.rows, pool);
    for (size_t i = 0; i < y.size(); ++i) {
      ASSERT_NEAR(y[i], slow.y[i], 1e-6 * slow.magnitude[i] + 1e-30)
          << what << " " << m.rows << "x" << m.cols << " T=" << tokens << " " << NameOf(target) << " at "
          << i;
    }
  }
}

TEST_F(MatMulTest, EveryFormatAgreesWithTheMathematicsOnEveryTarget) {
  for (const std::string& name : AllFormats()) {
    for (const auto& [rows, cols] : kShapes) {
      const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), rows, cols, 3);
      for (int64_t tokens : {1, 2, 5, 19}) {
        Check(m, RandomFloats(tokens * cols, 5), tokens, name);
        Check(m, FloatsWithOutliers(tokens, cols, 6), tokens, name + " with outliers");
      }
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(MatMulTest, ExtremesDoNotSaturate) {
  for (const std::string& name : AllFormats()) {
    const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), 18, 700, 3, /*extreme=*/true);
    for (float sign : {1.0f, -1.0f}) {
      const std::vector<float> x(static_cast<size_t>(17 * 700), sign * 2.5f);
      for (int64_t tokens : {1, 8, 17}) Check(m, x, tokens, name);
    }
    if (HasFatalFailure()) return;
  }
}

TEST_F(MatMulTest, OneHotActivationsReadOutEveryWeight) {
  // x = e_c gives column c exactly, up to one rounding of the offset: catches any swapped code.
  for (const std::string& name : AllFormats()) {
    const int64_t rows = 19, cols = 150;
    const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), rows, cols, 9);
    const OwnedMatrix w(m);
    ThreadPool pool(1);
    std::vector<float> x(static_cast<size_t>(cols * cols)), row(static_cast<size_t>(cols));
    for (int64_t c = 0; c < cols; ++c) x[c * cols + c] = 1;
    for (Target target : SupportedTargets()) {
      SetTarget(target);
      QuantizedActivations q;
      q.Quantize(x.data(), cols, cols, cols, pool);
      std::vector<float> y(static_cast<size_t>(cols * rows));
      MatMul(w.view, q, y.data(), rows, pool);
      for (int64_t r = 0; r < rows; ++r) {
        m.DequantizeRow(r, row.data());
        for (int64_t c = 0; c < cols; ++c) {
          ASSERT_NEAR(y[c * rows + r], row[c], 2e-6 * (std::abs(row[c]) + 1))
              << name << " " << NameOf(target);
        }
      }
    }
  }
}

TEST_F(MatMulTest, ATokenGivesTheSameBitsInAnyBatchAndOnAnyNumberOfThreads) {
  for (const char* name : {"int2-g64", "int3-g32", "int4-g32", "int4-g128-asym", "int5", "q2_k", "q4_k",
                           "q6_k", "int8-g32", "q5_1", "nvfp4", "ternary-g64"}) {
    const int64_t rows = 150, cols = 700, most = 270;
    const OwnedMatrix w(RandomQuantized(PackedFormatOf(name), rows, cols, 4));
    const std::vector<float> x = FloatsWithOutliers(most, cols, 6);
    for (Target target : SupportedTargets()) {
      if (target == Target::kScalar) continue;  // one loop for both
      SetTarget(target);
      std::vector<float> alone(static_cast<size_t>(most * rows));
      ThreadPool one(1);
      QuantizedActivations q;
      for (int64_t t = 0; t < most; ++t) {
        q.Quantize(x.data() + t * cols, 1, cols, cols, one);
        MatMul(w.view, q, alone.data() + t * rows, rows, one);
      }
      for (int threads : {1, 2, 7}) {
        ThreadPool pool(threads);
        for (int64_t tokens : {1, 2, 3, 5, 16, 37, 270}) {
          q.Quantize(x.data(), tokens, cols, cols, pool);
          std::vector<float> y(static_cast<size_t>(tokens * rows));
          MatMul(w.view, q, y.data(), rows, pool);
          ASSERT_EQ(std::memcmp(y.data(), alone.data(), y.size() * 4), 0)
              << name << " " << NameOf(target) << " T=" << tokens << " threads " << threads;
        }
      }
    }
  }
}

TEST_F(MatMulTest, ManyMatricesGiveWhatEachGivesAlone) {
  const int64_t cols = 300, tokens = 3;
  const OwnedMatrix a(RandomQuantized(PackedFormatOf("int4-g32"), 40, cols, 1));
  const OwnedMatrix b(RandomQuantized(PackedFormatOf("q6_k"), 100, cols, 2));
  const OwnedMatrix c(RandomQuantized(PackedFormatOf("int8"), 7, cols, 3));
  ThreadPool pool(3);
  for (int64_t t : {int64_t{1}, tokens}) {
    QuantizedActivations q;
    q.Quantize(RandomFloats(t * cols, 1).data(), t, cols, cols, pool);
    const int64_t width = 147;
    std::vector<float> together(static_cast<size_t>(t * width)), alone = together;
    const MatMulJob jobs[] = {{&a.view, together.data(), width},
                              {&b.view, together.data() + 40, width},
                              {&c.view, together.data() + 140, width}};
    MatMulMany(jobs, q, pool);
    MatMul(a.view, q, alone.data(), width, pool);
    MatMul(b.view, q, alone.data() + 40, width, pool);
    MatMul(c.view, q, alone.data() + 140, width, pool);
    EXPECT_EQ(together, alone);
  }
}

TEST_F(MatMulTest, LevelsThatBytesHoldNearlyStayWithinTheStatedError) {
  const int64_t rows = 40, cols = 256;
  for (const char* name : {"nf4-g64", "nupes4-p0.7-g32", "lloyd3-gauss-g64"}) {
    const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), rows, cols, 8);
    const OwnedMatrix w(m);
    const CodeTable& table = *w.view.table;
    ASSERT_TRUE(w.view.in_bytes());
    ASSERT_GT(table.error, 0);
    ASSERT_LE(table.error, 1 / 254.0);
    ThreadPool pool(1);
    const std::vector<float> x = RandomFloats(cols, 5);
    QuantizedActivations q;
    q.Quantize(x.data(), 1, cols, cols, pool);
    const Reference slow = Slow(m, q);
    std::vector<float> y(static_cast<size_t>(rows));
    MatMul(w.view, q, y.data(), rows, pool);
    for (int64_t r = 0; r < rows; ++r) {
      double bound = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const double scale =
            std::abs(F16ToFloat(m.scale[static_cast<size_t>(r * m.groups() + c / m.format.group)]));
        bound +=
            std::abs(q.codes(0)[c] * q.scales(0)[c / kActivationBlock]) * scale * table.table.MaxMagnitude();
      }
      ASSERT_NEAR(y[r], slow.y[r], bound * table.error + 1e-6 * slow.magnitude[r]) << name;
    }
  }
}

TEST_F(MatMulTest, LevelsThatFitNoBytesAreRefused) {
  const OwnedMatrix w(RandomQuantized(PackedFormatOf("mxfp8-e4m3"), 4, 64, 1));
  EXPECT_FALSE(w.view.in_bytes());
  ThreadPool pool(1);
  QuantizedActivations q;
  q.Quantize(RandomFloats(64, 1).data(), 1, 64, 64, pool);
  float y[4];
  EXPECT_THROW(MatMul(w.view, q, y, 4, pool), Error);
}

TEST_F(MatMulTest, AWrongShapeIsRefused) {
  const OwnedMatrix w(RandomQuantized(PackedFormatOf("int4-g32"), 4, 64, 1));
  ThreadPool pool(1);
  QuantizedActivations q;
  q.Quantize(RandomFloats(65, 1).data(), 1, 65, 65, pool);
  float y[4];
  EXPECT_THROW(MatMul(w.view, q, y, 4, pool), Error);
  EXPECT_THROW(PackedMatrix(w.view.format, 4, 64, w.bytes.data(), w.view.layout.bytes - 1), Error);
}

TEST_F(MatMulTest, DequantizedRowsAreBitIdentical) {
  for (const std::string& name : AllStoredFormats()) {
    for (const auto& [rows, cols] : kShapes) {
      const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), rows, cols, 12);
      const OwnedMatrix w(m);
      std::vector<float> all(static_cast<size_t>(rows * cols)), row(static_cast<size_t>(cols));
      DequantizeRows(w.view, 0, rows, all.data());
      for (int64_t r = 0; r < rows; ++r) {
        m.DequantizeRow(r, row.data());
        ASSERT_EQ(std::memcmp(row.data(), all.data() + r * cols, row.size() * 4), 0) << name << " row " << r;
      }
    }
  }
}

TEST(Activations, RoundingIsNearestWithinABlock) {
  ThreadPool pool(2);
  for (int64_t cols : {1, 31, 128, 129, 576, 1000}) {
    const int64_t tokens = 11;
    std::vector<float> x = RandomFloats(tokens * cols, 21);
    x[0] = 8;  // not enough for an outlier
    QuantizedActivations first;
    first.Quantize(x.data(), tokens, cols, cols, pool);
    for (Target target : SupportedTargets()) {
      SetTarget(target);
      QuantizedActivations q;
      q.Quantize(x.data(), tokens, cols, cols, pool);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t c = 0; c < q.padded(); ++c) {
          const float s = q.scales(t)[c / kActivationBlock], v = c < cols ? x[t * cols + c] : 0;
          ASSERT_LE(std::abs(q.codes(t)[c]), 127);
          ASSERT_NEAR(q.codes(t)[c] * s, v, s * 0.5001f);
          ASSERT_EQ(q.codes(t)[c], first.codes(t)[c]) << NameOf(target);
        }
        for (int level = 0; level < 4; ++level) {
          for (int64_t u = 0; u < q.padded() / (16 << level); ++u) {
            int32_t sum = 0;
            for (int c = 0; c < 16 << level; ++c) sum += q.codes(t)[u * (16 << level) + c];
            ASSERT_EQ(q.sums(level, t)[u], sum);
          }
        }
      }
    }
    SetTarget(SupportedTargets().back());
  }
}

TEST(Activations, AColumnFarAboveTheOthersOfItsBlockIsLeftToFloats) {
  ThreadPool pool(3);
  for (int64_t cols : {2, 128, 300}) {
    const int64_t tokens = 23;
    std::vector<float> x(static_cast<size_t>(tokens * cols));
    for (size_t i = 0; i < x.size(); ++i) x[i] = i % 2 == 0 ? 0.75f : -1.0f;
    // Token t has t % 7 outliers, of the first block, in columns that depend on t.
    const auto column = [&](int64_t t, int k) { return (5 * t + 17 * k) % std::min<int64_t>(cols, 128); };
    for (int64_t t = 0; t < tokens; ++t) {
      for (int k = 0; k < t % 7; ++k) x[t * cols + column(t, k)] = 5000.0f + static_cast<float>(100 * k);
    }
    for (Target target : SupportedTargets()) {
      SetTarget(target);
      QuantizedActivations q;
      q.Quantize(x.data(), tokens, cols, cols, pool);
      std::vector<float> seen(x.size());
      for (const Outlier& o : q.outliers()) {
        EXPECT_EQ(o.value, x[o.token * cols + o.column]);
        EXPECT_EQ(q.codes(o.token)[o.column], 0);
        seen[o.token * cols + o.column] = o.value;
      }
      EXPECT_TRUE(std::is_sorted(q.outliers().begin(), q.outliers().end(), [](const auto& a, const auto& b) {
        return std::pair(a.column, a.token) < std::pair(b.column, b.token);
      }));
      for (int64_t t = 0; t < tokens; ++t) {
        const auto of_token = std::count_if(q.outliers().begin(), q.outliers().end(),
                                            [&](const auto& o) { return o.token == t; });
        if (cols > 2) {
          EXPECT_EQ(of_token, std::min<int64_t>(t % 7, kMostOutliers)) << NameOf(target);
          // The largest go first; with five or six, those that are left set the scale.
          const float scale = q.scales(t)[0] * 127;
          EXPECT_EQ(scale, t % 7 <= kMostOutliers ? 1.0f : 5000.0f + 100 * (t % 7 - kMostOutliers - 1));
        }
        for (int64_t c = 0; c < cols; ++c) {
          const float s = q.scales(t)[c / kActivationBlock];
          ASSERT_NEAR(q.codes(t)[c] * s + seen[t * cols + c], x[t * cols + c], s * 0.5001f);
        }
      }
    }
  }
  SetTarget(SupportedTargets().back());
}

TEST(Activations, ZerosGiveZeroAndNonFiniteShows) {
  ThreadPool pool(1);
  std::vector<float> x(256);
  for (Target target : SupportedTargets()) {
    SetTarget(target);
    QuantizedActivations q;
    x.assign(256, 0);
    q.Quantize(x.data(), 1, 256, 256, pool);
    EXPECT_EQ(q.scales(0)[0], 0);
    for (float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      x[130] = bad;
      q.Quantize(x.data(), 1, 256, 256, pool);
      EXPECT_EQ(q.scales(0)[0], 0);
      EXPECT_TRUE(std::isnan(q.scales(0)[1])) << NameOf(target);
    }
  }
  SetTarget(SupportedTargets().back());
}

TEST(Targets, NamesAreTriedAndRefused) {
  for (Target t : SupportedTargets()) {
    SetTarget(NameOf(t));
    EXPECT_EQ(CurrentTarget(), t);
  }
  EXPECT_THROW(SetTarget("avx9"), UsageError);
  SetTarget(SupportedTargets().back());
}

}  // namespace
}  // namespace lowbit
