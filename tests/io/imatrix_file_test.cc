#include "lowbit/io/imatrix_file.h"

#include <gtest/gtest.h>

#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/io/gguf.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

Imatrix Small() {
  Imatrix imatrix;
  imatrix.entries["blk.0.attn_q.weight"] = {{1, 0, 7.5, 1e-9, 3e8}, 1024};
  imatrix.entries["blk.0.ffn_down.weight"] = {{2, 4}, 1500};
  imatrix.datasets = {"a.txt", "b.txt"};
  return imatrix;
}

// The legacy form byte by byte, so that it can lie.
class Legacy {
 public:
  explicit Legacy(int32_t entries) { Put(entries); }
  template <typename T>
  Legacy& Put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof(T));
    return *this;
  }
  Legacy& Text(const std::string& text) {
    Put(static_cast<int32_t>(text.size()));
    for (const char c : text) Put(c);
    return *this;
  }
  Legacy& Entry(const std::string& name, int32_t calls, const std::vector<float>& values) {
    Text(name).Put(calls).Put(static_cast<int32_t>(values.size()));
    for (const float x : values) Put(x);
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

std::string ErrorOf(std::span<const std::byte> bytes) {
  try {
    ParseImatrix(bytes, "some.file");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("some.file"), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

void ExpectError(std::span<const std::byte> bytes, const std::string& expected) {
  EXPECT_NE(ErrorOf(bytes).find(expected), std::string::npos)
      << "\"" << ErrorOf(bytes) << "\" lacks " << expected;
}

class ImatrixFileTest : public testing::Test {
 protected:
  // A GGUF importance matrix with these tensors.
  std::vector<std::byte> Gguf(const std::string& type,
                              const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
    std::vector<GgufWriter::Tensor> declared;
    for (const auto& [name, values] : tensors) declared.push_back({name, DType::kF32, {std::ssize(values)}});
    GgufWriter writer(scratch_ / "made.gguf", {{"general.type", type}}, declared);
    for (const auto& [name, values] : tensors) writer.Write(name, std::as_bytes(std::span(values)));
    writer.Finish();
    const std::string text = ReadFile(scratch_ / "made.gguf");
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

  ScratchFolder scratch_;
};

TEST_F(ImatrixFileTest, TheGgufFormComesBackExactly) {
  const Imatrix imatrix = Small();
  WriteImatrix(scratch_ / "i.gguf", imatrix, ImatrixForm::kGguf);
  const Imatrix back = ReadImatrix(scratch_ / "i.gguf");
  EXPECT_EQ(back.datasets, imatrix.datasets);
  EXPECT_EQ(back.chunk_size, 512);
  ASSERT_EQ(back.entries.size(), 2u);
  for (const auto& [name, entry] : imatrix.entries) {
    EXPECT_EQ(back.entries.at(name).tokens, entry.tokens);
    for (size_t c = 0; c < entry.sum.size(); ++c)
      EXPECT_EQ(back.entries.at(name).sum[c], static_cast<float>(entry.sum[c])) << name << " " << c;
  }
}

TEST_F(ImatrixFileTest, TheGgufFormHasTheKeysAndTensorsThatLlamaCppReads) {
  WriteImatrix(scratch_ / "i.gguf", Small(), ImatrixForm::kGguf);
  const GgufFile file(scratch_ / "i.gguf");
  EXPECT_EQ(file.GetString("general.type"), "imatrix");
  EXPECT_EQ(file.GetInteger("imatrix.chunk_count"), 2);  // whole chunks of 512 in 1500 tokens
  EXPECT_EQ(file.GetInteger("imatrix.chunk_size"), 512);
  EXPECT_EQ(file.Field("imatrix.chunk_count").type, GgufType::kU32);
  EXPECT_EQ(file.GetStrings("imatrix.datasets"), (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(file.Get("blk.0.attn_q.weight.in_sum2").shape, (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(file.Get("blk.0.attn_q.weight.counts").shape, (std::vector<int64_t>{1, 1}));
}

TEST_F(ImatrixFileTest, TheLegacyFormKeepsMeansAndTheLastDataset) {
  WriteImatrix(scratch_ / "i.dat", Small(), ImatrixForm::kLegacy);
  const Imatrix back = ReadImatrix(scratch_ / "i.dat");
  EXPECT_EQ(back.datasets, std::vector<std::string>{"b.txt"});
  for (const auto& [name, entry] : Small().entries) {
    const std::vector<float> expected = entry.Mean(), found = back.entries.at(name).Mean();
    ASSERT_EQ(found.size(), expected.size());
    for (size_t c = 0; c < expected.size(); ++c)
      EXPECT_NEAR(found[c], expected[c], 2e-7 * expected[c]) << name << " " << c;
  }
  EXPECT_EQ(back.entries.at("blk.0.attn_q.weight").tokens, 1024);
  EXPECT_EQ(back.entries.at("blk.0.ffn_down.weight").tokens, 1536);  // whole calls, rounded up
  // Once counts are whole calls, what was read is written again to the byte.
  WriteImatrix(scratch_ / "whole.dat", back, ImatrixForm::kLegacy);
  WriteImatrix(scratch_ / "again.dat", ReadImatrix(scratch_ / "whole.dat"), ImatrixForm::kLegacy);
  EXPECT_EQ(ReadFile(scratch_ / "again.dat"), ReadFile(scratch_ / "whole.dat"));
}

TEST_F(ImatrixFileTest, TheLegacyFormIsReadAsLlamaCppWritesIt) {
  Legacy image(2);
  image.Entry("blk.0.attn_q.weight", 3, {3, 6})
      .Entry("output.weight", 0, {5})
      .Put(int32_t{3})
      .Text("wiki.raw");
  const Imatrix imatrix = ParseImatrix(image.bytes(), "some.file");
  EXPECT_EQ(imatrix.entries.at("blk.0.attn_q.weight").Mean(), (std::vector<float>{1, 2}));
  // Without calls the values are the means.
  EXPECT_EQ(imatrix.entries.at("output.weight").Mean(), std::vector<float>{5});
  EXPECT_EQ(imatrix.datasets, std::vector<std::string>{"wiki.raw"});
  EXPECT_EQ(imatrix.chunks(), 3);
}

TEST_F(ImatrixFileTest, ACutFileIsRefusedUnlessOnlyTheOptionalEndIsMissing) {
  Legacy whole(1);
  whole.Entry("blk.0.attn_q.weight", 1, {1, 2, 3});
  const size_t entries = whole.bytes().size();
  whole.Put(int32_t{1}).Text("text");
  for (size_t size = 0; size < whole.bytes().size(); ++size) {
    const bool optional_end = size == entries || size == entries + 4;
    EXPECT_EQ(ErrorOf(std::span(whole.bytes()).first(size)).empty(), optional_end) << size;
  }
  EXPECT_EQ(ErrorOf(whole.bytes()), "");
  WriteImatrix(scratch_ / "i.gguf", Small(), ImatrixForm::kGguf);
  const std::string gguf = ReadFile(scratch_ / "i.gguf");
  const auto bytes = std::as_bytes(std::span(gguf));
  // The last tensor (4 bytes) is padded to 32.
  for (size_t size = 0; size + 32 <= bytes.size(); ++size) EXPECT_NE(ErrorOf(bytes.first(size)), "") << size;
}

TEST_F(ImatrixFileTest, LyingLegacyFilesAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  ExpectError(std::as_bytes(std::span("Once upon a time there was a text.")), "not an importance matrix");
  ExpectError(Legacy(0).bytes(), "not an importance matrix");
  ExpectError(Legacy(-1).Entry("a", 1, {1}).bytes(), "not an importance matrix");
  ExpectError(Legacy(1 << 30).Entry("a", 1, {1}).bytes(), "not an importance matrix");
  ExpectError(Legacy(1).Put(int32_t{-5}).Put(int32_t{1}).Put(int32_t{1}).Put(1.0f).bytes(),
              "a name of -5 bytes");
  ExpectError(Legacy(1).Text("a.weight").Put(int32_t{1}).Put(int32_t{-2}).bytes(), "a.weight has -2 columns");
  ExpectError(Legacy(1).Text("a.weight").Put(int32_t{1}).Put(int32_t{1} << 30).bytes(),
              "entry a.weight needs");
  ExpectError(Legacy(1).Entry("a.weight", -1, {1}).bytes(), "-1 calls");
  ExpectError(Legacy(1).Entry("a.weight", 1, {1, nan}).bytes(), "a.weight, column 1");
  ExpectError(Legacy(1).Entry("a.weight", 1, {infinity}).bytes(), "a.weight, column 0");
  ExpectError(Legacy(1).Entry("a.weight", 1, {-1}).bytes(), "a.weight, column 0");
  ExpectError(Legacy(2).Entry("a.weight", 1, {1}).Entry("a.weight", 1, {1}).bytes(), "a.weight comes twice");
  ExpectError(Legacy(1).Entry("blk.0.ffn_up_exps.weight", 1, {1}).bytes(), "blk.0.ffn_up_exps.weight");
  ExpectError(Legacy(1).Entry("a.weight", 1, {1}).Put(int32_t{1}).Text("t").Put('x').bytes(),
              "1 bytes follow");
  ExpectError(Legacy(1).Entry("a.weight", 1, {1}).Put(int32_t{1}).Put(int32_t{-1}).bytes(), "-1 bytes");
}

TEST_F(ImatrixFileTest, LyingGgufFilesAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ExpectError(Gguf("model", {{"a.weight.in_sum2", {1}}, {"a.weight.counts", {1}}}), "general.type is model");
  ExpectError(Gguf("imatrix", {}), "no entries");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1}}}), "a.weight has sums without counts");
  ExpectError(Gguf("imatrix", {{"a.weight.counts", {1}}}), "a.weight has counts without sums");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1, nan}}, {"a.weight.counts", {1}}}),
              "a.weight, column 1");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1, -1}}, {"a.weight.counts", {1}}}),
              "a.weight, column 1");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1}}, {"a.weight.counts", {nan}}}),
              "a.weight was made from nan");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1}}, {"a.weight.counts", {-4}}}),
              "a.weight was made from -4");
  ExpectError(Gguf("imatrix", {{"a.weight.in_sum2", {1, 2}}, {"a.weight.counts", {1, 1}}}),
              "a.weight holds 2 matrices");
  ExpectError(
      Gguf("imatrix", {{"blk.0.ffn_up_exps.weight.in_sum2", {1}}, {"blk.0.ffn_up_exps.weight.counts", {1}}}),
      "blk.0.ffn_up_exps.weight");
}

TEST_F(ImatrixFileTest, AddingSumsBothFiles) {
  Imatrix sum = Small(), other;
  other.entries["blk.0.ffn_down.weight"] = {{10, 20}, 500};
  other.entries["blk.1.ffn_down.weight"] = {{1, 1}, 500};
  other.datasets = {"c.txt"};
  sum.Add(other, "other.gguf");
  EXPECT_EQ(sum.entries.size(), 3u);
  EXPECT_EQ(sum.entries.at("blk.0.ffn_down.weight").sum, (std::vector<double>{12, 24}));
  EXPECT_EQ(sum.entries.at("blk.0.ffn_down.weight").tokens, 2000);
  EXPECT_EQ(sum.datasets, (std::vector<std::string>{"a.txt", "b.txt", "c.txt"}));
  other.entries["blk.0.ffn_down.weight"].sum.push_back(1);
  try {
    sum.Add(other, "other.gguf");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("other.gguf: entry blk.0.ffn_down.weight has 3 columns"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(ImatrixFileTest, AnEntryWithoutTokensIsKeptInGgufAndLeftOutOfTheLegacyForm) {
  Imatrix imatrix = Small();
  imatrix.entries["blk.1.attn_q.weight"] = {{0, 0}, 0};
  EXPECT_THROW(imatrix.entries.at("blk.1.attn_q.weight").Mean(), Error);
  WriteImatrix(scratch_ / "i.gguf", imatrix, ImatrixForm::kGguf);
  EXPECT_EQ(ReadImatrix(scratch_ / "i.gguf").entries.at("blk.1.attn_q.weight").tokens, 0);
  WriteImatrix(scratch_ / "i.dat", imatrix, ImatrixForm::kLegacy);
  EXPECT_EQ(ReadImatrix(scratch_ / "i.dat").entries.size(), 2u);
}

}  // namespace
}  // namespace lowbit
