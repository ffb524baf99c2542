// The optimisers beside plain loops over doubles.
#include "lab/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lab/train/schedule.h"
#include "lowbit/base/error.h"

namespace lowbit::lab {
namespace {

using Rows = std::vector<std::vector<double>>;

Rows ToRows(const torch::Tensor& matrix) {
  Rows rows;
  for (int64_t i = 0; i < matrix.size(0); ++i) {
    rows.emplace_back();
    for (int64_t j = 0; j < matrix.size(1); ++j) rows.back().push_back(matrix[i][j].item<double>());
  }
  return rows;
}

double Difference(const Rows& expected, const torch::Tensor& matrix) {
  const Rows rows = ToRows(matrix);
  double worst = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows[i].size(); ++j)
      worst = std::max(worst, std::abs(rows[i][j] - expected[i][j]));
  }
  return worst;
}

Rows Product(const Rows& a, const Rows& b) {
  Rows c(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t k = 0; k < b.size(); ++k) {
      for (size_t j = 0; j < b[0].size(); ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  return c;
}

Rows Transposed(const Rows& a) {
  Rows t(a[0].size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[0].size(); ++j) t[j][i] = a[i][j];
  }
  return t;
}

// Five steps of X <- a X + b A X + c A A X with A = X X^T, from X / |X|.
Rows NewtonSchulz(Rows x) {
  double norm = 0;
  for (const auto& row : x) {
    for (const double v : row) norm += v * v;
  }
  for (auto& row : x) {
    for (double& v : row) v /= std::sqrt(norm) + 1e-7;
  }
  for (int step = 0; step < 5; ++step) {
    const Rows ax = Product(Product(x, Transposed(x)), x), aax = Product(Product(x, Transposed(x)), ax);
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t j = 0; j < x[0].size(); ++j)
        x[i][j] = 3.4445 * x[i][j] - 4.7750 * ax[i][j] + 2.0315 * aax[i][j];
    }
  }
  return x;
}

torch::Tensor RandomMatrix(int64_t rows, int64_t cols, uint64_t seed) {
  torch::manual_seed(seed);
  return torch::randn({rows, cols}, torch::kFloat64);
}

Parameter Trained(const torch::Tensor& start, Rule rule, double rate = 1, double decay = 0) {
  return {"w", start.clone().set_requires_grad(true), rule, rate, decay};
}

// The factor that brings the gradient to the norm 0.5.
double ClipFactor(const torch::Tensor& gradient) {
  return std::min(1.0, 0.5 / gradient.norm().item<double>());
}

TEST(Optimizer, AdamWIsItsEquations) {
  const torch::Tensor start = RandomMatrix(3, 4, 1);
  Parameter parameter = Trained(start, Rule::kAdamW, 0.7, 0.1);
  OptimizerOptions options;
  options.clip = 0.5;
  Optimizer optimizer({parameter}, options);
  Rows w = ToRows(start), m(3, std::vector<double>(4)), v = m;
  for (int t = 1; t <= 6; ++t) {
    const torch::Tensor gradient = RandomMatrix(3, 4, 10 + static_cast<uint64_t>(t)) * (t % 2 ? 1 : 0.01);
    parameter.tensor.mutable_grad() = gradient.clone();
    const double rate = 0.01 * t, norm = optimizer.Step(rate);
    EXPECT_NEAR(norm, gradient.norm().item<double>(), 1e-12);
    EXPECT_FALSE(parameter.tensor.grad().defined());
    const Rows g = ToRows(gradient * ClipFactor(gradient));
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 4; ++j) {
        m[i][j] = 0.9 * m[i][j] + 0.1 * g[i][j];
        v[i][j] = 0.95 * v[i][j] + 0.05 * g[i][j] * g[i][j];
        const double mhat = m[i][j] / (1 - std::pow(0.9, t)), vhat = v[i][j] / (1 - std::pow(0.95, t));
        w[i][j] -= 0.7 * rate * (mhat / (std::sqrt(vhat) + 1e-8) + 0.1 * w[i][j]);
      }
    }
    EXPECT_LT(Difference(w, parameter.tensor), 1e-12) << "step " << t;
  }
}

TEST(Optimizer, MuonIsItsEquations) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{3, 5}, {5, 3}, {4, 4}}) {
    const torch::Tensor start = RandomMatrix(rows, cols, 1);
    Parameter parameter = Trained(start, Rule::kMuon, 1, 0.1);
    OptimizerOptions options;
    options.clip = 0.5;
    Optimizer optimizer({parameter}, options);
    Rows w = ToRows(start), m(w.size(), std::vector<double>(w[0].size()));
    for (int t = 1; t <= 4; ++t) {
      const torch::Tensor gradient = RandomMatrix(rows, cols, 20 + static_cast<uint64_t>(t));
      parameter.tensor.mutable_grad() = gradient.clone();
      const double rate = 0.02 * t;
      optimizer.Step(rate);
      Rows u = ToRows(gradient * ClipFactor(gradient));
      for (size_t i = 0; i < w.size(); ++i) {
        for (size_t j = 0; j < w[0].size(); ++j) {
          m[i][j] = 0.95 * m[i][j] + u[i][j];
          u[i][j] += 0.95 * m[i][j];  // Nesterov
        }
      }
      const Rows o = NewtonSchulz(u);
      const double factor = 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols)));
      for (size_t i = 0; i < w.size(); ++i) {
        for (size_t j = 0; j < w[0].size(); ++j) w[i][j] -= rate * (factor * o[i][j] + 0.1 * w[i][j]);
      }
      EXPECT_LT(Difference(w, parameter.tensor), 1e-10) << rows << " x " << cols << ", step " << t;
    }
  }
}

TEST(Orthogonalized, HasTheSingularVectorsOfItsInputAndValuesNearOne) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{8, 8}, {6, 20}, {20, 6}}) {
    const torch::Tensor matrix = RandomMatrix(rows, cols, 2);
    const torch::Tensor x = Orthogonalized(matrix);
    const auto [u, s, vt] = torch::linalg_svd(matrix, false);
    const torch::Tensor inside = torch::mm(torch::mm(u.t(), x), vt.t());  // diagonal: the new singular values
    const torch::Tensor values = inside.diag();
    EXPECT_LT((inside - torch::diag(values)).abs().max().item<double>(), 1e-9);
    // Values of the input below about 1 % of its norm are still on their way.
    const torch::Tensor large = s / s.norm() > 0.02;
    EXPECT_GT(values.masked_select(large).min().item<double>(), 0.6);
    EXPECT_LT(values.max().item<double>(), 1.25);
    EXPECT_LT((Orthogonalized(1000 * matrix) - x).abs().max().item<double>(), 1e-5);
  }
}

TEST(Optimizer, AMuonStepIsAsLargeAsAnAdamWStep) {
  const torch::Tensor start = torch::zeros({32, 16}, torch::kFloat64);
  Parameter parameter = Trained(start, Rule::kMuon);
  Optimizer optimizer({parameter}, {});
  parameter.tensor.mutable_grad() = RandomMatrix(32, 16, 3);
  optimizer.Step(1);
  EXPECT_NEAR(parameter.tensor.square().mean().sqrt().item<double>(), 0.2, 0.05);
}

TEST(Optimizer, ClippingIsOverAllGradientsTogether) {
  Parameter a = Trained(torch::zeros({2}, torch::kFloat64), Rule::kAdamW), b = a;
  a.name = "a", b.name = "b";
  b.tensor = torch::zeros({1}, torch::kFloat64).set_requires_grad(true);
  OptimizerOptions options;
  options.clip = 1, options.eps = 1;  // steps that tell the size of the gradient
  Optimizer optimizer({a, b}, options);
  a.tensor.mutable_grad() = torch::tensor({3.0, 0.0}, torch::kFloat64);
  b.tensor.mutable_grad() = torch::tensor({4.0}, torch::kFloat64);
  EXPECT_NEAR(optimizer.Step(1), 5, 1e-12);
  EXPECT_NEAR(a.tensor[0].item<double>(), -0.6 / 1.6, 1e-12);
  EXPECT_NEAR(b.tensor[0].item<double>(), -0.8 / 1.8, 1e-12);
}

TEST(Optimizer, AGradientThatIsNotFiniteIsNamedAndChangesNothing) {
  Parameter good = Trained(torch::ones({2, 2}, torch::kFloat64), Rule::kAdamW, 1, 0.1), bad = good;
  bad.name = "model.layers.0.mlp.up_proj.weight";
  bad.tensor = torch::ones({2, 2}, torch::kFloat64).set_requires_grad(true);
  Optimizer optimizer({good, bad}, {});
  good.tensor.mutable_grad() = torch::ones({2, 2}, torch::kFloat64);
  bad.tensor.mutable_grad() = torch::full({2, 2}, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
  try {
    optimizer.Step(1);
    FAIL() << "a NaN was taken for a gradient";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(bad.name), std::string::npos) << error.what();
  }
  EXPECT_TRUE(good.tensor.equal(torch::ones({2, 2}, torch::kFloat64)));
}

TEST(Optimizer, ItsStateGoesOnWhereItStopped) {
  for (const Rule rule : {Rule::kAdamW, Rule::kMuon}) {
    const auto run = [&](bool interrupted) {
      Parameter parameter = Trained(RandomMatrix(4, 3, 1), rule, 1, 0.01);
      auto optimizer = std::make_unique<Optimizer>(std::vector{parameter}, OptimizerOptions());
      for (int t = 0; t < 6; ++t) {
        if (interrupted && t == 3) {
          const auto state = optimizer->State();
          optimizer = std::make_unique<Optimizer>(std::vector{parameter}, OptimizerOptions());
          optimizer->SetState(state);
        }
        parameter.tensor.mutable_grad() = RandomMatrix(4, 3, 30 + static_cast<uint64_t>(t));
        optimizer->Step(0.1);
      }
      return parameter.tensor.detach();
    };
    EXPECT_TRUE(run(false).equal(run(true)));
  }
}

TEST(Optimizer, RefusesAForeignState) {
  Optimizer optimizer({Trained(RandomMatrix(4, 3, 1), Rule::kAdamW)}, {});
  auto state = optimizer.State();
  state.erase("w.v");
  EXPECT_THROW(optimizer.SetState(state), Error);
  state = optimizer.State();
  state["w.m"] = torch::zeros({3, 4});
  EXPECT_THROW(optimizer.SetState(state), Error);
  EXPECT_THROW(Optimizer({{"vector", torch::zeros({3}), Rule::kMuon, 1, 0}}, {}), Error);
}

TEST(Schedule, RisesHoldsAndFalls) {
  for (const char* shape : {"cosine", "linear"}) {
    const Schedule schedule{
        .peak = 2, .warmup = 0.1, .hold = 0.5, .floor = 0.25, .shape = ShapeFromName(shape)};
    EXPECT_DOUBLE_EQ(schedule(0), 0);
    EXPECT_DOUBLE_EQ(schedule(0.05), 1);
    for (const double p : {0.1, 0.3, 0.5}) EXPECT_DOUBLE_EQ(schedule(p), 2) << p;
    EXPECT_DOUBLE_EQ(schedule(0.75), 1.25);  // half way of both shapes
    EXPECT_DOUBLE_EQ(schedule(1), 0.5);
    EXPECT_DOUBLE_EQ(schedule(2), 0.5);
    for (double p = 0.5; p < 0.99; p += 0.01) EXPECT_GE(schedule(p), schedule(p + 0.01)) << p;
  }
  const Schedule constant{.peak = 2, .shape = ShapeFromName("constant")};
  EXPECT_DOUBLE_EQ(constant(0.9), 2);
  EXPECT_THROW(ShapeFromName("cosin"), UsageError);
}

}  // namespace
}  // namespace lowbit::lab
