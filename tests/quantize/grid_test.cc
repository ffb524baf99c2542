#include "lowbit/quantize/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

template <typename T>
struct Fitted {
  std::array<T, kLanes> scale, zero;
};

// Weights (columns, kLanes) as the kernels see them.
template <typename T>
Fitted<T> Fit(const GridOptions& options, const std::vector<T>& x, const T* weight = nullptr) {
  Fitted<T> f;
  FitGrids(options, x.data(), static_cast<int64_t>(x.size()) / kLanes, kLanes, weight, f.scale.data(),
           f.zero.data());
  return f;
}

// The rounding rule in plain words.
template <typename T>
T PlainRound(T w, T scale, T zero, int bits) {
  const T code = std::clamp(std::nearbyint(w / scale) + zero, T(0), static_cast<T>((1 << bits) - 1));
  return scale * (code - zero);
}

template <typename T>
double Error(const GridOptions& o, const std::vector<T>& x, int r, T scale, T zero,
             const T* weight = nullptr) {
  double sum = 0;
  for (size_t c = 0; c < x.size() / kLanes; ++c) {
    const double d =
        static_cast<double>(x[c * kLanes + static_cast<size_t>(r)] -
                            PlainRound(x[c * kLanes + static_cast<size_t>(r)], scale, zero, o.bits));
    sum += (weight == nullptr ? 1.0 : static_cast<double>(weight[c])) * std::pow(std::abs(d), o.norm);
  }
  return sum;
}

template <typename T>
class Grid : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Grid, Types);

TYPED_TEST(Grid, ScalesAreStorableAndTheRangeIsCovered) {
  using T = TypeParam;
  const std::vector<T> x = RandomWeights<T>(24, kLanes, 1);
  for (int bits = 2; bits <= 8; ++bits) {
    const T top = static_cast<T>((1 << bits) - 1);
    for (const GridKind kind : {GridKind::kAsymmetric, GridKind::kSymmetric}) {
      const Fitted<T> f = Fit<T>({.bits = bits, .kind = kind}, x);
      for (int r = 0; r < kLanes; ++r) {
        const T s = f.scale[static_cast<size_t>(r)], z = f.zero[static_cast<size_t>(r)];
        EXPECT_EQ(static_cast<float>(s), F16ToFloat(FloatToF16(static_cast<float>(s))));
        EXPECT_EQ(z, std::nearbyint(z));
        if (kind == GridKind::kSymmetric) {
          EXPECT_EQ(z, static_cast<T>(1 << (bits - 1)));
        }
        for (size_t c = 0; c < 24; ++c) {
          const T w = x[c * kLanes + static_cast<size_t>(r)];
          // Half a step inside; an end may lose another half step to the rounding of zero (asymmetric) or to
          // the missing top level (symmetric), and the f16 rounding of the scale.
          EXPECT_LE(std::abs(w - PlainRound(w, s, z, bits)), s * (T(1) + top / T(2048)));
        }
      }
    }
  }
}

TYPED_TEST(Grid, KernelFollowsTheRule) {
  using T = TypeParam;
  const std::vector<T> x = RandomWeights<T>(1, kLanes, 2);
  std::array<T, kLanes> scale, zero, value, code;
  for (int r = 0; r < kLanes; ++r) {
    scale[static_cast<size_t>(r)] = T(0.01) + T(0.001) * static_cast<T>(r);
    zero[static_cast<size_t>(r)] = static_cast<T>(r % 8);
  }
  std::vector<T> w = x;
  w[0] = T(0.5) * scale[0];  // ties go to even
  w[1] = T(1.5) * scale[1];
  w[2] = T(1e6);
  w[3] = T(-1e6);
  Lanes<T>().quantize(w.data(), scale.data(), zero.data(), T(7), value.data(), code.data());
  for (size_t r = 0; r < kLanes; ++r) {
    EXPECT_EQ(value[r], PlainRound(w[r], scale[r], zero[r], 3));
    EXPECT_EQ(value[r], scale[r] * (code[r] - zero[r]));
  }
  EXPECT_EQ(code[2], T(7));
  EXPECT_EQ(code[3], T(0));
}

TYPED_TEST(Grid, ZeroTinyHugeAndOneSidedGroups) {
  using T = TypeParam;
  std::vector<T> x(4 * kLanes, T(0));
  for (size_t c = 0; c < 4; ++c) {
    x[c * kLanes + 1] = static_cast<T>(c) * T(1e-12);  // scale underflows in f16
    x[c * kLanes + 2] = static_cast<T>(c) * T(1e7);    // and overflows
    x[c * kLanes + 3] = static_cast<T>(c + 1);         // no negative weight
    x[c * kLanes + 4] = -static_cast<T>(c + 1);        // no positive weight
  }
  for (const GridKind kind : {GridKind::kAsymmetric, GridKind::kSymmetric}) {
    const Fitted<T> f = Fit<T>({.bits = 4, .kind = kind}, x);
    for (int r = 0; r < kLanes; ++r) {
      EXPECT_GT(f.scale[static_cast<size_t>(r)], T(0));
      EXPECT_LE(f.scale[static_cast<size_t>(r)], T(65504));
    }
    EXPECT_EQ(PlainRound(T(0), f.scale[0], f.zero[0], 4), T(0));
    EXPECT_NEAR(static_cast<double>(f.scale[0]), 2.0 / 15, 1e-4);
    // Symmetric: both halves of the grid are used whatever the sign of the weights.
    if (kind == GridKind::kSymmetric) {
      EXPECT_NEAR(static_cast<double>(f.scale[3]), 8.0 / 15, 1e-3);
      EXPECT_EQ(f.scale[3], f.scale[4]);
    }
  }
  const Fitted<T> v1 = Fit<T>({.bits = 4, .min_zero = 1}, x);
  EXPECT_EQ(v1.zero[3], T(1));
  EXPECT_LE(std::abs(T(4) - PlainRound(T(4), v1.scale[3], v1.zero[3], 4)), v1.scale[3] / 2 + T(0.01));
}

TYPED_TEST(Grid, ShrinkSearchFindsTheBestOfItsCandidates) {
  using T = TypeParam;
  const int64_t columns = 32;
  std::vector<T> x = RandomWeights<T>(columns, kLanes, 3), weight;
  for (int r = 0; r < kLanes; ++r) x[static_cast<size_t>(r)] *= T(4);  // an outlier column
  for (int64_t c = 0; c < columns; ++c) weight.push_back(c == 0 ? T(0.01) : T(1) + static_cast<T>(c % 3));
  for (const double norm : {2.0, 2.4, 3.0}) {
    for (const bool weighted : {false, true}) {
      const GridOptions options{.bits = 3, .shrink_steps = 80, .norm = norm};
      GridOptions plain = options;
      plain.shrink_steps = 0;
      const T* const importance = weighted ? weight.data() : nullptr;
      const Fitted<T> searched = Fit<T>(options, x, importance), full = Fit<T>(plain, x);
      int better = 0;
      for (int r = 0; r < kLanes; ++r) {
        const size_t i = static_cast<size_t>(r);
        const double got = Error(options, x, r, searched.scale[i], searched.zero[i], importance);
        const double start = Error(options, x, r, full.scale[i], full.zero[i], importance);
        EXPECT_LE(got, start * (1 + 1e-4));
        better += got < 0.9 * start;
        // Brute force over the same candidates.
        T low = 0, high = 0;
        for (int64_t c = 0; c < columns; ++c) {
          low = std::min(low, x[static_cast<size_t>(c * kLanes + r)]);
          high = std::max(high, x[static_cast<size_t>(c * kLanes + r)]);
        }
        double best = 1e300;
        for (int step = 0; step < 80; ++step) {
          const T p = T(1) - static_cast<T>(step) / T(100);
          const T s = static_cast<T>(F16ToFloat(FloatToF16(static_cast<float>((p * high - p * low) / T(7)))));
          best = std::min(best, Error(options, x, r, s, std::clamp(std::nearbyint(-p * low / s), T(0), T(7)),
                                      importance));
        }
        EXPECT_NEAR(got, best, 1e-3 * best);
      }
      EXPECT_GT(better, kLanes / 4);
    }
  }
}

TEST(GridOptionsTest, AreChecked) {
  EXPECT_THROW(CheckGridOptions({.bits = 0}), UsageError);
  EXPECT_THROW(CheckGridOptions({.bits = 9}), UsageError);
  EXPECT_THROW(CheckGridOptions({.shrink_steps = 101}), UsageError);
  EXPECT_THROW(CheckGridOptions({.norm = 0}), UsageError);
  EXPECT_THROW(CheckGridOptions({.bits = 2, .min_zero = 4}), UsageError);
}

}  // namespace
}  // namespace lowbit
