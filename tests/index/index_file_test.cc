// What a file survives: truncation, damage, interrupted and killed writers.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "tests/index/vectors.h"

namespace lowbit {
namespace {

class IndexFileTest : public testing::Test {
 protected:
  std::filesystem::path Path(const char* name = "i") const { return folder_ / name; }
  void Build(const std::string& spec, const VectorSet& set, const BuildOptions& options = {}) {
    BuildIndex(Path(), spec, Metric::kL2, set.source(), options, pool_);
  }
  static std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }
  // Opens bytes, looks at everything and searches.
  static Neighbors Exercise(const std::string& text, const VectorSet& queries, ThreadPool& pool) {
    const VectorIndex index(Bytes(text), "bytes");
    index.Verify();
    return index.Search(queries.view(), {.k = 5, .nprobe = 3}, pool);
  }

  ScratchFolder folder_;
  ThreadPool pool_{1};
};

TEST_F(IndexFileTest, TablesComeBack) {
  IndexTable table;
  table.spec = "IVF4,TQ4";
  table.metric = Metric::kCosine;
  table.dim = 12;
  table.seed = 77;
  table.shard = 2, table.shards = 5;
  table.next_id = int64_t{1} << 40;
  table.live = 7;
  table.centroids = {{64, 128}, 99};
  table.segments.push_back({.rows = 8,
                            .first_id = 3,
                            .id_bytes = 4,
                            .directory = {{192, 32}, 5},
                            .ids = {256, 32},
                            .codes = {320, 64},
                            .fine = {384, 0}});
  table.removals.push_back({{448, 8}, 6});
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    for (const bool axial : {true, false}) {
      table.metric = metric;
      table.axial = axial && metric != Metric::kL2;
      EXPECT_EQ(ParseIndexTable(Bytes(Serialize(table)), 4096, "t"), table);
    }
  }
  const std::string text = Serialize(table);
  for (const uint32_t metric : {3u, 6u}) {
    std::string other = text;
    std::memcpy(other.data() + sizeof(uint32_t) + table.spec.size(), &metric, sizeof metric);
    EXPECT_NE(MessageOf([&] {
                ParseIndexTable(Bytes(other), 4096, "t");
              }).find(metric == 3 ? "build the index again" : "metric 6 is not known"),
              std::string::npos);
  }
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_THROW(ParseIndexTable(Bytes(text).first(size), 4096, "t"), Error) << size;
  EXPECT_NE(MessageOf([&] { ParseIndexTable(Bytes(text), 450, "t"); }).find("t: a section of 8 bytes"),
            std::string::npos);
}

TEST_F(IndexFileTest, EveryTruncationIsAnError) {
  const VectorSet base(40, 8, 1);
  Build("IVF3,TQ2,Refine(SQ8)", base);
  const std::string whole = FileText(Path());
  const VectorIndex index(Path());
  std::set<uint64_t> cuts = {0, 1, 8, 64, 4095, 4096, 8191, 8192, whole.size() - 1};
  for (const SegmentTable& s : index.file().table().segments) {
    for (const Extent& e : {s.directory.extent, s.ids, s.codes, s.fine})
      cuts.insert({e.offset, e.offset + e.bytes, e.offset + e.bytes / 2});
  }
  for (const uint64_t cut : cuts) {
    ASSERT_LT(cut, whole.size());
    WriteBytes(Path("cut"), Bytes(whole).first(cut));
    const std::string message = MessageOf([&] { VectorIndex(Path("cut")); });
    EXPECT_NE(message.find("cut: "), std::string::npos) << cut << ": " << message;
    EXPECT_NE(MessageOf([&] { IndexWriter(Path("cut")); }), "no error") << cut;
  }
}

TEST_F(IndexFileTest, EveryDamagedByteIsSeenOrHarmless) {
  const VectorSet base(40, 8, 2), queries(3, 8, 3);
  Build("IVF3,RaBitQ2,Refine(SQ8)", base);
  {
    IndexWriter writer(Path());
    writer.Remove(std::vector<int64_t>{3, 9});
  }
  const std::string whole = FileText(Path());
  const Neighbors right = Exercise(whole, queries, pool_);
  int harmless = 0, seen = 0;
  for (size_t at = 0; at < whole.size(); at += at < kHeaderBytes ? 7 : 1) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    try {
      const Neighbors found = Exercise(damaged, queries, pool_);
      EXPECT_EQ(found.ids, right.ids) << at;
      EXPECT_EQ(found.scores, right.scores) << at;
      ++harmless;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("bytes: "), std::string::npos) << error.what();
      ++seen;
    }
  }
  // Harmless are the header's copies, gaps and the table of the first state.
  EXPECT_GT(seen, static_cast<int>(VectorIndex(Path()).model().row_bytes().fine) * 40);
  EXPECT_LT(harmless, 8192 / 7 + 1000);
}

TEST_F(IndexFileTest, ADamagedHeaderCopyIsRemarked) {
  Build("TQ2", VectorSet(20, 8, 4));
  std::string text = FileText(Path());
  EXPECT_TRUE(VectorIndex(Bytes(text), "t").Verify().empty());
  text[20] ^= 1;
  const std::vector<std::string> remarks = VectorIndex(Bytes(text), "t").Verify();
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_NE(remarks[0].find("1 of 4"), std::string::npos);
  for (const size_t at : {2068u, 4116u, 6164u}) text[at] ^= 1;
  EXPECT_NE(MessageOf([&] { VectorIndex(Bytes(text), "t"); }).find("no copy of its header"),
            std::string::npos);
}

TEST_F(IndexFileTest, AnInterruptedAddOpensAtTheStateBefore) {
  const VectorSet base(30, 8, 5), more(20, 8, 6);
  Build("TQ4", base);
  const std::string before = FileText(Path());
  {
    IndexWriter writer(Path());
    writer.Add(more.source(), {}, {}, pool_);
  }
  const std::string after = FileText(Path());
  ASSERT_GT(after.size(), before.size());
  // The sections are on the disk, wholly or in part, the header is not.
  for (const size_t size : {before.size() + 1, (before.size() + after.size()) / 2, after.size()}) {
    const std::string interrupted =
        before.substr(0, kHeaderBytes) + after.substr(kHeaderBytes, size - kHeaderBytes);
    WriteBytes(Path("x"), Bytes(interrupted));
    EXPECT_EQ(VectorIndex(Path("x")).size(), 30);
    IndexWriter writer(Path("x"));  // and goes on from there
    writer.Add(more.source(), {}, {}, pool_);
    EXPECT_EQ(FileText(Path("x")), after) << "what the interrupted writer left is gone";
  }
  // A slot written in part, first copy or second: the state before or after, never neither.
  for (const size_t torn : {4096u, 4096u + 2048u}) {
    for (const size_t bytes : {1u, 20u, 63u}) {
      std::string text = before.substr(0, kHeaderBytes) + after.substr(kHeaderBytes);
      for (size_t at = 4096; at < torn; ++at) text[at] = after[at];
      for (size_t at = torn; at < torn + bytes; ++at) text[at] = after[at];
      const VectorIndex index(Bytes(text), "t");
      EXPECT_EQ(index.size(), torn == 4096 ? 30 : 50);
      index.Verify();
    }
  }
}

TEST_F(IndexFileTest, AKilledWriterLosesNothingCommitted) {
  const VectorSet base(30, 8, 7), more(5, 8, 8);
  Build("IVF2,TQ4", base);
  Random random(9);
  int64_t least = 30;
  for (int round = 0; round < 4; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      ThreadPool pool(1);
      IndexWriter writer(Path());
      for (;;) {
        writer.Add(more.source(), {}, {}, pool);
        if (write(pipes[1], "+", 1) != 1) _exit(1);  // committed
      }
    }
    char byte;
    ASSERT_EQ(read(pipes[0], &byte, 1), 1);
    usleep(static_cast<useconds_t>(random.Below(60000)));
    kill(child, SIGKILL);
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    close(pipes[1]);
    int64_t told = 1;
    while (read(pipes[0], &byte, 1) == 1) ++told;
    close(pipes[0]);
    const VectorIndex index(Path());
    index.Verify();
    EXPECT_GE(index.size(), least + 5 * told) << "all that were told committed";
    EXPECT_LE(index.size(), least + 5 * (told + 1));
    EXPECT_EQ(index.size() % 5, 0) << "whole calls only";
    least = index.size();
  }
  IndexWriter writer(Path());  // the lock went with its holder
  writer.Add(more.source(), {}, {}, pool_);
  EXPECT_EQ(VectorIndex(Path()).size(), least + 5);
}

TEST_F(IndexFileTest, ASecondWriterIsRefused) {
  const VectorSet base(30, 8, 10);
  Build("TQ4", base);
  {
    const IndexWriter writer(Path());
    EXPECT_NE(MessageOf([&] { const IndexWriter second(Path()); }).find("another program is writing"),
              std::string::npos);
    EXPECT_NE(MessageOf([&] { Build("TQ4", base); }).find("another program is writing"), std::string::npos);
    EXPECT_EQ(VectorIndex(Path()).size(), 30) << "readers are welcome";
  }
  const IndexWriter writer(Path());
}

TEST_F(IndexFileTest, ReadersKeepTheirState) {
  const VectorSet base(30, 8, 11), more(20, 8, 12);
  Build("IVF2,Flat", base);
  const VectorIndex old(Path());
  IndexWriter writer(Path());
  writer.Remove(std::vector<int64_t>{0, 1, 2});
  writer.Add(more.source(), {}, {}, pool_);
  const VectorIndex changed(Path());
  writer.Compact();
  EXPECT_EQ(old.size(), 30);
  EXPECT_EQ(old.Search({base.row(1), 1, 8}, {.k = 1, .nprobe = 2}, pool_).ids[0], 1);
  old.Verify();
  EXPECT_EQ(changed.size(), 47);
  EXPECT_NE(changed.Search({base.row(1), 1, 8}, {.k = 1, .nprobe = 2}, pool_).ids[0], 1);
  changed.Verify();
  EXPECT_EQ(VectorIndex(Path()).size(), 47);
}

TEST_F(IndexFileTest, ManyReadBesideOneWriter) {
  const VectorSet base(200, 8, 13), more(10, 8, 14);
  Build("IVF4,TQ4,Refine(SQ8)", base);
  const VectorIndex shared(Path());  // first touched by several threads at once
  const auto search = [&](const VectorIndex& index) {
    ThreadPool pool(1);
    return index.Search(more.view(), {.k = 10, .nprobe = 2}, pool);
  };
  const Neighbors expected = search(VectorIndex(Path()));
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0}, rounds{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      int64_t size = 0;
      do {
        wrong += search(shared).ids != expected.ids;
        const VectorIndex now(Path());  // whatever was committed last
        now.Verify();
        wrong += now.size() < size || now.size() % 10 != 0;
        size = now.size();
        ++rounds;
      } while (!done);
    });
  }
  IndexWriter writer(Path());
  for (int i = 0; i < 8; ++i) {
    if (i == 4) writer.Compact();
    writer.Add(more.source(), {}, {}, pool_);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0) << "of " << rounds << " rounds";
  EXPECT_EQ(VectorIndex(Path()).size(), 280);
}

// Everything that is read or computed when it is first needed is first needed by several threads at once,
// which share one pool besides.
TEST_F(IndexFileTest, ManyThreadsSearchOneIndex) {
  const VectorSet base(600, 16, 15), queries(20, 16, 16);
  ThreadPool pool(2);
  for (const char* spec : {"IVF8,Trellis2,Refine(SQ8)", "TQ4-rescaled", "IVF4,PQ4x4", "Flat"}) {
    Build(spec, base);
    const auto search = [&](const VectorIndex& index) {
      return index.Search(queries.view(), {.k = 10, .nprobe = 3}, pool);
    };
    const Neighbors expected = search(VectorIndex(Path()));
    const VectorIndex shared(Path());
    std::atomic<int> wrong{0};
    std::vector<std::thread> readers;
    for (int t = 0; t < 4; ++t) {
      readers.emplace_back([&, t] {
        if (t == 3) shared.Verify();
        for (int round = 0; round < 5; ++round) {
          const Neighbors found = search(shared);
          wrong += found.ids != expected.ids || found.scores != expected.scores;
          wrong += shared.RangeSearch(queries.view(), 1e9f, {.nprobe = 8}, pool).ids.size() != 20u * 600;
          wrong += shared.Reconstruct(100 * t).size() != 16;
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(wrong, 0) << spec;
  }
}

TEST_F(IndexFileTest, OtherFilesAreNoIndexes) {
  EXPECT_NE(MessageOf([&] { VectorIndex(Path("none")); }).find("none: cannot open"), std::string::npos);
  for (const size_t size : {0u, 100u, 10000u}) {
    WriteBytes(Path("x"), Bytes(std::string(size, 'x')));
    EXPECT_NE(MessageOf([&] { VectorIndex(Path("x")); }).find("is no lowbit index"), std::string::npos);
  }
}

}  // namespace
}  // namespace lowbit
