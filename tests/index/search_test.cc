#include <set>

#include "tests/index/vectors.h"

namespace lowbit {
namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kInnerProduct, Metric::kCosine};

class IndexSearchTest : public testing::Test {
 protected:
  VectorIndex Build(const std::string& spec, Metric metric, const VectorSet& set,
                    const BuildOptions& options = {}) {
    const auto path = folder_ / ("i" + std::to_string(made_++));
    BuildIndex(path, spec, metric, set.source(), options, pool_);
    return VectorIndex(path);
  }

  ScratchFolder folder_;
  ThreadPool pool_{2};
  int made_ = 0;
};

// Of unit vectors the largest cosines and products are those of the least distances: as many are found, with
// lists and without, also for queries of other lengths. The layout of earlier files is searched, takes two
// bytes less and finds less.
TEST_F(IndexSearchTest, ProductsFindWhatDistancesFind) {
  const VectorSet queries(500, 64, 6);
  VectorSet base(1500, 64, 5);
  Normalize({base.x.data(), base.n, base.d}, 0, "vector");
  VectorSet units = queries;
  Normalize({units.x.data(), units.n, units.d}, 0, "query");
  VectorSet scaled = units;
  for (int64_t i = 0; i < scaled.n; ++i) {
    for (int64_t j = 0; j < scaled.d; ++j)
      scaled.x[static_cast<size_t>(i * scaled.d + j)] *= static_cast<float>(i % 3 == 0 ? 0.01 : i);
  }
  constexpr int64_t kNearest = 10;
  std::vector<std::vector<int64_t>> orders;
  for (int64_t q = 0; q < units.n; ++q) {
    orders.push_back(PlainOrder(Metric::kCosine, units.row(q), base));
    orders.back().resize(kNearest);
  }
  const auto recall = [&](const VectorIndex& index) {
    const VectorSet& asked = index.metric() == Metric::kL2 ? units : scaled;
    const Neighbors found = index.Search(asked.view(), {.k = kNearest, .nprobe = 4}, pool_);
    int64_t hits = 0;
    for (int64_t q = 0; q < units.n; ++q) {
      const auto* first = found.ids.data() + q * kNearest;
      for (const int64_t id : orders[static_cast<size_t>(q)]) hits += std::count(first, first + kNearest, id);
    }
    return static_cast<double>(hits) / static_cast<double>(units.n * kNearest);
  };
  for (const std::string spec : {"Trellis1", "IVF4,Trellis2", "TQ2-debiased", "IVF4,RaBitQ1", "TQ2.5-prod"}) {
    SCOPED_TRACE(spec);
    const double distances = recall(Build(spec, Metric::kL2, base));
    for (const Metric metric : {Metric::kInnerProduct, Metric::kCosine}) {
      const VectorIndex axial = Build(spec, metric, base);
      EXPECT_GT(recall(axial), distances - 0.015) << NameOf(metric);

      BuildOptions options;
      options.training.axial = false;
      const VectorIndex without = Build(spec, metric, base, options);
      EXPECT_EQ(without.model().row_bytes().codes + 2, axial.model().row_bytes().codes);
      EXPECT_LT(recall(without), recall(axial)) << NameOf(metric);
    }
  }
}

TEST_F(IndexSearchTest, FlatIsBruteForce) {
  const VectorSet base(300, 20, 1), queries(9, 20, 2);
  for (const Metric metric : kMetrics) {
    const VectorIndex index = Build("Flat", metric, base);
    const Neighbors found = index.Search(queries.view(), {.k = 12}, pool_);
    for (int64_t q = 0; q < queries.n; ++q) {
      const std::vector<int64_t> order = PlainOrder(metric, queries.row(q), base);
      for (int64_t i = 0; i < 12; ++i) {
        const auto at = static_cast<size_t>(q * 12 + i);
        EXPECT_EQ(found.ids[at], order[static_cast<size_t>(i)]) << NameOf(metric);
        const double score = PlainScore(metric, queries.row(q), base.row(found.ids[at]), base.d);
        EXPECT_NEAR(found.scores[at], score, 1e-5 * (1 + std::abs(score))) << NameOf(metric);
      }
    }
  }
}

// Every codec's scores are those of the vectors it gives back, up to the query's rounding to bytes. Distances
// of rotated codes take the residual's own length, which is kept beside the code, for the decoded one's;
// products and cosines what it has along its centroid.
TEST_F(IndexSearchTest, ScoresAreThoseOfTheDecodedVectors) {
  const VectorSet base(260, 32, 3), queries(3, 32, 4);
  for (const std::string codec :
       {"Flat", "F16", "SQ8", "SQ5", "PQ8x8", "PQ5x4", "RQ2x8", "TQ1", "TQ2.5", "TQ4", "TQ3-debiased",
        "TQ4-rescaled", "TQ2-prod", "QJL", "RaBitQ1", "RaBitQ4", "RaBitQ8", "Trellis2", "Trellis4"}) {
    for (const Metric metric : kMetrics) {
      const std::string spec = (metric == Metric::kInnerProduct ? "" : "IVF4,") + codec;
      SCOPED_TRACE(spec + " " + std::string(NameOf(metric)));
      const VectorIndex index = Build(spec, metric, base);
      const bool rotated = index.model().codec().of_residuals();
      const Neighbors found = index.Search(queries.view(), {.k = 8, .nprobe = 4}, pool_);
      for (size_t at = 0; at < found.ids.size(); ++at) {
        std::vector<float> q(queries.row(static_cast<int64_t>(at) / 8),
                             queries.row(static_cast<int64_t>(at) / 8) + 32);
        std::vector<float> x = index.Reconstruct(found.ids[at]),
                           own(base.row(found.ids[at]), base.row(found.ids[at]) + 32);
        if (metric == Metric::kCosine) {
          Normalize({q.data(), 1, 32}, 0, "query");
          Normalize({own.data(), 1, 32}, 0, "vector");
        }
        double product = Product(q.data(), x.data(), 32);
        double expected = metric == Metric::kL2 ? PlainScore(metric, q.data(), x.data(), 32) : product;
        double tolerance = 1e-5 * (1 + std::abs(expected));
        if (rotated) {
          const uint64_t place = index.Locate(std::span(&found.ids[at], 1))[0];
          const Segment& segment = index.segments()[place >> 32];
          const float* c = index.model().centroids().Row(
              segment.ListAt(segment.EntryOf(static_cast<int64_t>(place & 0xffffffff))));
          const double cc = Product(c, c, 32), qc = Product(q.data(), c, 32);
          const double share = metric == Metric::kL2 ? 1 : qc / cc;
          for (size_t j = 0; j < 32; ++j) {
            x[j] -= c[j], own[j] -= c[j];
            q[j] -= static_cast<float>(share * c[j]);
          }
          const double qq = Product(q.data(), q.data(), 32), xx = Product(own.data(), own.data(), 32);
          product = Product(q.data(), x.data(), 32);
          expected = metric == Metric::kL2 ? qq + xx - 2 * product
                                           : qc + qc * Product(own.data(), c, 32) / cc + product;
          // The query's bytes are off by 1/254 of its largest entry at most, and the norm is an f16.
          tolerance = 0.02 * std::sqrt(qq * Product(x.data(), x.data(), 32)) + 0.001 * xx;
        }
        EXPECT_NEAR(found.scores[at], expected, tolerance);
      }
    }
  }
}

TEST_F(IndexSearchTest, FinerCodesFindMore) {
  const VectorSet base(600, 32, 5), queries(30, 32, 6);
  const auto recall = [&](const std::string& spec) {
    const VectorIndex index = Build(spec, Metric::kL2, base);
    const Neighbors found = index.Search(queries.view(), {.k = 10, .nprobe = 4}, pool_);
    int hits = 0;
    for (int64_t q = 0; q < queries.n; ++q) {
      const std::vector<int64_t> order = PlainOrder(Metric::kL2, queries.row(q), base);
      const std::set<int64_t> nearest(order.begin(), order.begin() + 10);
      for (int64_t i = 0; i < 10; ++i) hits += nearest.count(found.ids[static_cast<size_t>(10 * q + i)]) > 0;
    }
    return hits / 300.0;
  };
  const double two = recall("IVF4,TQ2"), four = recall("IVF4,TQ4"), refined = recall("IVF4,TQ2,Refine(F16)");
  EXPECT_GT(two, 0.5);
  EXPECT_GT(four, two);
  EXPECT_GT(four, 0.8);
  EXPECT_GT(refined, 0.97);
}

// All lists visited is the whole index; codes that do not depend on lists then give the flat index's results.
TEST_F(IndexSearchTest, AllListsAreTheFlatIndex) {
  const VectorSet base(400, 24, 7), queries(11, 24, 8);
  for (const Metric metric : kMetrics) {
    for (const char* codec : {"Flat", "F16", "SQ6", "PQ6x4"}) {
      const Neighbors flat = Build(codec, metric, base).Search(queries.view(), {.k = 15}, pool_);
      const VectorIndex lists = Build(std::string("IVF8,") + codec, metric, base);
      const Neighbors all = lists.Search(queries.view(), {.k = 15, .nprobe = 8}, pool_);
      EXPECT_EQ(all.ids, flat.ids) << codec << ' ' << NameOf(metric);
      EXPECT_EQ(all.scores, flat.scores) << codec << ' ' << NameOf(metric);
      // Few lists find no better ones, and mostly the best.
      const Neighbors few = lists.Search(queries.view(), {.k = 15, .nprobe = 2}, pool_);
      int same = 0;
      for (size_t i = 0; i < few.ids.size(); ++i) {
        if (few.ids[i] < 0) continue;
        const float a = few.scores[i], b = all.scores[i];
        EXPECT_TRUE(metric == Metric::kL2 ? a >= b : a <= b);
        same += few.ids[i] == all.ids[i];
      }
      EXPECT_GT(same, static_cast<int>(few.ids.size()) / 4);
    }
  }
}

TEST_F(IndexSearchTest, EqualDistancesGoByTheId) {
  VectorSet base(40, 8, 9);
  for (int64_t i = 0; i < 40; ++i) std::copy(base.row(0), base.row(0) + 8, base.x.begin() + 8 * i);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 40; ++i) ids.push_back((i * 7) % 40 * 1000003);
  const VectorIndex index = Build("TQ4", Metric::kL2, base, {.ids = ids});
  std::sort(ids.begin(), ids.end());
  ids.resize(5);
  EXPECT_EQ(index.Search({base.row(3), 1, 8}, {.k = 5}, pool_).ids, ids);
}

TEST_F(IndexSearchTest, FilterLimitsWhatIsFound) {
  const VectorSet base(200, 16, 10), queries(5, 16, 11);
  const VectorIndex index = Build("IVF4,TQ4,Refine(Flat)", Metric::kL2, base);
  std::vector<int64_t> even;
  for (int64_t i = 0; i < 200; i += 2) even.push_back(i);
  for (const auto meaning : {IdSet::Meaning::kOnly, IdSet::Meaning::kAllBut}) {
    const IdSet filter(even, meaning);
    const Neighbors found =
        index.Search(queries.view(), {.k = 10, .nprobe = 4, .refine = 20, .filter = &filter}, pool_);
    for (int64_t q = 0; q < queries.n; ++q) {
      std::vector<int64_t> expected;
      for (const int64_t id : PlainOrder(Metric::kL2, queries.row(q), base)) {
        if (filter.Admits(id) && expected.size() < 10) expected.push_back(id);
      }
      EXPECT_EQ(std::vector<int64_t>(found.ids.begin() + 10 * q, found.ids.begin() + 10 * q + 10), expected);
    }
  }
  const IdSet one({7}, IdSet::Meaning::kOnly);
  const Neighbors found = index.Search(queries.view(), {.k = 3, .nprobe = 4, .filter = &one}, pool_);
  EXPECT_EQ(std::vector<int64_t>(found.ids.begin(), found.ids.begin() + 3),
            (std::vector<int64_t>{7, -1, -1}));
  EXPECT_EQ(found.scores[1], INFINITY);
}

TEST_F(IndexSearchTest, RangeIsAllWithinTheRadius) {
  const VectorSet base(300, 12, 12), queries(6, 12, 13);
  for (const Metric metric : kMetrics) {
    for (const char* spec : {"Flat", "IVF5,Flat", "IVF5,SQ8,Refine(Flat)"}) {
      const VectorIndex index = Build(spec, metric, base);
      // About a tenth of the vectors.
      const int64_t middle = PlainOrder(metric, queries.row(0), base)[30];
      const auto radius = static_cast<float>(PlainScore(metric, queries.row(0), base.row(middle), base.d));
      const RangeNeighbors found = index.RangeSearch(queries.view(), radius, {.nprobe = 5}, pool_);
      ASSERT_EQ(found.first.size(), 7u);
      for (int64_t q = 0; q < queries.n; ++q) {
        const auto begin = found.first[static_cast<size_t>(q)], end = found.first[static_cast<size_t>(q) + 1];
        const std::vector<int64_t> order = PlainOrder(metric, queries.row(q), base);
        int64_t within = 0;
        for (int64_t i = 0; i < base.n; ++i) {
          const double s = PlainScore(metric, queries.row(q), base.row(i), base.d);
          within += metric == Metric::kL2 ? s <= radius : s >= radius;
        }
        EXPECT_NEAR(static_cast<double>(end - begin), static_cast<double>(within), 1) << spec;
        for (int64_t i = begin; i + 1 < end; ++i)
          EXPECT_EQ(found.ids[static_cast<size_t>(i)], order[static_cast<size_t>(i - begin)]) << spec;
      }
    }
  }
}

TEST_F(IndexSearchTest, ResultsDoNotDependOnThreads) {
  // Enough for every thread to have queries of its own, and for more than one share of a list.
  const VectorSet base(4500, 32, 14), queries(1000, 32, 15);
  for (const char* spec : {"TQ4", "TQ2.5-prod", "IVF16,Trellis2", "IVF16,PQ8x4,Refine(SQ8)", "Flat"}) {
    const VectorIndex index = Build(spec, Metric::kL2, base);
    std::vector<Neighbors> results;
    for (const int threads : {1, 2, 7}) {
      ThreadPool pool(threads);
      results.push_back(index.Search(queries.view(), {.k = 20, .nprobe = 5}, pool));
      // One query alone, whose lists are then shared out.
      const Neighbors one = index.Search({queries.row(2), 1, 32}, {.k = 20, .nprobe = 5}, pool);
      EXPECT_TRUE(std::equal(one.ids.begin(), one.ids.end(), results[0].ids.begin() + 40)) << spec;
      EXPECT_TRUE(std::equal(one.scores.begin(), one.scores.end(), results[0].scores.begin() + 40)) << spec;
    }
    for (const Neighbors& r : results) {
      EXPECT_EQ(r.ids, results[0].ids) << spec;
      EXPECT_EQ(r.scores, results[0].scores) << spec;
    }
  }
}

TEST_F(IndexSearchTest, ReconstructsByTheFinestCode) {
  const VectorSet base(100, 16, 16);
  const VectorIndex refined = Build("IVF2,TQ1,Refine(Flat)", Metric::kL2, base);
  EXPECT_EQ(refined.Reconstruct(42), std::vector<float>(base.row(42), base.row(43)));
  const VectorIndex coarse = Build("IVF2,TQ4", Metric::kL2, base);
  const std::vector<float> x = coarse.Reconstruct(42);
  const double error = PlainScore(Metric::kL2, x.data(), base.row(42), 16);
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.05 * 16);
  EXPECT_NE(MessageOf([&] { coarse.Reconstruct(100); }).find("no vector with id 100"), std::string::npos);
}

TEST_F(IndexSearchTest, WrongQueriesAreNamed) {
  const VectorSet base(50, 16, 17);
  VectorSet queries(3, 16, 18);
  const VectorIndex index = Build("TQ4", Metric::kCosine, base);
  const auto message = [&](MatrixView<const float> q, const SearchOptions& options) {
    return MessageOf([&] { index.Search(q, options, pool_); });
  };
  EXPECT_NE(message({queries.x.data(), 3, 15}, {}).find("15 dimensions"), std::string::npos);
  EXPECT_NE(message(queries.view(), {.k = 51}).find("holds 50 vectors"), std::string::npos);
  EXPECT_NE(message(queries.view(), {.k = 0}).find("k = 0"), std::string::npos);
  EXPECT_NE(message(queries.view(), {.nprobe = 0}).find("nprobe"), std::string::npos);
  queries.x[17] = NAN;
  EXPECT_NE(message(queries.view(), {}).find("query 1"), std::string::npos);
  std::fill(queries.x.begin(), queries.x.end(), 0.0f);
  EXPECT_NE(message(queries.view(), {}).find("query 0 is zero"), std::string::npos);
}

}  // namespace
}  // namespace lowbit
