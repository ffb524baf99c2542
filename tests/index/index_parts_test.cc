#include "lowbit/index/index_parts.h"

#include "tests/index/vectors.h"

namespace lowbit {
namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kInnerProduct, Metric::kCosine};

class IndexPartsTest : public testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) const { return folder_ / name; }
  // Rows first ... first + n - 1 of `set` under their own numbers.
  void Build(const std::string& name, const std::string& spec, Metric metric, const VectorSet& set,
             int64_t first, int64_t n, const VectorIndex* like = nullptr) {
    BuildIndex(Path(name), spec, metric, MatrixSource({set.row(first), n, set.d}),
               {.first_id = first, .like = like}, pool_);
  }
  // Three parts of `base` like an index of all, and that of which they merge to.
  IndexParts Parts(const std::string& spec, Metric metric, const VectorSet& base) {
    Build("model", spec, metric, base, 0, base.n);
    const VectorIndex model(Path("model"));
    Build("a", "", metric, base, 0, 100, &model);
    Build("b", "", metric, base, 100, 7, &model);
    Build("c", "", metric, base, 107, base.n - 107, &model);
    Build("merged", "", metric, base, 0, 100, &model);
    IndexWriter writer(Path("merged"));
    writer.Merge(VectorIndex(Path("b")));
    writer.Merge(VectorIndex(Path("c")));
    return IndexParts::Open({Path("c"), Path("a"), Path("b")});
  }

  ScratchFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(IndexPartsTest, AreSearchedAsTheMergedIndex) {
  const VectorSet base(300, 24, 1), queries(9, 24, 2);
  std::vector<int64_t> thirds;
  for (int64_t id = 0; id < 300; id += 3) thirds.push_back(id);
  const IdSet filter(thirds, IdSet::Meaning::kOnly);
  for (const Metric metric : kMetrics) {
    for (const char* spec : {"Flat", "Trellis2", "RaBitQ1", "IVF6,TQ4", "IVF6,PQ4x4"}) {
      SCOPED_TRACE(std::string(spec) + ' ' + std::string(NameOf(metric)));
      const IndexParts parts = Parts(spec, metric, base);
      const VectorIndex merged(Path("merged"));
      ASSERT_EQ(parts.size(), merged.size());
      // Fewer than a part holds, more, and all.
      for (const int64_t k : {5, 40, 300}) {
        for (const IdFilter* only : std::initializer_list<const IdFilter*>{nullptr, &filter}) {
          const SearchOptions options{.k = k, .nprobe = 3, .filter = only};
          const Neighbors a = parts.Search(queries.view(), options, pool_),
                          b = merged.Search(queries.view(), options, pool_);
          EXPECT_EQ(a.k, b.k);
          EXPECT_EQ(a.ids, b.ids) << k;
          EXPECT_EQ(a.scores, b.scores) << k;
          EXPECT_EQ(a.pairs, b.pairs) << k;
        }
      }
      const float radius = merged.Search(queries.view(), {.k = 50, .nprobe = 3}, pool_).scores[30];
      const RangeNeighbors a = parts.RangeSearch(queries.view(), radius, {.nprobe = 3}, pool_),
                           b = merged.RangeSearch(queries.view(), radius, {.nprobe = 3}, pool_);
      EXPECT_GE(a.ids.size(), 31u);
      EXPECT_EQ(a.first, b.first);
      EXPECT_EQ(a.ids, b.ids);
      EXPECT_EQ(a.scores, b.scores);
    }
  }
}

TEST_F(IndexPartsTest, RefinementIsNoWorseThanOfTheMergedIndex) {
  const VectorSet base(300, 16, 3), queries(20, 16, 4);
  const IndexParts parts = Parts("IVF4,TQ1,Refine(SQ8)", Metric::kL2, base);
  const VectorIndex merged(Path("merged"));
  const SearchOptions options{.k = 10, .nprobe = 4, .refine = 2};
  const Neighbors a = parts.Search(queries.view(), options, pool_),
                  b = merged.Search(queries.view(), options, pool_);
  int nearer = 0;
  for (size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_LE(a.scores[i], b.scores[i]);
    nearer += a.scores[i] < b.scores[i];
  }
  EXPECT_GT(nearer, 0);
}

TEST_F(IndexPartsTest, EqualDistancesGoByTheId) {
  VectorSet base(40, 8, 5);
  for (int64_t i = 0; i < 40; ++i) std::copy(base.row(0), base.row(0) + 8, base.x.begin() + 8 * i);
  std::vector<int64_t> even, odd;
  for (int64_t i = 0; i < 20; ++i) even.push_back(2 * i), odd.push_back(2 * i + 1);
  BuildIndex(Path("even"), "Flat", Metric::kL2, MatrixSource({base.row(0), 20, 8}), {.ids = even}, pool_);
  BuildIndex(Path("odd"), "Flat", Metric::kL2, MatrixSource({base.row(20), 20, 8}), {.ids = odd}, pool_);
  const IndexParts parts = IndexParts::Open({Path("odd"), Path("even")});
  EXPECT_EQ(parts.Search({base.row(3), 1, 8}, {.k = 5}, pool_).ids, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

// Specs may differ, and parts may be empty; vectors that are kept whole give exact neighbours all the same.
TEST_F(IndexPartsTest, NeedNotBeAlike) {
  const VectorSet base(200, 16, 6), queries(5, 16, 7);
  Build("a", "Flat", Metric::kCosine, base, 0, 80);
  Build("b", "IVF4,TQ2,Refine(Flat)", Metric::kCosine, base, 80, 120);
  Build("none", "SQ4", Metric::kCosine, base, 0, 1);
  IndexWriter(Path("none")).Remove(std::vector<int64_t>{0});
  const IndexParts parts = IndexParts::Open({Path("none"), Path("a"), Path("b")});
  EXPECT_EQ(parts.size(), 200);
  const Neighbors found = parts.Search(queries.view(), {.k = 10, .nprobe = 4, .refine = 12}, pool_);
  for (int64_t q = 0; q < queries.n; ++q) {
    std::vector<int64_t> order = PlainOrder(Metric::kCosine, queries.row(q), base);
    order.resize(10);
    EXPECT_EQ(std::vector<int64_t>(found.ids.begin() + 10 * q, found.ids.begin() + 10 * q + 10), order);
  }
  const IndexParts empty = IndexParts::Open({Path("none"), Path("none")});
  EXPECT_NE(MessageOf([&] { empty.Search(queries.view(), {.k = 1}, pool_); }).find("the index is empty"),
            std::string::npos);
}

TEST_F(IndexPartsTest, ThatDoNotFitAreNamed) {
  const VectorSet base(60, 16, 8), narrow(60, 15, 9);
  Build("a", "Flat", Metric::kL2, base, 0, 30);
  Build("b", "Flat", Metric::kL2, base, 30, 30);
  Build("cosine", "Flat", Metric::kCosine, base, 30, 30);
  Build("narrow", "Flat", Metric::kL2, narrow, 30, 30);
  const auto opening = [&](const std::string& a, const std::string& b) {
    return MessageOf([&] { IndexParts::Open({Path(a), Path(b)}); });
  };
  EXPECT_EQ(opening("a", "b"), "no error");
  EXPECT_NE(opening("a", "cosine").find("cosine is cosine, 16: only equal ones"), std::string::npos);
  EXPECT_NE(opening("a", "narrow").find("narrow is l2, 15: only equal ones"), std::string::npos);
  const IndexParts parts = IndexParts::Open({Path("a"), Path("b")});
  EXPECT_NE(MessageOf([&] { parts.Search(base.view(), {.k = 61}, pool_); }).find("holds 60 vectors"),
            std::string::npos);
  EXPECT_NE(MessageOf([&] { parts.Search(base.view(), {.k = 0}, pool_); }).find("k = 0"), std::string::npos);
  EXPECT_NE(MessageOf([&] { parts.Search(narrow.view(), {.k = 1}, pool_); }).find("15 dimensions"),
            std::string::npos);
}

// Ids may lie between those of another part, but none may be in both; one that was removed is not there.
TEST_F(IndexPartsTest, ShareNoIds) {
  const VectorSet base(30, 8, 10);
  BuildIndex(Path("a"), "IVF3,Flat", Metric::kL2, base.source(), {}, pool_);
  const auto opening = [&](std::vector<int64_t> ids) {
    BuildIndex(Path("b"), "IVF2,Flat", Metric::kL2, MatrixSource({base.row(0), 3, 8}), {.ids = ids}, pool_);
    return MessageOf([&] { IndexParts::Open({Path("b"), Path("a")}); });
  };
  EXPECT_EQ(opening({30, 31, 32}), "no error");
  EXPECT_NE(opening({77, 29, 1000}).find("id 29 is both in"), std::string::npos);
  IndexWriter(Path("a")).Remove(std::vector<int64_t>{29, 4});
  EXPECT_EQ(opening({77, 29, 1000}), "no error");
  EXPECT_EQ(opening({4, 29, 1000}), "no error");
  EXPECT_NE(opening({4, 29, 5}).find("id 5 is both in"), std::string::npos);
}

}  // namespace
}  // namespace lowbit
