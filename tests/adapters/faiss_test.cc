// The adapter as a FAISS program sees it: through faiss::Index, beside FAISS's own indexes.
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/IDSelector.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "adapters/faiss/faiss_index.h"
#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

constexpr int kDim = 24;

std::vector<float> Points(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n * kDim));
  Random random(seed);
  for (float& v : x) v = random.Normal();
  return x;
}

struct Found {
  std::vector<float> distances;
  std::vector<int64_t> labels;
};

Found Search(const faiss::Index& index, const std::vector<float>& queries, int64_t k,
             const faiss::SearchParameters* parameters = nullptr) {
  const int64_t n = static_cast<int64_t>(queries.size()) / kDim;
  Found found{std::vector<float>(static_cast<size_t>(n * k)),
              std::vector<int64_t>(static_cast<size_t>(n * k))};
  index.search(n, queries.data(), k, found.distances.data(), found.labels.data(), parameters);
  return found;
}

TEST(FaissAdapter, AFlatIndexIsFaissOwn) {
  const std::vector<float> x = Points(500, 1), queries = Points(20, 2);
  for (const auto metric : {faiss::METRIC_L2, faiss::METRIC_INNER_PRODUCT}) {
    faiss::IndexFlat theirs(kDim, metric);
    FaissIndex flat(kDim, "Flat", metric);
    faiss::Index& ours = flat;
    EXPECT_FALSE(ours.is_trained);
    ours.train(500, x.data());
    EXPECT_TRUE(ours.is_trained);
    EXPECT_EQ(ours.ntotal, 0);
    for (faiss::Index* index : {static_cast<faiss::Index*>(&theirs), &ours}) {
      index->add(300, x.data());
      index->add(200, x.data() + 300 * kDim);
      EXPECT_EQ(index->ntotal, 500);
    }
    const Found expected = Search(theirs, queries, 10), found = Search(ours, queries, 10);
    EXPECT_EQ(found.labels, expected.labels);
    for (size_t i = 0; i < found.distances.size(); ++i)
      EXPECT_NEAR(found.distances[i], expected.distances[i], 1e-4);
    // More than there are: padded as FAISS pads.
    const Found all = Search(ours, queries, 600);
    EXPECT_EQ(all.labels[500], -1);
    EXPECT_EQ(std::set<int64_t>(all.labels.begin(), all.labels.begin() + 500).size(), 500u);

    const float radius = metric == faiss::METRIC_L2 ? 30.0f : 4.0f;
    faiss::RangeSearchResult theirs_within(20), ours_within(20);
    theirs.range_search(20, queries.data(), radius, &theirs_within);
    ours.range_search(20, queries.data(), radius, &ours_within);
    for (size_t q = 0; q <= 20; ++q) ASSERT_EQ(ours_within.lims[q], theirs_within.lims[q]);
    ASSERT_GT(ours_within.lims[20], 20u);
    for (size_t q = 0; q < 20; ++q) {
      const auto labels = [&](const faiss::RangeSearchResult& r) {
        return std::set<int64_t>(r.labels + r.lims[q], r.labels + r.lims[q + 1]);
      };
      EXPECT_EQ(labels(ours_within), labels(theirs_within));
    }
    std::vector<float> one(kDim);
    ours.reconstruct(321, one.data());
    EXPECT_TRUE(std::equal(one.begin(), one.end(), x.begin() + 321 * kDim));
  }
}

TEST(FaissAdapter, ListsAndCodesFindTheNearest) {
  const std::vector<float> x = Points(2000, 3), queries(x.begin(), x.begin() + 50 * kDim);
  FaissIndex index(kDim, "IVF16,Trellis4");
  index.add(2000, x.data());  // trains too
  index.nprobe = 16;
  const Found found = Search(index, queries, 1);
  for (size_t q = 0; q < 50; ++q) EXPECT_EQ(found.labels[q], static_cast<int64_t>(q));
  // A search's own nprobe: one list holds only some.
  faiss::SearchParametersIVF narrow;
  narrow.nprobe = 1;
  const Found few = Search(index, queries, 1000, &narrow);
  EXPECT_EQ(few.labels[999], -1);
  EXPECT_NE(Search(index, queries, 1000).labels[999], -1);
}

TEST(FaissAdapter, IdsAreSelectedAndRemoved) {
  const std::vector<float> x = Points(100, 4);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 100; ++i) ids.push_back(1000000000000 + 7 * i);
  FaissIndex index(kDim, "F16");
  index.add_with_ids(100, x.data(), ids.data());
  EXPECT_EQ(Search(index, x, 1).labels, ids);
  EXPECT_THROW(index.add_with_ids(1, x.data(), ids.data()), Error);

  faiss::IDSelectorBatch some(10, ids.data() + 20);
  faiss::SearchParameters only;
  only.sel = &some;
  for (const int64_t label : Search(index, x, 10, &only).labels)
    EXPECT_TRUE(std::find(ids.begin() + 20, ids.begin() + 30, label) != ids.begin() + 30) << label;

  EXPECT_EQ(index.remove_ids(some), 10u);
  EXPECT_EQ(index.ntotal, 90);
  for (const int64_t label : Search(index, x, 90).labels) EXPECT_FALSE(some.is_member(label));
  index.reset();
  EXPECT_EQ(index.ntotal, 0);
  EXPECT_TRUE(index.is_trained);
  EXPECT_EQ(Search(index, x, 3).labels[0], -1);
  index.add(5, x.data());
  EXPECT_EQ(Search(index, x, 1).labels[4], 4);
}

TEST(FaissAdapter, VectorsAreAddedAfterSomeWereRemoved) {
  const std::vector<float> x = Points(60, 6);
  FaissIndex index(kDim, "Flat");
  index.add(40, x.data());
  faiss::IDSelectorRange middle(10, 20);
  EXPECT_EQ(index.remove_ids(middle), 10u);
  index.add(20, x.data() + 40 * kDim);
  EXPECT_EQ(index.ntotal, 50);
  const Found found = Search(index, x, 1);
  for (int64_t i = 0; i < 60; ++i) {
    if (i < 10 || i >= 20) {
      EXPECT_EQ(found.labels[static_cast<size_t>(i)], i);
    }
  }
}

TEST(FaissAdapter, ANamedFileIsKeptAndOpenedAgain) {
  const ScratchFolder folder;
  const std::vector<float> x = Points(200, 5);
  std::vector<int64_t> labels;
  {
    FaissIndex index(kDim, "RaBitQ4", faiss::METRIC_L2, folder / "a.index");
    index.add(200, x.data());
    labels = Search(index, x, 5).labels;
  }
  const FaissIndex again(kDim, "RaBitQ4", faiss::METRIC_L2, folder / "a.index");
  EXPECT_EQ(again.ntotal, 200);
  EXPECT_EQ(Search(again, x, 5).labels, labels);
  EXPECT_THROW(FaissIndex(kDim, "SQ8", faiss::METRIC_L2, folder / "a.index"), Error);
  EXPECT_THROW(FaissIndex(kDim + 1, "RaBitQ4", faiss::METRIC_L2, folder / "a.index"), Error);
  std::filesystem::path temporary;
  {
    FaissIndex index(kDim, "Flat");
    index.add(200, x.data());
    EXPECT_TRUE(std::filesystem::exists(temporary = index.path()));
  }
  EXPECT_FALSE(std::filesystem::exists(temporary));
}

TEST(FaissAdapter, WrongRequestsAreRefused) {
  EXPECT_THROW(FaissIndex(kDim, "IVF4,Treliss4"), UsageError);
  EXPECT_THROW(FaissIndex(0, "Flat"), Error);
  EXPECT_THROW(FaissIndex(kDim, "Flat", faiss::METRIC_L1), Error);
  const FaissIndex untrained(kDim, "Flat");
  EXPECT_THROW(untrained.index(), Error);
  float one[kDim];
  EXPECT_THROW(untrained.reconstruct(0, one), Error);
}

}  // namespace
}  // namespace lowbit
