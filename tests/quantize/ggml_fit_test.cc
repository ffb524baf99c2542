#include "lowbit/quantize/ggml_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/quantize/ggml_groups.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

constexpr GgmlGridType kTypes[] = {
    GgmlGridType::kQ4_0, GgmlGridType::kQ4_1, GgmlGridType::kQ5_0, GgmlGridType::kQ5_1, GgmlGridType::kQ8_0,
    GgmlGridType::kQ2_K, GgmlGridType::kQ3_K, GgmlGridType::kQ4_K, GgmlGridType::kQ5_K, GgmlGridType::kQ6_K};

std::vector<float> RandomImportance(int64_t columns, uint64_t seed) {
  Random random(seed, 3);
  std::vector<float> importance(static_cast<size_t>(columns));
  for (float& i : importance) i = std::exp(1.2f * random.Normal());
  return importance;
}

// Rows of several characters: even, heavy-tailed, one-sided.
std::vector<float> MixedWeights(int64_t rows, int64_t columns, uint64_t seed) {
  Random random(seed, 4);
  std::vector<float> w = RandomWeights<float>(rows, columns, seed);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      float& v = w[static_cast<size_t>(r * columns + c)];
      if (r % 4 == 3) v *= std::abs(random.Normal());
      if (r % 4 == 2) v = 0.5f * v + 0.02f;
    }
  }
  return w;
}

double WeightedError(const float* w, const float* q, const float* importance, int64_t columns) {
  double sum = 0;
  for (int64_t c = 0; c < columns; ++c) sum += importance[c] * std::pow(static_cast<double>(w[c]) - q[c], 2);
  return sum;
}

TEST(GgmlFit, NumbersAreAtTheirStoredPrecision) {
  const int64_t rows = 37, columns = 512;
  const std::vector<float> w = MixedWeights(rows, columns, 1), importance = RandomImportance(columns, 2);
  for (const GgmlGridType type : kTypes) {
    const GgmlGrid& grid = GridOf(type);
    const GgmlCodes m = RoundToGgml<float>(View(w, rows), type, importance);
    ASSERT_EQ(m.d.size(), static_cast<size_t>(rows * columns / grid.block));
    ASSERT_EQ(m.scale.size(), static_cast<size_t>(rows * columns / grid.sub));
    for (const std::vector<float>* v : {&m.d, &m.dmin}) {
      for (const float d : *v) ASSERT_EQ(d, F16ToFloat(FloatToF16(d))) << grid.name;
    }
    for (size_t i = 0; i < m.scale.size(); ++i) {
      ASSERT_GE(m.scale[i], grid.scale_min) << grid.name;
      ASSERT_LE(m.scale[i], grid.scale_max) << grid.name;
      ASSERT_LE(m.min[i], grid.min_max) << grid.name;
    }
    for (const uint8_t code : m.codes) ASSERT_LE(code, grid.code_max) << grid.name;
    const GgmlBlockCodes block = m.Block(5, columns / grid.block - 1);
    EXPECT_EQ(block.codes[static_cast<size_t>(grid.block - 1)],
              m.codes[static_cast<size_t>(6 * columns - 1)]);
    EXPECT_EQ(block.d, m.d[static_cast<size_t>(6 * columns / grid.block - 1)]);
    EXPECT_EQ(block.scale[static_cast<size_t>(grid.block / grid.sub - 1)],
              m.scale[static_cast<size_t>(6 * columns / grid.sub - 1)]);
  }
}

// No code, with the grids as fitted, could be better: the codes are the nearest ones.
TEST(GgmlFit, CodesAreTheNearest) {
  const int64_t rows = 8, columns = 256;
  const std::vector<float> w = MixedWeights(rows, columns, 3);
  for (const GgmlGridType type : kTypes) {
    const GgmlGrid& grid = GridOf(type);
    const GgmlCodes m = RoundToGgml<float>(View(w, rows), type);
    const std::vector<float> values = Dequantize(m);
    for (int step : {-1, 1}) {
      GgmlCodes other = m;
      for (uint8_t& code : other.codes)
        code = static_cast<uint8_t>(std::clamp(code + step, 0, grid.code_max));
      const std::vector<float> moved = Dequantize(other);
      for (size_t i = 0; i < w.size(); ++i) {
        ASSERT_LE(std::abs(w[i] - values[i]), std::abs(w[i] - moved[i]) + 1e-7f) << grid.name;
      }
    }
  }
}

// ---- The public search for the same grids, re-derived from its description: one pass over step sizes
// anchored at the extreme weight with least squares for each, then the scales rounded in one go.
// -----------------------------

struct PlainBlock {
  std::vector<float> step, offset;  // of each sub-block, unrounded
};

void PlainOffset(const float* x, const float* w, int n, int top, float& step, float& minimum) {
  float low = 0, high = x[0];
  double sw = 0, sx = 0;
  for (int i = 0; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sw += w[i];
    sx += static_cast<double>(w[i]) * x[i];
  }
  step = (high - low) / static_cast<float>(top);
  minimum = low;
  double best = 1e300;
  for (int k = -18; k <= 18 && high > low; ++k) {
    const float inverse = (static_cast<float>(top) + 0.05f * static_cast<float>(k)) / (high - low);
    double sl = 0, sll = 0, sxl = 0;
    std::vector<float> l(static_cast<size_t>(n));
    for (int i = 0; i < n; ++i) {
      l[static_cast<size_t>(i)] =
          std::clamp(std::nearbyint(inverse * (x[i] - low)), 0.0f, static_cast<float>(top));
      sl += w[i] * l[static_cast<size_t>(i)];
      sll += w[i] * l[static_cast<size_t>(i)] * l[static_cast<size_t>(i)];
      sxl += w[i] * l[static_cast<size_t>(i)] * x[i];
    }
    const double determinant = sw * sll - sl * sl;
    if (determinant <= 0) continue;
    double s = (sw * sxl - sx * sl) / determinant, m = (sll * sx - sl * sxl) / determinant;
    if (m > 0) {
      m = 0;
      s = sxl / sll;
    }
    double error = 0;
    for (int i = 0; i < n; ++i) error += w[i] * std::pow(s * l[static_cast<size_t>(i)] + m - x[i], 2);
    if (error < best) {
      best = error;
      step = static_cast<float>(s);
      minimum = static_cast<float>(m);
    }
  }
}

float PlainSigned(const float* x, const float* w, int n, int depth) {
  float largest = 0;
  for (int i = 0; i < n; ++i) {
    if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
  }
  if (largest == 0) return 0;
  double best = -1, scale = 0;
  for (int k = -9; k <= 9; ++k) {
    const float inverse = -(static_cast<float>(depth) + 0.1f * static_cast<float>(k)) / largest;
    double lx = 0, ll = 0;
    for (int i = 0; i < n; ++i) {
      const double l = std::clamp(std::nearbyint(inverse * x[i]), -static_cast<float>(depth),
                                  static_cast<float>(depth - 1));
      lx += w[i] * x[i] * l;
      ll += w[i] * l * l;
    }
    if (ll > 0 && lx * lx / ll > best) {
      best = lx * lx / ll;
      scale = lx / ll;
    }
  }
  return static_cast<float>(scale);
}

float Half(float v) {
  return F16ToFloat(FloatToF16(v));
}

// The weighted error of one block under that search.
double PlainError(const GgmlGrid& grid, const float* x, const float* w) {
  const int subs = grid.block / grid.sub;
  std::vector<float> step(static_cast<size_t>(subs)), minimum(step.size()), weight(step.size());
  for (int j = 0; j < subs; ++j) {
    const float *xs = x + j * grid.sub, *ws = w + j * grid.sub;
    if (grid.has_offset()) {
      PlainOffset(xs, ws, grid.sub, grid.code_max, step[static_cast<size_t>(j)],
                  minimum[static_cast<size_t>(j)]);
    } else {
      step[static_cast<size_t>(j)] = PlainSigned(xs, ws, grid.sub, grid.code_zero);
    }
    for (int i = 0; i < grid.sub; ++i) weight[static_cast<size_t>(j)] += ws[i];
  }
  float d = 1, dmin = 1;
  if (grid.has_scales()) {
    if (grid.has_offset()) {
      float largest = 0, lowest = 0;
      for (int j = 0; j < subs; ++j) {
        largest = std::max(largest, step[static_cast<size_t>(j)]);
        lowest = std::max(lowest, -minimum[static_cast<size_t>(j)]);
      }
      d = Half(largest / static_cast<float>(grid.scale_max));
      dmin = Half(lowest / static_cast<float>(grid.min_max));
    } else {
      d = Half(PlainSigned(step.data(), weight.data(), subs, -grid.scale_min));
    }
  }
  double error = 0;
  for (int j = 0; j < subs; ++j) {
    float s = Half(step[static_cast<size_t>(j)]), o = Half(-minimum[static_cast<size_t>(j)]);
    if (grid.has_scales()) {
      s = d == 0 ? 0
                 : d * std::clamp(std::nearbyint(step[static_cast<size_t>(j)] / d),
                                  static_cast<float>(grid.scale_min), static_cast<float>(grid.scale_max));
      o = dmin == 0 ? 0
                    : dmin * std::clamp(std::nearbyint(-minimum[static_cast<size_t>(j)] / dmin), 0.0f,
                                        static_cast<float>(grid.min_max));
    }
    for (int i = j * grid.sub; i < (j + 1) * grid.sub; ++i) {
      const float l = s == 0 ? 0
                             : std::clamp(std::nearbyint((x[i] + o) / s), -static_cast<float>(grid.code_zero),
                                          static_cast<float>(grid.code_max - grid.code_zero));
      error += w[i] * std::pow(static_cast<double>(s) * l - o - x[i], 2);
    }
  }
  return error;
}

TEST(GgmlFit, BeatsThePlainSearch) {
  const int64_t rows = 48, columns = 512;
  const std::vector<float> w = MixedWeights(rows, columns, 5), importance = RandomImportance(columns, 6);
  for (const GgmlGridType type : kTypes) {
    const GgmlGrid& grid = GridOf(type);
    const std::vector<float> q = Dequantize(RoundToGgml<float>(View(w, rows), type, importance));
    double ours = 0, plain = 0;
    int worse = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double a =
          WeightedError(w.data() + r * columns, q.data() + r * columns, importance.data(), columns);
      double b = 0;
      for (int64_t c = 0; c < columns; c += grid.block)
        b += PlainError(grid, w.data() + r * columns + c, importance.data() + c);
      ours += a;
      plain += b;
      worse += a > 1.02 * b;
    }
    EXPECT_LT(ours, plain) << grid.name;
    EXPECT_LE(worse, rows / 8) << grid.name;
  }
}

TEST(GgmlFit, ImportanceMovesTheErrorWhereItMattersLeast) {
  const int64_t rows = 32, columns = 256;
  const std::vector<float> w = MixedWeights(rows, columns, 7), importance = RandomImportance(columns, 8);
  for (const GgmlGridType type : kTypes) {
    const std::vector<float> weighted = Dequantize(RoundToGgml<float>(View(w, rows), type, importance));
    const std::vector<float> uniform = Dequantize(RoundToGgml<float>(View(w, rows), type));
    double a = 0, b = 0;
    for (int64_t r = 0; r < rows; ++r) {
      a += WeightedError(w.data() + r * columns, weighted.data() + r * columns, importance.data(), columns);
      b += WeightedError(w.data() + r * columns, uniform.data() + r * columns, importance.data(), columns);
    }
    EXPECT_LT(a, b) << GridOf(type).name;
  }
}

TEST(GgmlFit, ExtremeBlocks) {
  const int64_t rows = 6, columns = 256;
  std::vector<float> w(static_cast<size_t>(rows * columns), 0.0f);  // row 0: zero
  for (int64_t c = 0; c < columns; ++c) {
    w[static_cast<size_t>(columns + c)] = 0.25f;  // constant
    w[static_cast<size_t>(2 * columns + c)] = -0.25f;
    w[static_cast<size_t>(3 * columns + c)] = 1e-9f * static_cast<float>(c % 7 - 3);  // d underflows in f16
    w[static_cast<size_t>(4 * columns + c)] = 1e7f * static_cast<float>(c % 7 - 3);   // d overflows
    w[static_cast<size_t>(5 * columns + c)] = c == 100 ? 1.0f : 0.0f;                 // one spike
  }
  std::vector<float> importance(static_cast<size_t>(columns), 1.0f);
  std::fill(importance.begin() + 16, importance.begin() + 64, 0.0f);  // whole sub-blocks that nobody saw
  for (const GgmlGridType type : kTypes) {
    for (const bool weighted : {false, true}) {
      const std::vector<float> q = Dequantize(RoundToGgml<float>(
          View(w, rows), type, weighted ? std::span<const float>(importance) : std::span<const float>()));
      for (int64_t c = 0; c < columns; ++c) {
        ASSERT_EQ(q[static_cast<size_t>(c)], 0.0f);
        ASSERT_NEAR(q[static_cast<size_t>(columns + c)], 0.25f, 2e-3f) << GridOf(type).name;
        ASSERT_NEAR(q[static_cast<size_t>(2 * columns + c)], -0.25f, 2e-3f) << GridOf(type).name;
        ASSERT_NEAR(q[static_cast<size_t>(3 * columns + c)], 0.0f, 1e-6f);
        ASSERT_TRUE(std::isfinite(q[static_cast<size_t>(4 * columns + c)]));
        ASSERT_NEAR(q[static_cast<size_t>(5 * columns + c)], c == 100 ? 1.0f : 0.0f, 2e-3f)
            << GridOf(type).name << c;
      }
    }
  }
}

TEST(GgmlFit, DoesNotDependOnThreads) {
  const int64_t rows = 100, columns = 512;
  const std::vector<float> w = MixedWeights(rows, columns, 9), importance = RandomImportance(columns, 10);
  for (const GgmlGridType type : {GgmlGridType::kQ4_0, GgmlGridType::kQ4_K, GgmlGridType::kQ3_K}) {
    ThreadPool one(1), seven(7);
    const GgmlCodes a =
        RoundToGgml<float>(View(w, rows), type, importance, GgmlEmphasis::kImportanceAndMagnitude, one);
    const GgmlCodes b =
        RoundToGgml<float>(View(w, rows), type, importance, GgmlEmphasis::kImportanceAndMagnitude, seven);
    EXPECT_EQ(a.codes, b.codes);
    EXPECT_EQ(a.d, b.d);
    EXPECT_EQ(a.scale, b.scale);
  }
}

TEST(GgmlFit, RefusesWhatDoesNotFit) {
  const std::vector<float> w(300, 0.0f);
  EXPECT_THROW(RoundToGgml<float>(View(w, 1), GgmlGridType::kQ4_K), Error);
  const std::vector<float> fits(256, 0.0f), bad(256, std::numeric_limits<float>::quiet_NaN()), few(3, 1.0f);
  EXPECT_THROW(RoundToGgml<float>(View(fits, 1), GgmlGridType::kQ4_K, bad), Error);
  EXPECT_THROW(RoundToGgml<float>(View(fits, 1), GgmlGridType::kQ4_K, few), Error);
}

}  // namespace
}  // namespace lowbit
