#include "lowbit/kernel/code_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/code_scan.h"
#include "lowbit/kernel/hadamard.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

TEST(RankCodes, CountsThresholdsAndTiesGoUp) {
  for (const int count : {1, 3, 7, 15, 31, 255}) {
    std::vector<float> threshold, x;
    for (int i = 0; i < count; ++i) threshold.push_back(static_cast<float>(i - count / 2));
    Random random(31);
    for (int i = 0; i < 128; ++i)
      x.push_back(static_cast<float>(static_cast<int>(random.Below(600)) - 300) / 2);
    x[0] = -std::numeric_limits<float>::max(), x[1] = std::numeric_limits<float>::max();
    std::vector<uint8_t> codes(x.size());
    RankCodes(x.data(), 128, 0.5f, threshold.data(), count, codes.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const auto rank =
          std::count_if(threshold.begin(), threshold.end(), [&](float t) { return x[i] * 0.5f >= t; });
      ASSERT_EQ(codes[i], rank) << count << ' ' << x[i];
    }
  }
}

TEST(RankAndPack, IsRankingThenPackingOnEveryTarget) {
  const Target before = CurrentTarget();
  for (int bits = 1; bits <= 4; ++bits) {
    const int count = (1 << bits) - 1;
    std::vector<float> threshold, x;
    for (int i = 0; i < count; ++i) threshold.push_back(0.3f * static_cast<float>(i - count / 2));
    Random random(32);
    for (int i = 0; i < 7 * 32; ++i) x.push_back(random.Normal());
    std::copy(threshold.begin(), threshold.end(), x.begin() + 5);  // ties
    std::vector<uint8_t> codes(x.size()), expected(static_cast<size_t>(CodeBytes(bits, 7)));
    RankCodes(x.data(), 7 * 32, 1, threshold.data(), count, codes.data());
    PackCodes(bits, codes.data(), 7, expected.data());
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      std::vector<uint8_t> packed(expected.size());
      RankAndPack(x.data(), 7, 1, threshold.data(), bits, packed.data());
      ASSERT_EQ(packed, expected) << NameOf(target) << ' ' << bits;
    }
  }
  SetTarget(before);
  EXPECT_THROW(RankAndPack(nullptr, 0, 1, nullptr, 5, nullptr), Error);
}

TEST(SumOfSquares, IsTheSameOnEveryTarget) {
  const Target before = CurrentTarget();
  for (const int64_t n : {1, 7, 8, 25, 128, 1000}) {
    Random random(40);
    std::vector<float> x(static_cast<size_t>(n));
    double exact = 0;
    for (float& v : x) v = random.Normal(), exact += double{v} * v;
    SetTarget(SupportedTargets().front());
    const float first = SumOfSquares(x.data(), n);
    EXPECT_NEAR(first, exact, 1e-5 * exact);
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      EXPECT_EQ(SumOfSquares(x.data(), n), first) << NameOf(target);
    }
  }
  SetTarget(before);
}

// Rows, a rotation and an alphabet to try RankRows on.
struct Case {
  Case(int64_t dim_in, int bits, int rounds) : dim(dim_in) {
    blocks = (dim + kCodeBlock - 1) / kCodeBlock;
    width = blocks * kCodeBlock;
    rotation = {.length = LargestHadamard(width), .rounds = rounds};
    Random random(50);
    factor.resize(static_cast<size_t>(2 * rounds * rotation.length));
    const float scale = 1 / std::sqrt(static_cast<float>(rotation.length));
    for (float& f : factor) f = random.Below(2) == 0 ? scale : -scale;
    rotation.factor = factor.data();
    for (int i = 0; i < 1 << bits; ++i) value.push_back(0.3f * (static_cast<float>(i) - 0.5f * (1 << bits)));
    for (size_t i = 0; i + 1 < value.size(); ++i) threshold.push_back((value[i] + value[i + 1]) / 2);
    alphabet = {.bits = bits, .threshold = threshold.data(), .value = value.data()};
    stride = CodeBytes(bits, blocks) + 3;
    x.resize(static_cast<size_t>(kRows * dim));
    for (float& v : x) v = random.Normal();
    // Zeros of both signs, one entry, huge and tiny numbers, and what is no number.
    std::fill(Row(1), Row(2), 0.0f);
    std::fill(Row(2), Row(3), -0.0f);
    std::fill(Row(3) + 1, Row(4), 0.0f);
    for (float* v = Row(4); v < Row(5); ++v) *v *= 1e-30f;
    for (float* v = Row(5); v < Row(6); ++v) *v *= 1e30f;
    *Row(6) = std::numeric_limits<float>::quiet_NaN();
    *Row(7) = std::numeric_limits<float>::infinity();
  }
  float* Row(int64_t i) { return x.data() + i * dim; }

  static constexpr int64_t kRows = 9;
  int64_t dim, blocks, width, stride;
  RowRotation rotation;
  RowAlphabet alphabet;
  std::vector<float> factor, threshold, value, x;
};

struct Encoded {
  explicit Encoded(const Case& c) : packed(static_cast<size_t>(c.kRows * c.stride), 0x5a), sums(c.kRows) {}
  std::vector<uint8_t> packed;
  std::vector<RowSums> sums;
};

void RotateInPlace(const Case& c, float* y) {
  const float* factor = c.rotation.factor;
  for (int round = 0; round < c.rotation.rounds; ++round) {
    Hadamard(y, factor, c.rotation.length);
    factor += c.rotation.length;
    if (c.rotation.length == c.width) continue;
    Hadamard(y + c.width - c.rotation.length, factor, c.rotation.length);
    factor += c.rotation.length;
  }
}

// Row i by the functions of one step each.
void EncodeStepByStep(Case& c, int64_t i, Encoded& out) {
  RowSums& sums = out.sums[static_cast<size_t>(i)];
  std::vector<float> y(static_cast<size_t>(c.width));
  std::copy(c.Row(i), c.Row(i + 1), y.begin());
  RotateInPlace(c, y.data());
  sums.square = SumOfSquares(c.Row(i), c.dim);
  const float norm = std::sqrt(sums.square), root = std::sqrt(static_cast<float>(c.width));
  std::vector<uint8_t> codes(y.size());
  RankCodes(y.data(), c.width, norm > 0 ? root / norm : 0.0f, c.threshold.data(),
            static_cast<int>(c.threshold.size()), codes.data());
  PackCodes(c.alphabet.bits, codes.data(), c.blocks, out.packed.data() + i * c.stride);
  double square[8] = {}, product[8] = {};
  for (size_t j = 0; j < y.size(); ++j) {
    square[j % 8] += double{y[j]} * y[j];
    product[j % 8] += double{y[j]} * c.value[codes[j]];
  }
  const auto total = [](const double* s) {
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  };
  sums.rotated_square = total(square);
  sums.product = total(product);
}

void ExpectEqual(const Case& c, const Encoded& a, const Encoded& b, bool products) {
  for (int64_t i = 0; i < c.kRows; ++i) {
    const RowSums &s = a.sums[static_cast<size_t>(i)], &t = b.sums[static_cast<size_t>(i)];
    const std::string where = std::string(NameOf(CurrentTarget())) + ", " + std::to_string(c.dim) +
                              " dimensions, bits " + std::to_string(c.alphabet.bits) + ", row " +
                              std::to_string(i);
    // Nothing is written between the rows of codes.
    const auto begin = a.packed.begin() + i * c.stride, end = begin + CodeBytes(c.alphabet.bits, c.blocks);
    ASSERT_TRUE(std::all_of(end, begin + c.stride, [](uint8_t v) { return v == 0x5a; })) << where;
    if (!std::isfinite(t.square)) {
      ASSERT_FALSE(std::isfinite(s.square)) << where;
      continue;
    }
    ASSERT_EQ(s.square, t.square) << where;
    ASSERT_TRUE(std::equal(begin, end, b.packed.begin() + i * c.stride)) << where;
    if (!products) continue;
    ASSERT_EQ(s.rotated_square, t.rotated_square) << where;
    ASSERT_EQ(s.product, t.product) << where;
  }
}

// Rows that fill registers, that are no multiple of one, with and without a transform of their own length.
TEST(RankRows, IsItsStepsToTheLastBitOnEveryTarget) {
  const Target before = CurrentTarget();
  for (const int64_t dim : {1,   25,  32,  64,  96,  97,  128,  160,  192,  200,  224,
                            256, 384, 511, 512, 640, 768, 1024, 1100, 1280, 1536, 2048}) {
    for (int bits = 1; bits <= 4; ++bits) {
      for (const int rounds : {0, 1, 3}) {
        Case c(dim, bits, rounds);
        Encoded expected(c);
        SetTarget(SupportedTargets().front());
        for (int64_t i = 0; i < c.kRows; ++i) EncodeStepByStep(c, i, expected);
        for (const Target target : SupportedTargets()) {
          SetTarget(target);
          for (const bool products : {true, false}) {
            c.alphabet.value = products ? c.value.data() : nullptr;
            Encoded found(c);
            RankRows({c.x.data(), c.kRows, dim}, c.blocks, c.rotation, c.alphabet, found.packed.data(),
                     c.stride, found.sums.data());
            ExpectEqual(c, found, expected, products);
          }
        }
      }
    }
  }
  SetTarget(before);
  RowSums sums;
  EXPECT_THROW(RankRows({}, 1, {}, {.bits = 5}, nullptr, 0, &sums), Error);
}

}  // namespace
}  // namespace lowbit
