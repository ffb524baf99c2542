#include "lowbit/io/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/read_tensor.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

using Bytes = std::vector<std::byte>;

// Builds files byte by byte, so that they can lie.
class Image {
 public:
  explicit Image(uint32_t version = 3, uint64_t tensors = 0, uint64_t keys = 0) {
    bytes_ = BytesOf<char>({'G', 'G', 'U', 'F'});
    Put(version).Put(tensors).Put(keys);
  }
  template <typename T>
  Image& Put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof(T));
    return *this;
  }
  Image& Text(const std::string& text) {
    Put(static_cast<uint64_t>(text.size()));
    for (char c : text) Put(c);
    return *this;
  }
  Image& Tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    Text(name).Put(static_cast<uint32_t>(dims.size()));
    for (uint64_t d : dims) Put(d);
    return Put(type).Put(offset);
  }
  Image& Data(size_t size, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + size);
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

std::string ErrorOf(const Bytes& bytes) {
  try {
    GgufFile file(bytes, "some.gguf");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("some.gguf"), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

Bytes RandomBytes(Random& random, size_t size) {
  Bytes bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.Below(256));
  return bytes;
}

TEST(GgufTest, LyingFilesAreNamed) {
  const uint64_t huge = ~uint64_t{0};
  const struct {
    Image image;
    std::string expected;
  } cases[] = {
      {Image(1), "version 1"},
      {Image(0x03000000), "big-endian"},
      {Image(4), "version 4"},
      {Image(3, 0, huge), "key 0 needs"},
      {Image(3, huge, 0), "the name of tensor 0 needs"},
      {Image(3, 0, 1).Put(huge), "key 0 needs"},
      {Image(3, 0, 1).Text("k").Put(uint32_t{13}), "key k has the unknown value type 13"},
      {Image(3, 0, 1).Text("k").Put(uint32_t{8}).Put(huge), "k needs"},
      {Image(3, 0, 1).Text("k").Put(uint32_t{7}).Put(uint8_t{2}), "key k is a bool with value 2"},
      {Image(3, 0, 1).Text("k").Put(uint32_t{9}).Put(uint32_t{4}).Put(huge),
       "key k has 18446744073709551615"},
      {Image(3, 0, 1).Text("k").Put(uint32_t{9}).Put(uint32_t{8}).Put(huge), "k needs"},
      {Image(3, 0, 2).Text("k").Put(uint32_t{0}).Put('a').Text("k").Put(uint32_t{0}).Put('a'),
       "key k comes twice"},
      {Image(3, 0, 1).Text("general.alignment").Put(uint32_t{4}).Put(uint32_t{24}), "power of two"},
      {Image(3, 0, 1).Text("general.alignment").Put(uint32_t{4}).Put(uint32_t{0}), "power of two"},
      {Image(3, 0, 1).Text("general.alignment").Put(uint32_t{10}).Put(uint64_t{32}), "u32 is needed"},
      {Image(3, 1).Tensor("t", {1, 1, 1, 1, 1}, 0, 0).Data(4), "tensor t has 5 dimensions"},
      {Image(3, 1).Tensor("t", {huge}, 0, 0).Data(4), "tensor t has a dimension"},
      {Image(3, 1).Tensor("t", {uint64_t{1} << 62, 2}, 0, 0).Data(4), "impossible shape"},
      {Image(3, 1).Tensor("t", {48, 2}, 2, 0).Data(512), "whole blocks of 32"},
      {Image(3, 1).Tensor("t", {64}, 40, 0).Data(512), "tensor t has ggml type 40 (NVFP4)"},
      {Image(3, 1).Tensor("t", {64}, 99, 0).Data(512), "tensor t has ggml type 99 (unknown)"},
      {Image(3, 1).Tensor("t", {4}, 0, 4).Data(512), "multiple of 32"},
      {Image(3, 1).Tensor("t", {4}, 0, 32).Data(47), "tensor t has 16 bytes at 32"},
      {Image(3, 1).Tensor("t", {4}, 0, huge - 31).Data(47), "truncated or wrong"},
      {Image(3, 2).Tensor("t", {16}, 0, 0).Tensor("u", {1}, 0, 32).Data(512), "tensor u overlaps t"},
      {Image(3, 2).Tensor("t", {1}, 0, 0).Tensor("t", {1}, 0, 32).Data(512), "tensor t comes twice"},
  };
  for (const auto& c : cases) {
    const std::string error = ErrorOf(c.image.bytes());
    EXPECT_NE(error.find(c.expected), std::string::npos) << "expected " << c.expected << ", got: " << error;
  }
  EXPECT_NE(ErrorOf(Bytes(3)), "");
  Image nested(3, 0, 1);
  nested.Text("k").Put(uint32_t{9}).Put(uint32_t{9}).Put(uint64_t{1});
  for (int i = 0; i < 10; ++i) nested.Put(uint32_t{9}).Put(uint64_t{1});
  EXPECT_NE(ErrorOf(nested.bytes()).find("nests arrays"), std::string::npos);
}

TEST(GgufTest, ShapesAreOutermostFirstAndVersion2Reads) {
  Image image(2, 1);
  image.Tensor("t", {3, 2}, 0, 0).Data(24);
  const GgufFile file(image.bytes(), "m");
  EXPECT_EQ(file.Get("t").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.Get("t").bytes.size(), 24u);
  EXPECT_THROW(file.Get("u"), Error);
}

TEST(GgufTest, WriterRoundTripsEveryValueTypeAndEveryTensorType) {
  const ScratchFolder folder;
  Random random(7);
  const GgufMetadata metadata = {
      {"general.architecture", std::string("llama")},
      {"general.alignment", uint32_t{64}},
      {"a.u8", uint8_t{200}},
      {"a.i8", int8_t{-3}},
      {"a.u16", uint16_t{65535}},
      {"a.i16", int16_t{-300}},
      {"a.i32", int32_t{-70000}},
      {"a.u64", ~uint64_t{0}},
      {"a.i64", int64_t{-1} << 40},
      {"a.f32", 0.1f},
      {"a.f64", 0.1},
      {"a.bool", true},
      {"b.u8", std::vector<uint8_t>{1, 2}},
      {"b.i16", std::vector<int16_t>{-1, 2}},
      {"b.u64", std::vector<uint64_t>{3, 4}},
      {"b.f32", std::vector<float>{0.5f, -1}},
      {"b.strings", std::vector<std::string>{"", "a", std::string("\0z", 2)}},
      {"b.empty", std::vector<int32_t>{}},
  };
  std::vector<GgufWriter::Tensor> tensors = {{"scalar", DType::kF64, {}}, {"empty", DType::kF32, {0, 5}}};
  for (DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kI16, DType::kI32, DType::kI64}) {
    tensors.push_back({fmt::format("plain.{}", NameOf(type)), type, {3, 2, 5}});
  }
  for (GgmlType type : AllGgmlTypes()) tensors.push_back({std::string(NameOf(type)), type, {3, 512}});
  std::map<std::string, Bytes> contents;
  const auto path = folder / "w.gguf";
  {
    GgufWriter writer(path, metadata, tensors);
    for (auto t = tensors.rbegin(); t != tensors.rend(); ++t) {
      contents[t->name] = RandomBytes(random, *StoredBytes(t->type, t->shape));
      writer.Write(t->name, contents[t->name]);
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    writer.Finish();
    EXPECT_EQ(std::filesystem::file_size(path), writer.file_bytes());
  }
  const GgufFile file(path);
  ASSERT_EQ(file.Keys().size(), metadata.size());
  EXPECT_EQ(file.Keys()[2], "a.u8");
  EXPECT_EQ(file.GetString("general.architecture"), "llama");
  EXPECT_EQ(file.GetInteger("a.u8"), 200);
  EXPECT_EQ(file.GetInteger("a.i8"), -3);
  EXPECT_EQ(file.GetInteger("a.u16"), 65535);
  EXPECT_EQ(file.GetInteger("a.i16"), -300);
  EXPECT_EQ(file.GetInteger("a.i32"), -70000);
  EXPECT_EQ(file.GetInteger("a.i64"), int64_t{-1} << 40);
  EXPECT_EQ(file.GetNumber("a.f32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.GetNumber("a.f64"), 0.1);
  EXPECT_EQ(file.GetNumber("a.i8"), -3);
  EXPECT_TRUE(file.GetBool("a.bool"));
  EXPECT_EQ(file.GetIntegers("b.u8"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(file.GetIntegers("b.i16"), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(file.GetNumbers("b.f32"), (std::vector<double>{0.5, -1}));
  EXPECT_EQ(file.GetStrings("b.strings"), (std::vector<std::string>{"", "a", std::string("\0z", 2)}));
  EXPECT_TRUE(file.GetIntegers("b.empty").empty());
  EXPECT_THROW(file.GetInteger("a.u64"), Error) << "does not fit";
  EXPECT_THROW(file.GetInteger("a.f32"), Error);
  EXPECT_THROW(file.GetInteger("b.u8"), Error);
  EXPECT_THROW(file.GetString("a.u8"), Error);
  EXPECT_THROW(file.GetStrings("b.u8"), Error);
  EXPECT_THROW(file.GetBool("a.u8"), Error);
  EXPECT_THROW(file.GetInteger("absent"), Error);
  EXPECT_EQ(file.FindInteger("absent"), std::nullopt);
  for (const auto& t : tensors) {
    const TensorView view = file.Get(t.name);
    EXPECT_EQ(view.type, t.type) << t.name;
    EXPECT_EQ(view.shape, t.shape) << t.name;
    EXPECT_TRUE(
        std::equal(view.bytes.begin(), view.bytes.end(), contents[t.name].begin(), contents[t.name].end()));
    if (!view.bytes.empty()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes.data()) % 64, 0u);
    }
  }

  // Metadata of another file goes over verbatim.
  GgufMetadata copied;
  for (const std::string& key : file.Keys()) copied.emplace_back(key, file.Field(key));
  copied[1].second = uint32_t{32};
  GgufWriter(folder / "copy.gguf", copied, {}).Finish();
  const GgufFile copy(folder / "copy.gguf");
  EXPECT_EQ(copy.GetStrings("b.strings"), file.GetStrings("b.strings"));
  EXPECT_EQ(copy.GetNumber("a.f64"), 0.1);
}

TEST(GgufTest, EveryTruncationFails) {
  const ScratchFolder folder;
  GgufWriter writer(folder / "w.gguf", {{"k", std::vector<std::string>{"a", "b"}}},
                    {{"t", DType::kF32, {8}}});
  writer.Write("t", Bytes(32));
  writer.Finish();
  const std::string whole = ReadFile(folder / "w.gguf");
  const Bytes bytes = BytesOf(std::vector<char>(whole.begin(), whole.end()));
  EXPECT_EQ(ErrorOf(bytes), "");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(ErrorOf(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size))), "") << size;
  }
}

TEST(GgufTest, WriterRefusesWrongUse) {
  const ScratchFolder folder;
  const auto path = folder / "w.gguf";
  EXPECT_THROW(GgufWriter(path, {}, {{"t", GgmlType::kQ4_K, {2, 128}}}), Error);
  EXPECT_THROW(GgufWriter(path, {}, {{"t", DType::kF8E4M3, {2}}}), Error);
  EXPECT_THROW(GgufWriter(path, {}, {{"t", DType::kF32, {1, 1, 1, 1, 1}}}), Error);
  EXPECT_THROW(GgufWriter(path, {}, {{std::string(64, 'n'), DType::kF32, {1}}}), Error);
  EXPECT_THROW(GgufWriter(path, {}, {{"t", DType::kF32, {1}}, {"t", DType::kF32, {1}}}), Error);
  EXPECT_THROW(GgufWriter(path, {{"k", true}, {"k", true}}, {}), Error);
  EXPECT_THROW(GgufWriter(path, {{"general.alignment", uint32_t{24}}}, {}), Error);
  {
    GgufWriter writer(path, {}, {{"t", DType::kF32, {2}}});
    EXPECT_THROW(writer.Write("u", Bytes(4)), Error);
    writer.Write("t", Bytes(4));
    EXPECT_THROW(writer.Write("t", Bytes(8)), Error);
    EXPECT_THROW(writer.Finish(), Error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "no partial file stays behind";
}

class SplitTest : public testing::Test {
 protected:
  void WritePart(const std::string& name, uint16_t part, uint16_t count, int32_t total,
                 const std::string& tensor) {
    GgufWriter writer(
        folder_ / name,
        {{"split.no", part}, {"split.count", count}, {"split.tensors.count", total}, {"own", part}},
        {{tensor, DType::kF32, {1}}});
    writer.Write(tensor, BytesOf<float>({static_cast<float>(part)}));
    writer.Finish();
  }
  ScratchFolder folder_;
};

TEST_F(SplitTest, AnyPartOpensTheWhole) {
  WritePart("m-00001-of-00002.gguf", 0, 2, 2, "a");
  WritePart("m-00002-of-00002.gguf", 1, 2, 2, "b");
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const GgufFile file(folder_ / name);
    EXPECT_EQ(file.Names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(ReadFloats(file, "b"), (std::vector<float>{1}));
    file.Release("b");
    EXPECT_EQ(file.GetInteger("own"), 0) << "metadata is the first part's";
  }
}

TEST_F(SplitTest, PartsThatDisagreeAreRefused) {
  const auto first = folder_ / "m-00001-of-00002.gguf";
  WritePart("m-00001-of-00002.gguf", 0, 2, 2, "a");
  EXPECT_THROW(GgufFile{first}, Error) << "part 2 is missing";
  WritePart("m-00002-of-00002.gguf", 0, 2, 2, "b");
  EXPECT_THROW(GgufFile{first}, Error) << "part 2 says it is part 1";
  WritePart("m-00002-of-00002.gguf", 1, 2, 2, "a");
  EXPECT_THROW(GgufFile{first}, Error) << "a is in both";
  WritePart("m-00001-of-00002.gguf", 0, 2, 3, "a");
  WritePart("m-00002-of-00002.gguf", 1, 2, 3, "b");
  EXPECT_THROW(GgufFile{first}, Error) << "a tensor is missing";
  WritePart("other.gguf", 0, 2, 2, "a");
  EXPECT_THROW(GgufFile{folder_ / "other.gguf"}, Error) << "the name tells no parts";
}

TEST(GgufTest, ReadsFilesOfOtherPrograms) {
  const char* data = std::getenv("LOWBIT_DATA");
  if (data == nullptr) GTEST_SKIP() << "LOWBIT_DATA is not set";
  const auto model = std::filesystem::path(data) / "lm-tinystories-656k/TinyStories-656K-Q8_0.gguf";
  const auto vocabulary = std::filesystem::path(data) / "interop/ggml-vocab-gpt-2.gguf";
  if (!std::filesystem::exists(model) || !std::filesystem::exists(vocabulary))
    GTEST_SKIP() << "files are not there";
  const GgufFile file(model);
  EXPECT_EQ(file.GetInteger("llama.embedding_length"), 128);
  EXPECT_EQ(file.GetStrings("tokenizer.ggml.tokens").size(), 2048u);
  EXPECT_EQ(file.Get("token_embd.weight").shape, (std::vector<int64_t>{2048, 128}));
  EXPECT_EQ(NameOf(file.Get("token_embd.weight").type), "Q8_0");
  const GgufFile words(vocabulary);
  EXPECT_TRUE(words.Names().empty());
  EXPECT_EQ(words.GetStrings("tokenizer.ggml.tokens").size(), 50257u);
}

}  // namespace
}  // namespace lowbit
