#include "lowbit/index/index_writer.h"

#include <numeric>

#include "tests/index/vectors.h"

namespace lowbit {
namespace {

class IndexWriterTest : public testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name = "i") const { return folder_ / name; }
  void Build(const std::string& spec, const VectorSet& set, const BuildOptions& options = {},
             const std::string& name = "i", Metric metric = Metric::kL2) {
    BuildIndex(Path(name), spec, metric, set.source(), options, pool_);
  }
  // What a search of everything finds.
  Neighbors All(const VectorIndex& index, const VectorSet& queries) {
    return index.Search(queries.view(), {.k = index.size(), .nprobe = index.model().lists()}, pool_);
  }

  ScratchFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(IndexWriterTest, FilesDoNotDependOnThreads) {
  const VectorSet base(700, 32, 1), more(100, 32, 2);
  for (const char* spec : {"IVF8,TQ4,Refine(SQ8)", "PQ4x6", "IVF4,RaBitQ3"}) {
    std::string first;
    for (const int threads : {1, 2, 7}) {
      ThreadPool pool(threads);
      BuildIndex(Path(), spec, Metric::kL2, base.source(), {}, pool);
      IndexWriter writer(Path());
      writer.Add(more.source(), {}, {}, pool);
      const std::string text = FileText(Path());
      if (first.empty()) first = text;
      EXPECT_TRUE(text == first) << spec << " with " << threads << " threads";
    }
  }
}

TEST_F(IndexWriterTest, AddingIsBuilding) {
  const VectorSet base(200, 16, 3), queries(4, 16, 4);
  Build("IVF4,TQ4", base, {}, "whole");
  const VectorIndex whole(Path("whole"));
  const VectorSet parts = base;
  BuildIndex(Path(), "", Metric::kL2, MatrixSource({base.row(0), 50, 16}), {.like = &whole}, pool_);
  IndexWriter writer(Path());
  writer.Add(MatrixSource({base.row(50), 70, 16}), {}, {}, pool_);
  writer.Add(MatrixSource({base.row(120), 80, 16}), {}, {}, pool_);
  const Neighbors a = All(whole, queries), b = All(writer.index(), queries);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.scores, b.scores);
  writer.Compact();
  EXPECT_EQ(All(writer.index(), queries).scores, a.scores);
  EXPECT_EQ(writer.index().segments().size(), 1u);
  EXPECT_EQ(std::filesystem::file_size(Path()), std::filesystem::file_size(Path("whole")));
}

TEST_F(IndexWriterTest, RemovedVectorsAreNotFoundAndMayComeBack) {
  const VectorSet base(60, 8, 5);
  Build("IVF3,Flat", base);
  IndexWriter writer(Path());
  const std::vector<int64_t> gone = {7, 8, 30, 59};
  writer.Remove(gone);
  const auto nearest = [&](int64_t i) {
    return writer.index().Search({base.row(i), 1, 8}, {.k = 1, .nprobe = 3}, pool_).ids[0];
  };
  EXPECT_EQ(writer.index().size(), 56);
  for (const int64_t id : gone) {
    EXPECT_NE(nearest(id), id);
    EXPECT_NE(MessageOf([&] { writer.index().Reconstruct(id); }), "no error");
  }
  EXPECT_NE(MessageOf([&] { writer.Remove(gone); }).find("id 7 is not in the index"), std::string::npos);
  writer.Add(MatrixSource({base.row(30), 1, 8}), std::vector<int64_t>{30}, {}, pool_);
  EXPECT_EQ(nearest(30), 30);
  EXPECT_EQ(writer.index().size(), 57);
  const auto before = std::filesystem::file_size(Path());
  writer.Compact();
  EXPECT_LT(std::filesystem::file_size(Path()), before);
  EXPECT_EQ(writer.index().size(), 57);
  EXPECT_EQ(nearest(30), 30);
  EXPECT_NE(nearest(8), 8);
  EXPECT_EQ(writer.index().file().table().next_id, 60) << "ids are not given out twice";
  EXPECT_TRUE(writer.index().Verify().empty());

  std::vector<int64_t> rest;
  for (int64_t id = 0; id < 60; ++id) {
    if (id != 7 && id != 8 && id != 59) rest.push_back(id);
  }
  writer.Remove(rest);
  EXPECT_EQ(writer.index().size(), 0);
  EXPECT_NE(MessageOf([&] { nearest(1); }).find("the index is empty"), std::string::npos);
  writer.Compact();
  writer.Add(MatrixSource({base.row(0), 5, 8}), {}, {}, pool_);
  EXPECT_EQ(nearest(0), 60);
}

TEST_F(IndexWriterTest, IdsMayBeAnyNumbers) {
  const VectorSet base(50, 8, 6);
  std::vector<int64_t> ids(50);
  for (const int64_t step : {int64_t{1}, int64_t{3}, int64_t{1} << 20, int64_t{1} << 50}) {
    for (int64_t i = 0; i < 50; ++i) ids[static_cast<size_t>(i)] = (49 - i) * step + 5;
    Build("IVF2,Flat", base, {.ids = ids});
    const VectorIndex index(Path());
    for (int64_t i = 0; i < 50; ++i) {
      const int64_t found = index.Search({base.row(i), 1, 8}, {.k = 1, .nprobe = 2}, pool_).ids[0];
      EXPECT_EQ(found, ids[static_cast<size_t>(i)]);
      EXPECT_EQ(index.Reconstruct(found), std::vector<float>(base.row(i), base.row(i) + 8));
    }
  }
  // Ids that count from a number on cost nothing.
  Build("Flat", base, {.first_id = 1000}, "counted");
  EXPECT_EQ(VectorIndex(Path("counted")).file().table().segments[0].ids.bytes, 0u);
  EXPECT_EQ(VectorIndex(Path("counted")).Reconstruct(1049),
            std::vector<float>(base.row(49), base.row(49) + 8));
}

// What earlier versions wrote for products and cosines grows and is compacted as it is, and does not mix with
// what this one writes.
TEST_F(IndexWriterTest, CodesThatAreNotAxialStaySo) {
  const VectorSet base(80, 32, 11);
  BuildOptions options;
  options.training.axial = false;
  const MatrixSource half({base.row(0), 40, 32}), rest({base.row(40), 40, 32});
  BuildIndex(Path(), "IVF2,RaBitQ4", Metric::kCosine, half, options, pool_);
  BuildIndex(Path("now"), "IVF2,RaBitQ4", Metric::kCosine, half, {}, pool_);
  IndexWriter writer(Path());
  writer.Add(rest, {}, {}, pool_);
  writer.Compact();
  const VectorIndex index(Path());
  index.Verify();
  EXPECT_FALSE(index.file().table().axial);
  EXPECT_EQ(index.model().row_bytes().codes + 2, VectorIndex(Path("now")).model().row_bytes().codes);
  for (int64_t i = 0; i < base.n; ++i)
    EXPECT_EQ(index.Search({base.row(i), 1, 32}, {.k = 1, .nprobe = 2}, pool_).ids[0], i);
  EXPECT_NE(MessageOf([&] { writer.Merge(VectorIndex(Path("now"))); }).find("keeps no components along"),
            std::string::npos);
}

TEST_F(IndexWriterTest, WrongIdsAreRefused) {
  const VectorSet base(4, 8, 7);
  const auto building = [&](std::vector<int64_t> ids) {
    return MessageOf([&] { Build("Flat", base, {.ids = ids}, "wrong"); });
  };
  EXPECT_NE(building({1, 2, 1, 3}).find("id 1 is given to two"), std::string::npos);
  EXPECT_NE(building({1, -2, 4, 3}).find("id -2"), std::string::npos);
  EXPECT_NE(building({1, 2}).find("2 ids for 4 vectors"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(Path("wrong")));
  Build("Flat", base);
  IndexWriter writer(Path());
  EXPECT_NE(MessageOf([&] {
              writer.Add(base.source(), std::vector<int64_t>{8, 9, 3, 10}, {}, pool_);
            }).find("id 3 is in the index already"),
            std::string::npos);
  EXPECT_NE(MessageOf([&] { writer.Add(base.source(), {}, 2, pool_); }).find("id 2"), std::string::npos);
  EXPECT_EQ(writer.index().size(), 4);
}

TEST_F(IndexWriterTest, WrongVectorsAreNamedAndNothingIsWritten) {
  VectorSet base(40, 8, 8);
  const auto building = [&](const std::string& spec, Metric metric) {
    return MessageOf([&] { Build(spec, base, {}, "wrong", metric); });
  };
  EXPECT_NE(building("PQ9x4", Metric::kL2).find("9 parts of vectors with 8 dimensions"), std::string::npos);
  EXPECT_NE(building("PQ4x8", Metric::kL2).find("256 codewords"), std::string::npos);
  EXPECT_NE(building("IVF41,Flat", Metric::kL2).find("41 lists"), std::string::npos);
  base.x[3 * 8 + 5] = INFINITY;
  EXPECT_NE(building("TQ4", Metric::kL2).find("vector 3 is inf in dimension 5"), std::string::npos);
  std::fill(base.x.begin() + 24, base.x.begin() + 32, 0.0f);
  EXPECT_NE(building("TQ4", Metric::kCosine).find("vector 3 is zero"), std::string::npos);
  base.x[24] = 1e6f;
  EXPECT_NE(building("RaBitQ4", Metric::kL2).find("beyond 65504"), std::string::npos);
  EXPECT_NE(building("F16", Metric::kL2).find("row 3: entry 0"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(Path("wrong")));

  Build("Flat", base);
  const std::string before = FileText(Path());
  IndexWriter writer(Path());
  base.x[30 * 8] = NAN;
  EXPECT_NE(MessageOf([&] { writer.Add(base.source(), {}, {}, pool_); }).find("vector 30"),
            std::string::npos);
  const VectorSet wide(3, 9, 9);
  EXPECT_NE(MessageOf([&] { writer.Add(wide.source(), {}, {}, pool_); }).find("9 dimensions"),
            std::string::npos);
  EXPECT_EQ(FileText(Path()), before);
  writer.Add(MatrixSource({base.row(0), 2, 8}), {}, {}, pool_);  // and the writer goes on
  EXPECT_EQ(VectorIndex(Path()).size(), 42);
}

TEST_F(IndexWriterTest, PartsOfOneIndexMerge) {
  const VectorSet base(150, 16, 10), queries(5, 16, 11);
  Build("IVF4,Trellis2,Refine(SQ8)", base, {}, "whole");
  const VectorIndex whole(Path("whole"));
  for (int part = 0; part < 3; ++part) {
    const int64_t first = 50 * part;
    BuildIndex(Path("p" + std::to_string(part)), "", Metric::kL2, MatrixSource({base.row(first), 50, 16}),
               {.first_id = first, .like = &whole, .shard = static_cast<uint32_t>(part), .shards = 3}, pool_);
  }
  const VectorIndex one(Path("p1")), two(Path("p2"));
  EXPECT_EQ(one.file().table().shard, 1u);
  IndexWriter writer(Path("p0"));
  writer.Merge(one);
  writer.Merge(two);
  EXPECT_EQ(All(writer.index(), queries).ids, All(whole, queries).ids);
  EXPECT_EQ(All(writer.index(), queries).scores, All(whole, queries).scores);
  EXPECT_TRUE(writer.index().Verify().empty());

  EXPECT_NE(MessageOf([&] { writer.Merge(one); }).find("id 50 is both in"), std::string::npos);
  Build("IVF4,TQ2", base, {}, "other");
  EXPECT_NE(MessageOf([&] { writer.Merge(VectorIndex(Path("other"))); }).find("only equal ones"),
            std::string::npos);
  Build("IVF4,Trellis2,Refine(SQ8)", VectorSet(150, 16, 12), {.first_id = 1000}, "apart");
  EXPECT_NE(MessageOf([&] { writer.Merge(VectorIndex(Path("apart"))); }).find("--like"), std::string::npos);
}

}  // namespace
}  // namespace lowbit
