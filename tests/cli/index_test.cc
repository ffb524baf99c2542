// `lowbit index` as a user runs it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "lowbit/base/random.h"
#include "lowbit/io/npy.h"
#include "tests/cli/program.h"

namespace lowbit {
namespace {

using nlohmann::json;

class IndexCommand : public testing::Test {
 protected:
  IndexCommand() {
    WriteVectors("base.fvecs", 300, 16, 1);
    WriteVectors("query.fvecs", 10, 16, 2);
  }

  std::string At(const std::string& name) const { return "'" + (folder_ / name).string() + "'"; }
  // lowbit index with these arguments; {name} stands for a file of the folder.
  Outcome Index(std::string arguments) const {
    for (size_t at; (at = arguments.find('{')) != std::string::npos;) {
      const size_t end = arguments.find('}', at);
      arguments.replace(at, end - at + 1, At(arguments.substr(at + 1, end - at - 1)));
    }
    return RunProgram("index " + arguments);
  }
  json Json(const std::string& arguments) const {
    const Outcome outcome = Index(arguments + " --json");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return json::parse(outcome.output, nullptr, false);
  }
  void WriteVectors(const std::string& name, int32_t n, int32_t d, uint64_t seed) const {
    Random random(seed);
    std::string text;
    const auto put = [&](auto value) { text.append(reinterpret_cast<const char*>(&value), sizeof value); };
    for (int32_t i = 0; i < n; ++i) {
      put(d);
      for (int32_t j = 0; j < d; ++j) put(random.Normal());
    }
    WriteText(folder_ / name, text);
  }

  ScratchFolder folder_;
};

TEST_F(IndexCommand, AnIndexGoesThroughItsLife) {
  const Outcome outcome = Index("build -o {i} --base {base.fvecs} --spec 'IVF4,TQ4,Refine(F16)'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_TRUE(outcome.Says("300 vectors of 16 dimensions"));

  json found = Json("search {i} --queries {base.fvecs} -k 1 --nprobe 4");
  ASSERT_EQ(found["queries"].size(), 300u);
  for (size_t i = 0; i < 300; ++i) EXPECT_EQ(found["queries"][i]["ids"][0], i);

  WriteVectors("more.fvecs", 20, 16, 3);
  EXPECT_EQ(Json("add {i} --base {more.fvecs}")["vectors"], 320);
  EXPECT_EQ(Json("remove {i} --id 5 --id 310")["removed"], 2);
  WriteText(folder_ / "ids", "0\n1\n\n2\n");
  EXPECT_EQ(Json("remove {i} --ids {ids}")["vectors"], 315);
  json info = Json("info {i}");
  EXPECT_EQ(info["removed"], 5);
  EXPECT_EQ(info["spec"], "IVF4,TQ4,Refine(F16)");
  EXPECT_EQ(info["bytes"], std::filesystem::file_size(folder_ / "i"));
  uint64_t parts = 0;
  for (const auto& [name, bytes] : info["bytes_by_part"].items()) parts += bytes.get<uint64_t>();
  EXPECT_EQ(parts, info["bytes"]);
  EXPECT_NEAR(info["bits_per_dimension"], 8.0 * static_cast<double>(parts) / (315 * 16), 1e-9);
  EXPECT_EQ(Json("verify {i}")["sound"], true);
  EXPECT_GT(Json("compact {i}")["freed_bytes"], 5 * 40);
  info = Json("info {i}");
  EXPECT_EQ(info["removed"], 0);
  EXPECT_EQ(info["vectors"], 315);

  // A filter, and a radius.
  WriteText(folder_ / "few", "7\n8\n9\n");
  found = Json("search {i} --queries {query.fvecs} -k 5 --nprobe 4 --only {few}");
  for (const json& query : found["queries"]) EXPECT_EQ(query["ids"].size(), 3u);
  found = Json("search {i} --queries {query.fvecs} -k 300 --nprobe 4 --refine 2 --except {few}");
  for (const json& query : found["queries"]) {
    EXPECT_EQ(query["ids"].size(), 300u);
    EXPECT_EQ(std::count(query["ids"].begin(), query["ids"].end(), 8), 0);
  }
  found = Json("search {i} --queries {base.fvecs} --radius 1 --nprobe 4 --limit 4");
  EXPECT_EQ(found["queries"][0]["ids"].size(), 0u) << "it was removed";
  EXPECT_EQ(found["queries"][3]["ids"], json::array({3}));
}

TEST_F(IndexCommand, EvalComparesWithTheExactNeighbours) {
  ASSERT_EQ(Index("build -o {flat} --base {base.fvecs} --spec Flat --metric cosine").code, 0);
  json eval = Json("eval {flat} --queries {query.fvecs} --base {base.fvecs}");
  ASSERT_EQ(eval["sweep"].size(), 1u);
  for (const char* r : {"recall_1", "recall_10", "recall_100"}) EXPECT_EQ(eval["sweep"][0][r], 1.0);
  EXPECT_GT(eval["sweep"][0]["pairs_per_s"], 0);
  EXPECT_FALSE(eval["sweep"][0].contains("cycles_per_pair"));
  eval = Json("eval {flat} --queries {query.fvecs} --base {base.fvecs} -k 20 --limits");
  EXPECT_GT(eval["sweep"][0]["bandwidth_share"], 0);
  EXPECT_TRUE(eval["sweep"][0].contains("cycles_per_pair"));
  EXPECT_EQ(eval["k"], 20);
  EXPECT_EQ(eval["sweep"][0]["recall_10"], 1.0);
  EXPECT_FALSE(eval["sweep"][0].contains("recall_100")) << "twenty were asked for";
  EXPECT_EQ(Index("eval {flat} --queries {query.fvecs} --base {base.fvecs} -k 0").code, 2);
  // The truth as a file, as search writes it.
  ASSERT_EQ(Index("search {flat} --queries {query.fvecs} -k 10 -o {truth.ivecs}").code, 0);
  eval = Json("eval {flat} --queries {query.fvecs} --truth {truth.ivecs}");
  EXPECT_EQ(eval["sweep"][0]["recall_10"], 1.0);
  EXPECT_FALSE(eval["sweep"][0].contains("recall_100")) << "the truth has ten";

  ASSERT_EQ(Index("build -o {lists} --base {base.fvecs} --spec IVF16,TQ1 --metric cosine").code, 0);
  eval = Json("eval {lists} --queries {query.fvecs} --truth {truth.ivecs}");
  ASSERT_EQ(eval["sweep"].size(), 5u) << "1, 2, 4, 8, 16";
  EXPECT_LT(eval["sweep"][0]["recall_10"], eval["sweep"][4]["recall_10"]);
  EXPECT_LT(eval["sweep"][4]["recall_10"], 1.0);
  const Outcome outcome = Index("eval {lists} --queries {query.fvecs} --truth {truth.ivecs} --nprobe 3");
  EXPECT_TRUE(outcome.Says("recall@10") && outcome.Says("Mpairs/s") && outcome.Says("bits a dimension"))
      << outcome.output;
}

TEST_F(IndexCommand, ReadsAndWritesNumPy) {
  ASSERT_EQ(Index("build -o {i} --base {base.fvecs} --spec Flat --first-id 5000000000").code, 0);
  ASSERT_EQ(Index("search {i} --queries {query.fvecs} -k 3 -o {ids.npy}").code, 0);
  const std::string text = ReadFile(folder_ / "ids.npy");
  const NpyArray array = ParseNpy(std::as_bytes(std::span(text)), "ids.npy");
  EXPECT_EQ(array.shape, (std::vector<int64_t>{10, 3}));
  const std::vector<int64_t> ids = ReadNpyIntegers(array, "ids.npy");
  const json found = Json("search {i} --queries {query.fvecs} -k 3");
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(found["queries"][i / 3]["ids"][i % 3], ids[i]);
  ExpectFailure(Index("search {i} --queries {query.fvecs} -k 3 -o {ids.ivecs}"), 1,
                "does not fit the 32 bits");
  // Ids to remove from a NumPy file.
  EXPECT_EQ(Json("remove {i} --ids {ids.npy}")["removed"], std::set<int64_t>(ids.begin(), ids.end()).size());
  // Vectors from one.
  std::string matrix = NpyHeader("f4", {2, 16});
  matrix += std::string(2 * 16 * sizeof(float), '\0');
  const float one = 1;
  std::memcpy(matrix.data() + matrix.size() - sizeof one, &one, sizeof one);
  WriteText(folder_ / "two.npy", matrix);
  EXPECT_EQ(Json("add {i} --base {two.npy} --first-id 7")["added"], 2);
  EXPECT_EQ(Json("search {i} --queries {two.npy} -k 1")["queries"][1]["ids"][0], 8);
}

TEST_F(IndexCommand, PartsAreMerged) {
  ASSERT_EQ(Index("build -o {a} --base {base.fvecs} --spec IVF4,Trellis2 --part 0 2").code, 0);
  WriteVectors("more.fvecs", 100, 16, 3);
  ASSERT_EQ(Index("build -o {b} --base {more.fvecs} --like {a} --first-id 300 --part 1 2").code, 0);
  EXPECT_EQ(Json("merge {a} {b}")["vectors"], 400);
  ExpectFailure(Index("merge {a} {b}"), 1, "id 300 is both in", "--first-id");
  ASSERT_EQ(Index("build -o {c} --base {more.fvecs} --spec IVF4,Trellis2 --first-id 900").code, 0);
  ExpectFailure(Index("merge {a} {c}"), 1, "learnt their codes apart", "--like");
}

TEST_F(IndexCommand, PartsAreSearchedAsOne) {
  ASSERT_EQ(Index("build -o {whole} --base {base.fvecs} --spec IVF4,Trellis2").code, 0);
  ASSERT_EQ(Index("build -o {a} --base {base.fvecs} --limit 200 --like {whole} --part 0 2").code, 0);
  WriteText(folder_ / "rest.fvecs", ReadFile(folder_ / "base.fvecs").substr(200 * 68));
  ASSERT_EQ(Index("build -o {b} --base {rest.fvecs} --like {whole} --first-id 200 --part 1 2").code, 0);
  for (const char* options : {"-k 7 --nprobe 2", "-k 250", "--radius 20 --nprobe 4"}) {
    const std::string rest = std::string(" --queries {query.fvecs} ") + options;
    EXPECT_EQ(Json("search {b} {a}" + rest), Json("search {whole}" + rest)) << options;
  }
  ASSERT_EQ(Index("search {whole} --queries {query.fvecs} -k 10 --nprobe 4 -o {truth.ivecs}").code, 0);
  const json eval = Json("eval {a} {b} --queries {query.fvecs} --truth {truth.ivecs}");
  ASSERT_EQ(eval["sweep"].size(), 3u) << "1, 2, 4";
  EXPECT_EQ(eval["sweep"][2]["recall_10"], 1.0);
  EXPECT_EQ(eval["vectors"], 300);
  EXPECT_EQ(eval["index"].size(), 2u);
  EXPECT_EQ(eval["spec"], json::array({"IVF4,Trellis2", "IVF4,Trellis2"}));
  EXPECT_EQ(eval["bytes"],
            std::filesystem::file_size(folder_ / "a") + std::filesystem::file_size(folder_ / "b"));
  const Outcome outcome = Index("eval {a} {b} --queries {query.fvecs} --truth {truth.ivecs}");
  EXPECT_TRUE(outcome.Says("b: IVF4,Trellis2, l2, 300 vectors")) << outcome.output;

  ExpectFailure(Index("search {a} {whole} --queries {query.fvecs}"), 1, "id 0 is both in", "--first-id");
  ExpectFailure(Index("search {a} {b} --queries {query.fvecs} -k 301"), 1, "300 vectors");
  ASSERT_EQ(Index("build -o {c} --base {rest.fvecs} --metric ip --first-id 200").code, 0);
  ExpectFailure(Index("search {a} {c} --queries {query.fvecs}"), 1, "is ip, 16", "only equal ones");
  ExpectFailure(Index("search {a} {b} --queries {query.fvecs} -o {b}"), 2, ".ivecs or .npy");
  ExpectFailure(Index("search --queries {query.fvecs}"), 2, "INDEX");
}

TEST_F(IndexCommand, WrongRequestsAreNamed) {
  ASSERT_EQ(Index("build -o {i} --base {base.fvecs}").code, 0);
  ExpectFailure(Index(""), 2, "build, add, remove");
  ExpectFailure(Index("serach {i}"), 2, "did you mean \"index search\"");
  ExpectFailure(Index("info {i} {i}"), 2, "was not expected");
  ExpectFailure(Index("build -o {x} --base {base.fvecs} --spec IVF256,TQ5"), 2, "\"IVF256,TQ4\"");
  ExpectFailure(Index("build -o {x} --base {base.fvecs} --metric l3"), 2, "l2, ip (inner product), cosine");
  ExpectFailure(Index("build -o {base.fvecs} --base {base.fvecs}"), 2, "reads");
  ExpectFailure(Index("build -o {x} --base {i}"), 1, ".fvecs, .bvecs and .npy");
  ExpectFailure(Index("build -o {x} --base {base.fvecs} --spec IVF301,Flat"), 1, "301 lists",
                "there are 300");
  WriteText(folder_ / "ids", "1\n-4\n");
  ExpectFailure(Index("build -o {x} --base {base.fvecs} --ids {ids}"), 1, "ids: line 2", "\"-4\"");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
  ExpectFailure(Index("remove {i}"), 2, "--id");
  ExpectFailure(Index("remove {i} --id 300"), 1, "id 300 is not in the index");
  ExpectFailure(Index("search {i} --queries {query.fvecs} -k 301"), 1, "holds 300 vectors");
  ExpectFailure(Index("search {i} --queries {query.fvecs} -k 3 --radius 1"), 2, "exclude each other");
  ExpectFailure(Index("search {i} --queries {query.fvecs} -o {x.txt}"), 2, ".ivecs or .npy");
  ExpectFailure(Index("eval {i} --queries {query.fvecs}"), 2, "--truth", "--base");
  WriteVectors("narrow.fvecs", 3, 15, 4);
  ExpectFailure(Index("search {i} --queries {narrow.fvecs} -k 1"), 1, "narrow.fvecs: queries have 15");
  ExpectFailure(Index("add {i} --base {narrow.fvecs}"), 1, "narrow.fvecs: vectors of 15 dimensions");
  ExpectFailure(Index("search {query.fvecs} --queries {query.fvecs}"), 1, "is no lowbit index");

  std::string text = ReadFile(folder_ / "base.fvecs");
  const float bad = NAN;
  std::memcpy(text.data() + 7 * 68 + 4 + 4 * 3, &bad, 4);
  WriteText(folder_ / "bad.fvecs", text);
  ExpectFailure(Index("build -o {x} --base {bad.fvecs}"), 1, "bad.fvecs: vector 7 is nan in dimension 3");
  text = ReadFile(folder_ / "i");
  WriteText(folder_ / "cut", text.substr(0, text.size() - 100));
  ExpectFailure(Index("info {cut}"), 1, "cut: truncated");
  text[9000] = static_cast<char>(text[9000] ^ 1);
  WriteText(folder_ / "flipped", text);
  ExpectFailure(Index("verify {flipped}"), 1, "flipped: ", "checksum");
}

}  // namespace
}  // namespace lowbit
