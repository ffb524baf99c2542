#include "lowbit/kernel/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/format/matrix.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

const char* const kFormats[] = {"int2-g32",  "int2-g64-asym", "int3-g64",  "int3-g128-asym", "int4-g32",
                                "int4-g128", "int4",          "int4-asym", "int5-g32",       "int5-g256-asym",
                                "int6-g96",  "int8-g32",      "int8",      "int8-g128-asym", "q4_1",
                                "q5_1",      "q2_k",          "q3_k",      "q4_k",           "q5_k",
                                "q6_k"};

enum class Fill { kRandom, kExtreme };

// Scales near 1e-2; extreme matrices have every code at its largest or smallest.
QuantizedMatrix MakeMatrix(const std::string& name, int64_t rows, int64_t cols, Fill fill, uint64_t seed) {
  Random random(seed);
  QuantizedMatrix m{.format = std::get<IntegerFormat>(ParseFormat(name)), .rows = rows, .cols = cols};
  const auto top = static_cast<uint8_t>((1 << m.format.bits) - 1);
  m.codes.resize(static_cast<size_t>(rows * cols));
  for (auto& c : m.codes) {
    c = fill == Fill::kExtreme ? (random.Below(8) != 0 ? top : 0)
                               : static_cast<uint8_t>(random.Below(top + 1u));
  }
  const auto half = [&] { return FloatToF16(0.01f + 0.01f * random.Uniform()); };
  const auto count = static_cast<size_t>(rows * m.groups()), supers = static_cast<size_t>(rows * m.supers());
  for (size_t i = 0; i < count; ++i) {
    if (m.format.scale == ScaleKind::kF16) m.scale.push_back(half());
    if (m.format.scale == ScaleKind::kSuper)
      m.sub_scale.push_back(static_cast<int8_t>(random.Below(64)) -
                            (m.format.offset == OffsetKind::kCentre ? 32 : 0));
    if (m.format.offset == OffsetKind::kMinF16) m.min.push_back(FloatToF16(-0.1f * random.Uniform()));
    if (m.format.offset == OffsetKind::kZeroPoint)
      m.zero.push_back(static_cast<uint8_t>(random.Below(top + 1u)));
    if (m.format.offset == OffsetKind::kSuperMin) m.zero.push_back(static_cast<uint8_t>(random.Below(64)));
  }
  for (size_t i = 0; i < supers && m.format.scale == ScaleKind::kSuper; ++i) {
    m.super.push_back(half());
    if (m.format.offset == OffsetKind::kSuperMin) m.super_min.push_back(half());
  }
  return m;
}

std::vector<float> MakeInputs(int64_t tokens, int64_t cols, Fill fill, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(tokens * cols));
  for (float& v : x) v = fill == Fill::kExtreme ? (random.Below(2) != 0 ? 3.0f : -3.0f) : random.Normal();
  return x;
}

// The product in f64 over the rounded activations: what int8 arithmetic must give up to f32 rounding.
struct Sum {
  double value = 0, magnitude = 0;  // of the terms: f32 sums err in proportion
};
std::vector<Sum> Reference(const QuantizedMatrix& m, const QuantizedActivations& x) {
  std::vector<Sum> y;
  std::vector<float> row(static_cast<size_t>(m.cols));
  std::vector<std::vector<float>> rows;
  for (int64_t r = 0; r < m.rows; ++r) {
    m.DequantizeRow(r, row.data());
    rows.push_back(row);
  }
  for (int64_t t = 0; t < x.tokens(); ++t) {
    for (int64_t r = 0; r < m.rows; ++r) {
      Sum sum;
      for (int64_t c = 0; c < m.cols; ++c) {
        const double term = double{rows[r][c]} * x.codes(t)[c] * x.scales(t)[c / kActivationBlock];
        sum.value += term;
        sum.magnitude += std::abs(term);
      }
      y.push_back(sum);
    }
  }
  return y;
}

class EveryTarget : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};

TEST_P(EveryTarget, IntegerProductMatchesTheDefinition) {
  ThreadPool pool(2);
  for (const char* name : kFormats) {
    for (const Fill fill : {Fill::kRandom, Fill::kExtreme}) {
      for (const auto& [rows, cols, tokens] : {std::tuple<int64_t, int64_t, int64_t>{1, 32, 1},
                                               {17, 300, 2},
                                               {64, 256, 7},
                                               {70, 1000, 16},
                                               {33, 2100, 3}}) {
        const QuantizedMatrix m = MakeMatrix(name, rows, cols, fill, 3);
        const Matrix packed = OwnPacked(m);
        const PackedMatrix w(m.format, rows, cols, packed.bytes, packed.size);
        const std::vector<float> input = MakeInputs(tokens, cols, fill, 4);
        QuantizedActivations x;
        x.Quantize(input.data(), tokens, cols, cols, pool);
        std::vector<float> y(static_cast<size_t>(tokens * rows));
        MatMul(w, x, y.data(), rows, pool);
        const std::vector<Sum> expected = Reference(m, x);
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i].value, 3e-6 * expected[i].magnitude + 1e-6) << name << " " << i;
        }
        // f32 activations differ by the rounding of x alone.
        std::vector<float> exact(y.size());
        MatMulF32(w, input.data(), tokens, cols, exact.data(), rows, pool);
        std::vector<float> row(static_cast<size_t>(cols));
        for (int64_t r = 0; r < rows; ++r) {
          m.DequantizeRow(r, row.data());
          for (int64_t t = 0; t < tokens; ++t) {
            double sum = 0, magnitude = 0;
            for (int64_t c = 0; c < cols; ++c) {
              sum += double{row[c]} * input[t * cols + c];
              magnitude += std::abs(double{row[c]} * input[t * cols + c]);
            }
            ASSERT_NEAR(exact[t * rows + r], sum, 1e-6 * magnitude + 1e-6) << name;
          }
        }
      }
    }
  }
}

TEST_P(EveryTarget, DecodeAndPrefillGiveTheSameBitsOnAnyThreadCount) {
  ThreadPool one(1), seven(7);
  for (const char* name : kFormats) {
    const int64_t rows = 90, cols = 700, tokens = 37;
    const QuantizedMatrix m = MakeMatrix(name, rows, cols, Fill::kRandom, 5);
    const Matrix packed = OwnPacked(m);
    const PackedMatrix w(m.format, rows, cols, packed.bytes, packed.size);
    const std::vector<float> input = MakeInputs(tokens, cols, Fill::kRandom, 6);
    QuantizedActivations x;
    std::vector<float> all(static_cast<size_t>(tokens * rows)), single(all.size()), few(all.size());
    x.Quantize(input.data(), tokens, cols, cols, seven);
    MatMul(w, x, all.data(), rows, seven);
    for (int64_t t = 0; t < tokens; ++t) {
      x.Quantize(input.data() + t * cols, 1, cols, cols, one);
      MatMul(w, x, single.data() + t * rows, rows, t % 2 != 0 ? one : seven);
    }
    for (int64_t t = 0; t < tokens; t += 5) {
      const int64_t n = std::min<int64_t>(5, tokens - t);
      x.Quantize(input.data() + t * cols, n, cols, cols, one);
      MatMul(w, x, few.data() + t * rows, rows, one);
    }
    EXPECT_EQ(all, single) << name;
    EXPECT_EQ(all, few) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, EveryTarget, testing::ValuesIn(SupportedTargets()),
                         [](const testing::TestParamInfo<Target>& target) {
                           std::string name(NameOf(target.param));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(DequantizeRows, IsBitIdenticalToTheDefinition) {
  for (const char* name : kFormats) {
    const QuantizedMatrix m = MakeMatrix(name, 37, 520, Fill::kRandom, 7);
    const Matrix packed = OwnPacked(m);
    const PackedMatrix w(m.format, m.rows, m.cols, packed.bytes, packed.size);
    std::vector<float> out(static_cast<size_t>(m.rows * m.cols)), row(static_cast<size_t>(m.cols));
    DequantizeRows(w, 0, m.rows, out.data());
    for (int64_t r = 0; r < m.rows; ++r) {
      m.DequantizeRow(r, row.data());
      for (int64_t c = 0; c < m.cols; ++c) ASSERT_EQ(out[r * m.cols + c], row[c]) << name;
    }
  }
}

TEST(QuantizedActivations, RoundToNearestInBlocksOf128) {
  ThreadPool pool(1);
  const std::vector<float> input = MakeInputs(3, 300, Fill::kRandom, 8);
  QuantizedActivations x;
  x.Quantize(input.data(), 3, 300, 300, pool);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t c = 0; c < 300; ++c) {
      const float s = x.scales(t)[c / 128];
      EXPECT_LE(std::abs(x.codes(t)[c]), 127);
      EXPECT_LE(std::abs(input[t * 300 + c] - s * x.codes(t)[c]), s * 0.5001f);
    }
    for (int64_t c = 300; c < x.padded(); ++c) EXPECT_EQ(x.codes(t)[c], 0);
    int64_t sum = 0, total = 0;
    for (int64_t c = 0; c < x.padded(); ++c) sum += x.codes(t)[c];
    for (int level = 0; level < 4; ++level) {
      total = 0;
      for (int64_t u = 0; u < x.padded() / (16 << level); ++u) total += x.sums(level, t)[u];
      EXPECT_EQ(total, sum);
    }
  }
}

TEST(MatMul, AShapeThatDoesNotFitIsAnError) {
  ThreadPool pool(1);
  const QuantizedMatrix m = MakeMatrix("int4-g32", 16, 64, Fill::kRandom, 9);
  const Matrix packed = OwnPacked(m);
  const PackedMatrix w(m.format, 16, 64, packed.bytes, packed.size);
  const std::vector<float> input(96);
  QuantizedActivations x;
  x.Quantize(input.data(), 1, 96, 96, pool);
  float y[16];
  EXPECT_THROW(MatMul(w, x, y, 16, pool), Error);
  EXPECT_THROW(PackedMatrix(m.format, 16, 128, packed.bytes, packed.size), Error);
}

}  // namespace
}  // namespace lowbit
