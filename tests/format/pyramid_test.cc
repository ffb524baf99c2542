#include "lowbit/format/pyramid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

// All points of P(n, k).
void Enumerate(int n, int k, std::vector<int16_t>& head, std::vector<std::vector<int16_t>>& all) {
  if (n == 0) {
    if (k == 0) all.push_back(head);
    return;
  }
  for (int v = -k; v <= k; ++v) {
    head.push_back(static_cast<int16_t>(v));
    Enumerate(n - 1, k - std::abs(v), head, all);
    head.pop_back();
  }
}

std::vector<std::vector<int16_t>> AllPoints(int n, int k) {
  std::vector<int16_t> head;
  std::vector<std::vector<int16_t>> all;
  Enumerate(n, k, head, all);
  return all;
}

uint64_t Count(int n, int k) {
  const PyramidCodec codec(n, k);
  EXPECT_EQ(codec.count().size(), 1u);
  return codec.count()[0];
}

// A point of P(n, k) from k pulses thrown one by one.
std::vector<int16_t> RandomPoint(int n, int k, Random& random) {
  std::vector<int16_t> y(static_cast<size_t>(n));
  for (int pulse = 0; pulse < k; ++pulse) ++y[random.Below(static_cast<uint64_t>(n))];
  for (int16_t& v : y) v = static_cast<int16_t>(random.Below(2) ? -v : v);
  return y;
}

TEST(Pyramid, CountsItsPoints) {
  for (int k = 1; k < 30; ++k) {
    EXPECT_EQ(Count(1, k), 2u);
    EXPECT_EQ(Count(2, k), static_cast<uint64_t>(4 * k));
    EXPECT_EQ(Count(3, k), static_cast<uint64_t>(4 * k * k + 2));
    EXPECT_EQ(Count(k, 1), static_cast<uint64_t>(2 * k));
    EXPECT_EQ(Count(k, 2), static_cast<uint64_t>(2 * k * k));
    for (int n = 1; n < 12; ++n) {
      if (k < 12) {
        EXPECT_EQ(static_cast<uint64_t>(k) * Count(n, k), static_cast<uint64_t>(n) * Count(k, n));
      }
    }
  }
  EXPECT_EQ(Count(4, 3), 88u);
  EXPECT_EQ(Count(5, 0), 1u);
  EXPECT_EQ(PyramidCodec(5, 0).bits(), 0);
}

TEST(Pyramid, BitsAreThoseOfTheCard) {
  const int rows[][3] = {{8, 6, 15},   {8, 16, 24},  {8, 36, 32},  {16, 4, 16},  {16, 12, 32},
                         {16, 27, 48}, {16, 58, 64}, {32, 22, 64}, {32, 50, 96}, {32, 105, 128}};
  for (const auto& [n, k, bits] : rows) {
    EXPECT_EQ(PyramidCodec(n, k).bits(), bits) << n << " " << k;
    EXPECT_EQ(PyramidCodec(n, k).words(), (bits + 63) / 64);
    EXPECT_EQ(PyramidPulses(n, (bits + 7) / 8 * 8), k);
  }
  EXPECT_EQ(PyramidPulses(3, 0), 0);
  EXPECT_EQ(PyramidPulses(1, 1), 32767);
}

TEST(Pyramid, IsABijectionOnSmallOnes) {
  for (int n = 1; n <= 5; ++n) {
    for (int k = 0; k <= 12; ++k) {
      if (n == 5 && k > 9) continue;
      const PyramidCodec codec(n, k);
      const std::vector<std::vector<int16_t>> points = AllPoints(n, k);
      ASSERT_EQ(codec.count()[0], points.size());
      std::set<uint64_t> seen;
      for (const std::vector<int16_t>& y : points) {
        uint64_t index;
        codec.Encode(y, {&index, 1});
        ASSERT_LT(index, points.size());
        seen.insert(index);
        std::vector<int16_t> back(y.size());
        codec.Decode({&index, 1}, back);
        ASSERT_EQ(back, y);
      }
      ASSERT_EQ(seen.size(), points.size());
    }
  }
}

TEST(Pyramid, OrderIsAsDocumented) {
  const PyramidCodec codec(2, 2);
  const std::vector<std::vector<int16_t>> order = {{2, 0}, {0, 2},  {-2, 0},  {0, -2},
                                                   {1, 1}, {-1, 1}, {-1, -1}, {1, -1}};
  for (uint64_t i = 0; i < order.size(); ++i) {
    std::vector<int16_t> y(2);
    codec.Decode({&i, 1}, y);
    EXPECT_EQ(y, order[i]) << i;
  }
}

TEST(Pyramid, RoundTripsAtAnySize) {
  Random random(1);
  const int sizes[][2] = {{16, 12}, {16, 27},  {16, 58},   {8, 36},    {17, 58},
                          {32, 50}, {32, 105}, {33, 105},  {64, 64},   {2, 127},
                          {1, 5},   {256, 40}, {100, 300}, {3, 20000}, {700, 9}};
  for (const auto& [n, k] : sizes) {
    const PyramidCodec codec(n, k);
    const auto words = static_cast<size_t>(codec.words());
    const int count = 203;
    for (int i = 0; i < count; ++i) {
      std::vector<int16_t> y = RandomPoint(n, k, random), back(y.size());
      if (i < 2) {  // all pulses in the first pair
        y.assign(y.size(), 0);
        y[0] = static_cast<int16_t>(n == 1 ? (i == 0 ? k : -k) : i == 0 ? 0 : 1);
        if (n > 1) y[1] = static_cast<int16_t>(i == 0 ? k : 1 - k);
      }
      std::vector<uint64_t> index(words);
      codec.Encode(y, index);
      codec.Decode(index, back);
      ASSERT_EQ(back, y) << n << " " << k;
    }
    // The last index is a point, the number of points is not.
    std::vector<uint64_t> last(codec.count().begin(), codec.count().end());
    std::vector<int16_t> y(static_cast<size_t>(n));
    EXPECT_THROW(codec.Decode(last, y), Error);
    for (uint64_t& w : last) {
      if (w-- != 0) break;
    }
    codec.Decode(last, y);
    std::vector<uint64_t> again(words);
    codec.Encode(y, again);
    EXPECT_EQ(again, last);
  }
}

TEST(Pyramid, RefusesWhatIsNotOnIt) {
  const PyramidCodec codec(3, 4);
  uint64_t index = codec.count()[0];
  std::vector<int16_t> y = {1, 1, 1};
  EXPECT_THROW(codec.Decode({&index, 1}, y), Error);
  EXPECT_THROW(codec.Encode(y, {&index, 1}), Error);
  EXPECT_THROW(PyramidCodec(0, 3), Error);
  EXPECT_THROW(PyramidCodec(3, -1), Error);
  EXPECT_THROW(PyramidCodec(1024, 32767), Error);
}

double Cosine(const std::vector<float>& x, const std::vector<int16_t>& y) {
  double dot = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    dot += double{x[i]} * y[i];
    xx += double{x[i]} * x[i];
    yy += double{1} * y[i] * y[i];
  }
  return dot / std::sqrt(xx * yy);
}

TEST(Pyramid, SearchesFindTheBestPoint) {
  Random random(2);
  for (int n = 1; n <= 4; ++n) {
    for (int k = 1; k <= 6; ++k) {
      const std::vector<std::vector<int16_t>> points = AllPoints(n, k);
      for (int trial = 0; trial < 150; ++trial) {
        std::vector<float> x(static_cast<size_t>(n));
        for (float& v : x) v = random.Normal() * (trial % 3 == 0 ? 3.0f : 1.0f);
        std::vector<int16_t> y(x.size());
        const PyramidFit fit = PyramidDirection(x, k, y);
        double best = -1;
        for (const auto& point : points) best = std::max(best, Cosine(x, point));
        ASSERT_NEAR(Cosine(x, y), best, 2e-6) << n << " " << k;
        // |x - g y|^2 = |x|^2 (1 - cos^2) with the gain of the projection
        double error = 0, xx = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          error += std::pow(double{x[i]} - double{fit.dot} / fit.squares * y[i], 2);
          xx += double{x[i]} * x[i];
        }
        ASSERT_NEAR(error, xx * (1 - best * best), 1e-5 * xx);

        const auto distance = [&](const std::vector<int16_t>& point) {
          double sum = 0;
          for (size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - point[i], 2);
          return sum;
        };
        PyramidNearest(x, k, y);
        double nearest = 1e30;
        for (const auto& point : points) nearest = std::min(nearest, distance(point));
        ASSERT_NEAR(distance(y), nearest, 1e-5);
      }
    }
  }
}

TEST(Pyramid, SearchIsEquivariant) {
  Random random(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> x(16);
    for (float& v : x) v = random.Normal();
    std::vector<int16_t> y(16), other(16);
    PyramidDirection(x, 27, y);
    int pulses = 0;
    for (size_t i = 0; i < 16; ++i) {
      pulses += std::abs(y[i]);
      EXPECT_GE(x[i] * y[i], 0);
    }
    EXPECT_EQ(pulses, 27);
    std::vector<float> scaled = x, flipped = x;
    for (float& v : scaled) v *= 1024;
    PyramidDirection(scaled, 27, other);
    EXPECT_EQ(y, other);
    for (size_t i = 0; i < 16; i += 3) flipped[i] = -flipped[i];
    PyramidDirection(flipped, 27, other);
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(other[i], i % 3 == 0 ? -y[i] : y[i]);
    std::reverse(x.begin(), x.end());
    PyramidDirection(x, 27, other);
    std::reverse(other.begin(), other.end());
    std::reverse(x.begin(), x.end());
    EXPECT_NEAR(Cosine(x, other), Cosine(x, y), 1e-6);  // sums round differently in another order
  }
  std::vector<int16_t> y(4);
  const std::vector<float> zero(4), huge = {1e30f, 1, -1e30f, 0};
  PyramidDirection(zero, 7, y);
  EXPECT_EQ(y, (std::vector<int16_t>{7, 0, 0, 0}));
  PyramidDirection(huge, 2, y);
  EXPECT_EQ(y, (std::vector<int16_t>{1, 0, -1, 0}));
  PyramidNearest(std::vector<float>{1e6f, 1, -1e6f, 0}, 2, y);
  EXPECT_EQ(y, (std::vector<int16_t>{1, 0, -1, 0}));
  PyramidDirection(huge, 0, y);
  EXPECT_EQ(y, (std::vector<int16_t>{0, 0, 0, 0}));
}

TEST(Pyramid, ShapeErrorOfNormalVectorsIsThatOfTheCard) {
  Random random(4);
  const struct {
    int n, k;
    double error;  // of unit variance, exact gain
  } rows[] = {{16, 27, 0.0192}, {16, 58, 0.0043}, {8, 16, 0.0148}, {32, 50, 0.0214}};
  for (const auto& row : rows) {
    double error = 0;
    const int count = 4000;
    for (int i = 0; i < count; ++i) {
      std::vector<float> x(static_cast<size_t>(row.n));
      for (float& v : x) v = random.Normal();
      std::vector<int16_t> y(x.size());
      const PyramidFit fit = PyramidDirection(x, row.k, y);
      double xx = 0;
      for (const float v : x) xx += double{v} * v;
      error += (xx - double{fit.dot} * fit.dot / fit.squares) / row.n / count;
    }
    EXPECT_NEAR(error, row.error, 0.05 * row.error) << row.n << " " << row.k;
  }
}

}  // namespace
}  // namespace lowbit
