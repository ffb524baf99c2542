#include "lowbit/quantize/vector_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/format/lloyd_max.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/quantize/grid_code.h"
#include "lowbit/quantize/trellis_codebook.h"
#include "lowbit/quantize/turboquant.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

std::vector<float> Gaussian(int64_t n, int64_t d, uint64_t seed) {
  NormalSequence normal(seed);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& v : x) v = static_cast<float>(normal.Next());
  return x;
}

double Dot(const float* a, const float* b, int64_t d) {
  double sum = 0;
  for (int64_t j = 0; j < d; ++j) sum += double{a[j]} * b[j];
  return sum;
}

std::vector<uint8_t> Encoded(const VectorCode& code, const std::vector<float>& x) {
  ThreadPool pool(2);
  const int64_t n = static_cast<int64_t>(x.size()) / code.dim();
  std::vector<uint8_t> codes(static_cast<size_t>(n * code.bytes()));
  code.Encode({x.data(), n, code.dim()}, codes.data(), pool);
  return codes;
}

std::unique_ptr<VectorCode> Trained(const std::string& name, int64_t d,
                                    const VectorCodeOptions& options = {}) {
  ThreadPool pool(1);
  std::unique_ptr<VectorCode> code = MakeVectorCode(name, d, options);
  const std::vector<float> x = Gaussian(20, d, 99);
  code->Train({x.data(), 20, d}, pool);
  return code;
}

// ||u - u~||^2 of one vector, its length taken out.
double Distortion(const VectorCode& code, const std::vector<float>& x) {
  std::vector<float> decoded(x.size());
  code.Decode(Encoded(code, x).data(), 1, decoded.data());
  double error = 0;
  for (size_t j = 0; j < x.size(); ++j) error += (double{x[j]} - decoded[j]) * (double{x[j]} - decoded[j]);
  return error / Dot(x.data(), x.data(), code.dim());
}

TEST(VectorCode, EstimatesAreInnerProductsWithTheDecodedVector) {
  for (const std::string& name : VectorCodeNames()) {
    for (const int64_t d : {25, 64, 96, 128}) {
      const auto code = Trained(name, d);
      const std::vector<float> x = Gaussian(5, d, 1), q = Gaussian(1, d, 2);
      const std::vector<uint8_t> codes = Encoded(*code, x);
      std::vector<float> decoded(x.size()), products(5), distances(5);
      code->Decode(codes.data(), 5, decoded.data());
      const auto query = code->Prepare(q.data());
      query.InnerProducts(codes.data(), 5, products.data());
      query.SquaredDistances(codes.data(), 5, distances.data());
      const double size = std::sqrt(Dot(q.data(), q.data(), d));
      for (int64_t i = 0; i < 5; ++i) {
        const float* row = &x[static_cast<size_t>(i * d)];
        const double norm = std::sqrt(Dot(row, row, d));
        // The query's 8 bits: an error of up to 1/127/sqrt(12) of its largest entry each.
        ASSERT_NEAR(products[static_cast<size_t>(i)], Dot(q.data(), &decoded[static_cast<size_t>(i * d)], d),
                    0.03 * size * norm)
            << name << ' ' << d;
        const double distance = size * size + norm * norm - 2 * products[static_cast<size_t>(i)];
        ASSERT_NEAR(distances[static_cast<size_t>(i)], distance, 0.01 * (size * size + norm * norm))
            << name << ' ' << d;
      }
    }
  }
}

// A batch gives, bit for bit, what its queries give alone, and a query may be shifted after its projection.
TEST(VectorCode, BatchesScoreAsSingleQueriesDo) {
  constexpr int64_t kQueries = 6, kCodes = 21;
  for (const std::string& name : VectorCodeNames()) {
    const int64_t d = 45;
    const auto code = Trained(name, d);
    const std::vector<float> x = Gaussian(kCodes, d, 1), q = Gaussian(kQueries, d, 2), c = Gaussian(1, d, 3);
    const std::vector<uint8_t> codes = Encoded(*code, x);
    const int64_t width = code->projected_dim();
    std::vector<float> projected(static_cast<size_t>(kQueries * width)), shift(static_cast<size_t>(width));
    code->Project(c.data(), shift.data());
    const std::vector<float> constant = {0, 1, -2, 3, 0, 5};
    for (const bool shifted : {false, true}) {
      for (int64_t r = 0; r < kQueries; ++r) {
        float* to = &projected[static_cast<size_t>(r * width)];
        code->Project(&q[static_cast<size_t>(r * d)], to);
        for (size_t j = 0; shifted && j < shift.size(); ++j) to[j] -= shift[j];
      }
      for (const ScoreKind kind : {ScoreKind::kNegativeProduct, ScoreKind::kSquaredDistance}) {
        std::vector<float> scores(kQueries * kCodes), single(kCodes);
        code->PrepareBatch({{projected.data(), kQueries, width}, constant.data()}, kind)
            ->Scores(codes.data(), kCodes, scores.data());
        for (int64_t r = 0; r < kQueries; ++r) {
          code->PrepareBatch(
                  {{&projected[static_cast<size_t>(r * width)], 1, width}, &constant[static_cast<size_t>(r)]},
                  kind)
              ->Scores(codes.data(), kCodes, single.data());
          ASSERT_TRUE(std::equal(single.begin(), single.end(), scores.begin() + r * kCodes))
              << name << ' ' << r;
          std::vector<float> own(&q[static_cast<size_t>(r * d)], &q[static_cast<size_t>(r * d)] + d);
          for (size_t j = 0; shifted && j < own.size(); ++j) own[j] -= c[j];
          const auto query = code->Prepare(own.data());
          if (kind == ScoreKind::kSquaredDistance) {
            query.SquaredDistances(codes.data(), kCodes, single.data());
          } else {
            query.InnerProducts(codes.data(), kCodes, single.data());
            for (float& s : single) s = -s;
          }
          for (size_t i = 0; i < single.size(); ++i) {
            // A rounding of the query may fall to the other side: 1/127 of its largest entry, in one place.
            ASSERT_NEAR(scores[static_cast<size_t>(r * kCodes) + i],
                        single[i] + constant[static_cast<size_t>(r)], 0.5)
                << name << ' ' << shifted;
          }
        }
      }
    }
  }
}

// A number of the caller's beside each code changes nothing else, and counts in products times the query's
// weight.
TEST(VectorCode, BiasesAreAddedToProducts) {
  constexpr int64_t kQueries = 5, kCodes = 19;
  for (const std::string& name : VectorCodeNames()) {
    SCOPED_TRACE(name);
    const int64_t d = 45;
    const auto plain = Trained(name, d), biased = Trained(name, d, {.bias = true});
    ASSERT_EQ(biased->bytes(), plain->bytes() + 2);
    const std::vector<float> x = Gaussian(kCodes, d, 1), q = Gaussian(kQueries, d, 2),
                             biases = Gaussian(1, kCodes, 3), weight = Gaussian(1, kQueries, 4);
    const std::vector<uint8_t> codes = Encoded(*plain, x);
    std::vector<uint8_t> with = Encoded(*biased, x);
    biased->StoreBiases(biases.data(), kCodes, "bias", 0, with.data());
    std::vector<float> loaded(kCodes), decoded(kCodes * d), other(decoded.size());
    biased->LoadBiases(with.data(), kCodes, loaded.data());
    for (size_t i = 0; i < kCodes; ++i) EXPECT_NEAR(loaded[i], biases[i], std::abs(biases[i]) / 2048);
    plain->Decode(codes.data(), kCodes, decoded.data());
    biased->Decode(with.data(), kCodes, other.data());
    EXPECT_EQ(decoded, other);

    const int64_t width = plain->projected_dim();
    std::vector<float> projected(static_cast<size_t>(kQueries * width));
    for (int64_t r = 0; r < kQueries; ++r)
      plain->Project(&q[static_cast<size_t>(r * d)], &projected[static_cast<size_t>(r * width)]);
    const std::vector<float> constant = {0, 1, -2, 3, 5};
    const MatrixView<const float> queries(projected.data(), kQueries, width);
    std::vector<float> scores(kQueries * kCodes), bare(scores.size()), weighted(scores.size());
    const auto score = [&](const VectorCode& code, const std::vector<uint8_t>& of, const float* w,
                           ScoreKind kind, std::vector<float>& to) {
      code.PrepareBatch({queries, constant.data(), w}, kind)->Scores(of.data(), kCodes, to.data());
    };
    for (const ScoreKind kind : {ScoreKind::kNegativeProduct, ScoreKind::kSquaredDistance}) {
      score(*plain, codes, nullptr, kind, scores);
      score(*biased, with, nullptr, kind, bare);
      score(*biased, with, weight.data(), kind, weighted);
      EXPECT_EQ(scores, bare);
      for (size_t r = 0; r < kQueries; ++r) {
        for (size_t i = 0; i < kCodes; ++i) {
          const float extra = kind == ScoreKind::kNegativeProduct ? weight[r] * loaded[i] : 0.0f;
          EXPECT_NEAR(weighted[r * kCodes + i], scores[r * kCodes + i] - extra,
                      1e-5 * (10 + std::abs(extra)));
        }
      }
    }
  }
  EXPECT_THROW(MakeVectorCode("tq4", 32, {.center = true, .bias = true}), Error);
}

TEST(VectorCode, CountsItsBits) {
  const VectorCodeOptions bare{.norms = false};
  EXPECT_EQ(MakeVectorCode("tq4", 128)->bytes(), 64 + 2);
  EXPECT_EQ(MakeVectorCode("rabitq4", 128)->bytes(), 64 + 4);
  EXPECT_EQ(MakeVectorCode("trellis3", 128)->bytes(), 48 + 4);
  EXPECT_EQ(MakeVectorCode("trellis3", 128, bare)->bytes(), 48 + 2);
  EXPECT_EQ(MakeVectorCode("tq3-prod", 128)->bytes(), 48 + 4);
  EXPECT_EQ(MakeVectorCode("qjl", 128)->bytes(), 16 + 2);
  // 32 channels of 3 bits, 96 of 2, two f16 norms: 2.5 bits a dimension, as the card reckons.
  EXPECT_EQ(MakeVectorCode("tq2.5", 128)->bits(), 2.5);
  EXPECT_EQ(MakeVectorCode("tq3.5", 128)->bits(), 3.5);
}

// Claim 1 of the card: the distortion of the table for any input, one-hot and constant vectors included.
TEST(TurboQuant, DistortionIsTheTablesForAnyInput) {
  const double table[4] = {.360889, .116000, .033966, .009315};
  for (int bits = 1; bits <= 4; ++bits) {
    const std::string name = "tq" + std::to_string(bits);
    for (const RotationKind kind : {RotationKind::kHadamard, RotationKind::kHaar}) {
      constexpr int kSeeds = 12, kVectors = 12;
      double mean[3] = {};
      for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto code = MakeVectorCode(name, 128, {.rotation = {.kind = kind, .seed = seed}});
        for (size_t i = 0; i < kVectors; ++i) {
          std::vector<float> one_hot(128), signs(128, 0.7f);
          one_hot[(10 * i + seed) % 128] = -3;
          for (size_t j = 0; j < 128; ++j) signs[j] *= (j >> (i % 7) & 1) != 0 ? 1.0f : -1.0f;
          mean[0] += Distortion(*code, one_hot) / (kSeeds * kVectors);
          mean[1] += Distortion(*code, signs) / (kSeeds * kVectors);
          mean[2] += Distortion(*code, Gaussian(1, 128, 12 * seed + i)) / (kSeeds * kVectors);
        }
      }
      for (const double d : mean) {
        EXPECT_NEAR(d, table[bits - 1], 0.04 * table[bits - 1]) << bits << ' ' << NameOf(kind);
        EXPECT_LT(d, 2.7207 * std::pow(4, -bits));
      }
    }
    std::vector<float> one_hot(128);
    one_hot[5] = 1;
    const auto plain = MakeVectorCode(name, 128, {.rotation = {.kind = RotationKind::kNone}});
    EXPECT_GT(Distortion(*plain, one_hot), 4 * table[bits - 1]) << "without a rotation";
  }
}

// E_Pi <u, u~> = E ||u~||^2 = 1 - D, and the error is orthogonal to u~ on average.
TEST(TurboQuant, ShrinksByOneMinusItsDistortion) {
  const double table[4] = {.360889, .116000, .033966, .009315};
  for (int bits = 1; bits <= 4; ++bits) {
    const auto code = MakeVectorCode("tq" + std::to_string(bits), 128);
    const auto debiased = MakeVectorCode("tq" + std::to_string(bits) + "-debiased", 128);
    constexpr int64_t kN = 2000;
    std::vector<float> x = Gaussian(kN, 128, 3), y(x.size()), z(x.size());
    code->Decode(Encoded(*code, x).data(), kN, y.data());
    debiased->Decode(Encoded(*debiased, x).data(), kN, z.data());
    double dot = 0, square = 0, unbiased = 0;
    for (size_t i = 0; i < x.size(); i += 128) {
      const double norm = Dot(&x[i], &x[i], 128);
      dot += Dot(&x[i], &y[i], 128) / norm / kN;
      square += Dot(&y[i], &y[i], 128) / norm / kN;
      unbiased += Dot(&x[i], &z[i], 128) / norm / kN;
    }
    EXPECT_NEAR(dot, 1 - table[bits - 1], 0.006) << bits;
    EXPECT_NEAR(square, 1 - table[bits - 1], 0.006) << bits;
    EXPECT_NEAR(unbiased, 1, 0.006) << bits;
  }
}

// Claim 2: prod is unbiased over sketches, with the variance of its theorem,
// (pi/2 ||q||^2 gamma^2 - <q, r>^2) / d.
TEST(TurboQuant, ProdIsUnbiasedWithTheStatedVariance) {
  constexpr int64_t kD = 64, kVectors = 12;
  constexpr int kSeeds = 120;
  const std::vector<float> x = Gaussian(kVectors, kD, 5);
  std::vector<float> q = Gaussian(1, kD, 6);
  for (int64_t j = 0; j < kD; ++j) q[static_cast<size_t>(j)] += 0.4f * x[static_cast<size_t>(j)];
  for (const std::string name : {"qjl", "tq1-prod", "tq2-prod", "tq3-prod"}) {
    double mean = 0, square = 0;  // of errors over their standard deviation
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const auto code = MakeVectorCode(name, kD, {.rotation = {.seed = seed}});
      const std::vector<uint8_t> codes = Encoded(*code, x);
      std::vector<float> estimate(kVectors), r = x;
      code->Prepare(q.data()).InnerProducts(codes.data(), kVectors, estimate.data());
      const auto* prod = dynamic_cast<const ProdCode*>(code.get());
      for (int64_t i = 0; i < kVectors; ++i) {
        const float* row = &x[static_cast<size_t>(i * kD)];
        std::vector<float> residual(row, row + kD), coarse(kD);
        if (prod != nullptr && prod->mse() != nullptr)
          prod->mse()->Decode(codes.data() + i * code->bytes(), 1, coarse.data());
        for (size_t j = 0; j < coarse.size(); ++j) residual[j] -= coarse[j];
        const double qr = Dot(q.data(), residual.data(), kD);
        const double variance =
            (M_PI / 2 * Dot(q.data(), q.data(), kD) * Dot(residual.data(), residual.data(), kD) - qr * qr) /
            kD;
        const double z = (estimate[static_cast<size_t>(i)] - Dot(q.data(), row, kD)) / std::sqrt(variance);
        mean += z / (kSeeds * kVectors);
        square += z * z / (kSeeds * kVectors);
      }
    }
    EXPECT_NEAR(mean, 0, 4 / std::sqrt(kSeeds * kVectors)) << name;
    EXPECT_NEAR(square, 1, 0.15) << name;
  }
}

// All of the grid's vectors for tiny cases.
TEST(RaBitQ, FindsTheLargestCosineOfAll) {
  for (const auto& [d, bits] : {std::pair<int, int>{6, 1}, {5, 2}, {4, 3}, {3, 4}}) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const std::vector<float> y = Gaussian(1, d, seed);
      std::vector<uint8_t> codes(static_cast<size_t>(d));
      LargestCosineCodes(y.data(), d, bits, codes.data());
      const double middle = ((1 << bits) - 1) / 2.0;
      const auto cosine = [&](const std::vector<uint8_t>& c) {
        double dot = 0, square = 0;
        for (int j = 0; j < d; ++j) {
          const double v = c[static_cast<size_t>(j)] - middle;
          dot += v * y[static_cast<size_t>(j)], square += v * v;
        }
        return dot / std::sqrt(square);
      };
      double best = -1;
      for (int all = 0; all < 1 << (bits * d); ++all) {
        std::vector<uint8_t> c(static_cast<size_t>(d));
        for (int j = 0; j < d; ++j)
          c[static_cast<size_t>(j)] = static_cast<uint8_t>(all >> (bits * j) & ((1 << bits) - 1));
        best = std::max(best, cosine(c));
      }
      EXPECT_NEAR(cosine(codes), best, 1e-6) << d << ' ' << bits;
    }
  }
}

// RaBitQ, the rescaled and the trellis codes: x^ - x is orthogonal to x for every vector.
TEST(VectorCode, UnbiasedCodesErrAcrossTheVector) {
  for (const char* name : {"rabitq1", "rabitq2", "rabitq4", "rabitq8", "trellis1", "trellis2", "trellis3",
                           "trellis4", "tq2-rescaled"}) {
    const auto code = MakeVectorCode(name, 96);
    std::vector<float> x = Gaussian(4, 96, 8), y(x.size());
    code->Decode(Encoded(*code, x).data(), 4, y.data());
    for (size_t i = 0; i < x.size(); i += 96)
      EXPECT_NEAR(Dot(&x[i], &y[i], 96) / Dot(&x[i], &x[i], 96), 1, 2e-3) << name;
  }
}

// The order of the methods at equal bytes: the trellis is closest, by the margin its tables promise.
TEST(TrellisCode, IsCloserThanRaBitQAtEqualBytes) {
  constexpr int64_t kN = 200, kD = 128;
  const std::vector<float> x = Gaussian(kN, kD, 9);
  for (int bits = 1; bits <= 4; ++bits) {
    double error[2] = {};
    for (const int which : {0, 1}) {
      const auto code = MakeVectorCode((which == 0 ? "rabitq" : "trellis") + std::to_string(bits), kD);
      std::vector<float> y(x.size());
      code->Decode(Encoded(*code, x).data(), kN, y.data());
      for (size_t i = 0; i < x.size(); ++i) error[which] += (x[i] - y[i]) * (x[i] - y[i]);
    }
    EXPECT_LT(error[1], 0.8 * error[0]) << bits;
    // 1 / cos^2 - 1 with cos^2 = 1 - D
    const double d = TrellisGrid(bits).distortion;
    EXPECT_NEAR(error[1] / (kN * kD), d / (1 - d), 0.05 * d) << bits;
  }
}

TEST(VectorCode, EveryTargetAndThreadCountGivesTheSameBytes) {
  const Target before = CurrentTarget();
  const std::vector<float> x = Gaussian(150, 96, 10);
  for (const char* name : {"tq4", "tq2-prod", "tq2.5", "rabitq3", "trellis2", "qjl"}) {
    const auto code = Trained(name, 96);
    std::vector<uint8_t> first;
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        std::vector<uint8_t> codes(static_cast<size_t>(150 * code->bytes()));
        code->Encode({x.data(), 150, 96}, codes.data(), pool);
        if (first.empty()) first = codes;
        ASSERT_EQ(codes, first) << name << ' ' << NameOf(target) << ' ' << threads;
      }
    }
  }
  SetTarget(before);
}

TEST(VectorCode, ScalesWithTheVectorAndKeepsZero) {
  for (const std::string& name : VectorCodeNames()) {
    const auto code = Trained(name, 64);
    const std::vector<float> x = Gaussian(1, 64, 11);
    std::vector<float> scaled = x, zero(64), y(64), z(64);
    for (float& v : scaled) v *= 16;
    code->Decode(Encoded(*code, x).data(), 1, y.data());
    code->Decode(Encoded(*code, scaled).data(), 1, z.data());
    for (size_t j = 0; j < 64; ++j) ASSERT_NEAR(z[j], 16 * y[j], 1e-5 + 1e-3 * std::abs(z[j])) << name;
    code->Decode(Encoded(*code, zero).data(), 1, y.data());
    for (const float v : y) ASSERT_EQ(v, 0) << name;
  }
}

TEST(VectorCode, CentredCodesTakeTheMeanOff) {
  constexpr int64_t kN = 64, kD = 64;
  std::vector<float> x = Gaussian(kN, kD, 12), q = Gaussian(1, kD, 13);
  for (float& v : x) v += 5;
  ThreadPool pool(1);
  const auto plain = MakeVectorCode("rabitq4", kD), centred = MakeVectorCode("rabitq4", kD, {.center = true});
  centred->Train({x.data(), kN, kD}, pool);
  double error[2] = {}, distance_error = 0;
  for (const int which : {0, 1}) {
    const VectorCode& code = which == 0 ? *plain : *centred;
    const std::vector<uint8_t> codes = Encoded(code, x);
    std::vector<float> products(kN), distances(kN);
    code.Prepare(q.data()).InnerProducts(codes.data(), kN, products.data());
    code.Prepare(q.data()).SquaredDistances(codes.data(), kN, distances.data());
    for (int64_t i = 0; i < kN; ++i) {
      const float* row = &x[static_cast<size_t>(i * kD)];
      const double exact = Dot(q.data(), row, kD);
      error[which] += std::pow(products[static_cast<size_t>(i)] - exact, 2);
      const double distance = Dot(q.data(), q.data(), kD) + Dot(row, row, kD) - 2 * exact;
      if (which == 1)
        distance_error = std::max(distance_error, std::abs(distances[static_cast<size_t>(i)] / distance - 1));
    }
  }
  EXPECT_LT(error[1], error[0] / 4);
  EXPECT_LT(distance_error, 0.02);
  const auto other = MakeVectorCode("rabitq4", kD, {.center = true});
  other->SetParameters(centred->Parameters());
  EXPECT_EQ(Encoded(*other, x), Encoded(*centred, x));
}

TEST(OutlierSplit, ChoosesTheLoudDimensions) {
  ThreadPool pool(1);
  std::vector<float> x = Gaussian(200, 128, 14);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= i % 128 % 4 == 1 ? 10.0f : 1.0f;
  const auto split = MakeVectorCode("tq2.5", 128);
  EXPECT_THROW(Encoded(*split, x), Error) << "before training";
  split->Train({x.data(), 200, 128}, pool);
  const std::vector<float> chosen = split->Parameters();
  ASSERT_EQ(chosen.size(), 32u);
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(chosen[i], 4.0f * static_cast<float>(i) + 1);
  // Far closer than 3 plain bits.
  std::vector<float> y(x.size()), z(x.size());
  split->Decode(Encoded(*split, x).data(), 200, y.data());
  const auto three = MakeVectorCode("tq3", 128);
  three->Decode(Encoded(*three, x).data(), 200, z.data());
  double a = 0, b = 0;
  for (size_t i = 0; i < x.size(); ++i)
    a += (x[i] - y[i]) * (x[i] - y[i]), b += (x[i] - z[i]) * (x[i] - z[i]);
  EXPECT_LT(a, 1.1 * b);
  EXPECT_THROW(split->SetParameters(std::vector<float>{3, 2}), Error);
  EXPECT_THROW(split->SetParameters(std::vector<float>{1, 500}), Error);
}

TEST(VectorCode, RefusesBadVectorsAndNames) {
  const auto code = MakeVectorCode("trellis2", 32);
  std::vector<float> x(64, 1.0f);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e6f}) {
    x[40] = bad;
    try {
      Encoded(*code, x);
      FAIL() << bad;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("row 1"), std::string::npos) << error.what();
    }
  }
  x[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(code->Prepare(&x[32]), Error);
  for (const char* name :
       {"", "tq", "tq5", "tq0", "tq4-", "tq4-fast", "rabitq9", "trellis5", "trellis22", "pq"})
    EXPECT_THROW(MakeVectorCode(name, 32), UsageError) << name;
  EXPECT_THROW(MakeVectorCode("tq4", 0), UsageError);
  for (const std::string& name : VectorCodeNames()) EXPECT_EQ(MakeVectorCode(name, 32)->name(), name);
}

// A unit vector of one or two dimensions has no law of its own: codes still work.
TEST(VectorCode, SmallDimensionsWork) {
  for (const int64_t d : {1, 2, 3}) {
    for (const char* name : {"tq4", "rabitq4", "trellis4", "tq2-prod", "qjl"}) {
      const auto code = MakeVectorCode(name, d);
      const std::vector<float> x = Gaussian(3, d, 15);
      std::vector<float> y(x.size());
      code->Decode(Encoded(*code, x).data(), 3, y.data());
      for (const float v : y) EXPECT_TRUE(std::isfinite(v));
    }
  }
}

}  // namespace
}  // namespace lowbit
