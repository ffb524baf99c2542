#include "lowbit/io/safetensors.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/read_tensor.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

using Bytes = std::vector<std::byte>;

Bytes FileOf(const std::string& header, size_t data_bytes) {
  Bytes bytes(8 + header.size() + data_bytes);
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) bytes[8 + header.size() + i] = static_cast<std::byte>(i);
  return bytes;
}

std::string ErrorOf(const Bytes& bytes) {
  try {
    SafetensorsFile file(bytes, "some.safetensors");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("some.safetensors"), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

TEST(SafetensorsTest, ReadsUnalignedTensorsByCopying) {
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
      R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]},"__metadata__":{"k":"v"}})";
  Bytes bytes = FileOf(header, 9);
  const float values[2] = {1.5f, -2.25f};
  std::memcpy(bytes.data() + bytes.size() - 8, values, 8);
  const SafetensorsFile file(bytes, "m");
  EXPECT_EQ(file.Names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_EQ(ReadFloats(file, "b"), (std::vector<float>{1.5f, -2.25f}));
  EXPECT_EQ(ReadFloatRows(file, "b", 1, 1), (std::vector<float>{-2.25f}));
  EXPECT_THROW(ReadFloatRows(file, "b", 1, 2), Error);
  EXPECT_THROW(file.Get("c"), Error);
}

TEST(SafetensorsTest, LyingHeadersAreNamed) {
  const auto one = [](const std::string& body) { return R"({"t":)" + body + "}"; };
  const struct {
    Bytes bytes;
    std::string expected;
  } cases[] = {
      {Bytes(5), "too short"},
      {FileOf("", 0), "does not start with '{'"},
      {FileOf("[]", 0), "does not start with '{'"},
      {FileOf("{\"t\":", 0), "not JSON"},
      {FileOf("{} x", 0), "not JSON"},
      {FileOf("{}", 4), "4 bytes after the last tensor"},
      {FileOf(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), 3),
       "tensor t lies at bytes 0 to 4"},
      {FileOf(one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), 4), "tensor t lies"},
      {FileOf(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), 4), "tensor t has 4 bytes"},
      {FileOf(one(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})"), 4), "unknown dtype F33"},
      {FileOf(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), 0),
       "too large"},
      {FileOf(one(R"({"dtype":"F32","shape":[4611686018427387904,1],"data_offsets":[0,0]})"), 0),
       "too large"},
      {FileOf(one(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]})"), 0), "fraction"},
      {FileOf(one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), 4), "negative"},
      {FileOf(one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), 4), "fraction"},
      {FileOf(one(R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})"), 4), "a list"},
      {FileOf(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), 4), "1 data_offsets"},
      {FileOf(one(R"({"dtype":"F32","shape":[1]})"), 4), "lacks data_offsets"},
      {FileOf(one(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"), 4), "dtype twice"},
      {FileOf(one(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})"), 4), "shape twice"},
      {FileOf(one(R"({"dtype":null,"shape":[1],"data_offsets":[0,4]})"), 4), "null"},
      {FileOf(one("{}"), 0), "lacks dtype"},
      {FileOf(one("7"), 0), "a number"},
      {FileOf(one(R"({"a":{"b":{"c":{}}}})"), 0), "an object"},
      {FileOf(R"({"__metadata__":{"n":1}})", 0), "strings only"},
      {FileOf(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
              R"("t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
              2),
       "declared twice"},
      {FileOf(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
              R"("u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
              3),
       "tensor u overlaps t"},
      {FileOf(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
              R"("u":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
              3),
       "1 bytes between t and tensor u"},
  };
  for (const auto& c : cases) {
    const std::string error = ErrorOf(c.bytes);
    EXPECT_NE(error.find(c.expected), std::string::npos) << "expected " << c.expected << ", got: " << error;
  }
}

TEST(SafetensorsTest, HeaderLengthIsChecked) {
  Bytes bytes = FileOf("{}", 0);
  for (uint64_t length : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_NE(ErrorOf(bytes), "") << length;
  }
}

TEST(SafetensorsTest, EveryTruncationFails) {
  const Bytes whole = FileOf(R"({"t":{"dtype":"F16","shape":[3,2],"data_offsets":[0,12]}})", 12);
  EXPECT_EQ(ErrorOf(whole), "");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(ErrorOf(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))), "") << size;
  }
}

TEST(SafetensorsTest, EmptyTensorsAndScalarsAreFine) {
  const Bytes bytes = FileOf(R"({"e":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
                             R"("s":{"dtype":"I16","shape":[],"data_offsets":[0,2]}})",
                             2);
  const SafetensorsFile file(bytes, "m");
  EXPECT_TRUE(ReadFloats(file, "e").empty());
  EXPECT_EQ(ReadIntegers(file, "s"), (std::vector<int64_t>{0x0100}));
}

TEST(SafetensorsTest, WriterAlignsEveryTensorAndRoundTrips) {
  const ScratchFolder folder;
  const auto path = folder / "w.safetensors";
  Random random(1);
  std::vector<SafetensorsWriter::Tensor> tensors;
  std::map<std::string, Bytes> contents;
  for (int i = 0; i < 40; ++i) {
    const auto type = static_cast<DType>(random.Below(15));
    const auto rows = static_cast<int64_t>(random.Below(5)), cols = static_cast<int64_t>(random.Below(40));
    const std::string name = "layer." + std::to_string(i) + "\n\"\u00e9";
    Bytes content(static_cast<size_t>(rows * cols) * SizeOf(type));
    for (std::byte& b : content) b = static_cast<std::byte>(random.Below(256));
    tensors.push_back({name, type, {rows, cols}});
    contents[name] = content;
  }
  const Metadata metadata = {{"format", "pt"}, {"graph", "{\"nested\": [1]}"}};
  size_t promised = 0;
  {
    SafetensorsWriter writer(path, tensors, metadata);
    promised = writer.file_bytes();
    for (auto t = contents.rbegin(); t != contents.rend(); ++t) {  // any order, in pieces
      const std::span<const std::byte> all = t->second;
      writer.Write(t->first, all.first(all.size() / 3));
      writer.Write(t->first, all.subspan(all.size() / 3));
    }
    EXPECT_FALSE(std::filesystem::exists(path)) << "nothing bears the final name before Finish";
    writer.Finish();
  }
  EXPECT_EQ(std::filesystem::file_size(path), promised);
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.Names().size(), contents.size()) << "padding is not listed";
  for (const auto& t : tensors) {
    const TensorView view = file.Get(t.name);
    EXPECT_EQ(std::get<DType>(view.type), t.type);
    EXPECT_EQ(view.shape, t.shape);
    EXPECT_TRUE(
        std::equal(view.bytes.begin(), view.bytes.end(), contents[t.name].begin(), contents[t.name].end()));
    if (!view.bytes.empty()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes.data()) % 64, 0u) << t.name;
    }
    file.Release(t.name);
    EXPECT_TRUE(
        std::equal(view.bytes.begin(), view.bytes.end(), contents[t.name].begin(), contents[t.name].end()))
        << "released pages come back";
  }
}

TEST(SafetensorsTest, PaddedSectionsNeedNoPaddingTensors) {
  const ScratchFolder folder;
  const auto path = folder / "w.safetensors";
  SafetensorsWriter writer(
      path, {{"a", DType::kU8, {128}}, {"b", DType::kF32, {16}}, {"last", DType::kU8, {3}}}, {});
  writer.Write("a", Bytes(128));
  writer.Write("b", Bytes(64));
  writer.Write("last", Bytes(3));
  writer.Finish();
  EXPECT_EQ(ReadFile(path).find("__padding__"), std::string::npos);
}

TEST(SafetensorsTest, WriterRefusesWrongUse) {
  const ScratchFolder folder;
  const auto path = folder / "w.safetensors";
  EXPECT_THROW(SafetensorsWriter(path, {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}, {}), Error);
  EXPECT_THROW(SafetensorsWriter(path, {{"a", DType::kU8, {-1}}}, {}), Error);
  EXPECT_THROW(SafetensorsWriter(path, {{"\xff", DType::kU8, {1}}}, {}), Error);
  {
    SafetensorsWriter writer(path, {{"a", DType::kU8, {2}}}, {});
    EXPECT_THROW(writer.Write("b", Bytes(1)), Error);
    writer.Write("a", Bytes(1));
    EXPECT_THROW(writer.Write("a", Bytes(2)), Error);
    EXPECT_THROW(writer.Finish(), Error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "no partial file stays behind";
}

TEST(SafetensorsTest, ShardsByIndexAndByList) {
  const ScratchFolder folder;
  MemoryTensors first, second;
  first.Add("a", {2}, std::vector<float>{1, 2});
  second.Add("b", {1}, std::vector<float>{3});
  WriteSafetensors(folder / "m-1.safetensors", first, {{"k", "1"}});
  WriteSafetensors(folder / "m-2.safetensors", second, {{"k", "2"}});
  const auto index = folder / "model.safetensors.index.json";
  const auto write_index = [&](const std::string& text) {
    WriteBytes(index, std::as_bytes(std::span(text)));
  };

  write_index(R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  const auto source = OpenSafetensors(folder.path());
  EXPECT_EQ(source->Names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ReadFloats(*source, "b"), (std::vector<float>{3}));
  EXPECT_THROW(source->Get("c"), Error);

  for (const char* bad :
       {"[]", "{", "{}", R"({"weight_map":[]})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":"../x.safetensors"}})", R"({"weight_map":{"a":"missing.safetensors"}})",
        R"({"weight_map":{"b":"m-1.safetensors"}})", R"({"weight_map":{"a":".."}})"}) {
    write_index(bad);
    EXPECT_THROW(SafetensorsShards{index}, Error) << bad;
  }
  std::filesystem::remove(index);
  EXPECT_EQ(OpenSafetensors(folder.path())->Names(), (std::vector<std::string>{"a", "b"}));
  WriteSafetensors(folder / "m-3.safetensors", second);
  EXPECT_THROW(OpenSafetensors(folder.path()), Error) << "b is in two files";
}

TEST(ReadTensorTest, EveryPlainTypeConverts) {
  MemoryTensors m;
  m.Add("f64", DType::kF64, {2}, BytesOf<double>({0.1, -3}));
  m.Add("f16", DType::kF16, {3}, BytesOf<uint16_t>({0x3c00, 0x0001, 0xc500}));
  m.Add("bf16", DType::kBF16, {2}, BytesOf<uint16_t>({0x3f80, 0xc0a0}));
  m.Add("e4m3", DType::kF8E4M3, {5}, BytesOf<uint8_t>({0x38, 0x7e, 0x01, 0xb8, 0x7f}));
  m.Add("e5m2", DType::kF8E5M2, {3}, BytesOf<uint8_t>({0x3c, 0x7b, 0x01}));
  m.Add("i8", DType::kI8, {2}, BytesOf<int8_t>({-128, 127}));
  m.Add("i64", DType::kI64, {1}, BytesOf<int64_t>({-(int64_t{1} << 40)}));
  m.Add("u64", DType::kU64, {1}, BytesOf<uint64_t>({~uint64_t{0}}));
  m.Add("bool", DType::kBool, {2}, BytesOf<uint8_t>({0, 1}));
  EXPECT_EQ(ReadFloats(m, "f64"), (std::vector<float>{0.1f, -3}));
  EXPECT_EQ(ReadFloats(m, "f16"), (std::vector<float>{1, 0x1p-24f, -5}));
  EXPECT_EQ(ReadFloats(m, "bf16"), (std::vector<float>{1, -5}));
  const auto e4m3 = ReadFloats(m, "e4m3");
  EXPECT_EQ(std::vector<float>(e4m3.begin(), e4m3.begin() + 4), (std::vector<float>{1, 448, 0x1p-9f, -1}));
  EXPECT_NE(e4m3[4], e4m3[4]);
  EXPECT_EQ(ReadFloats(m, "e5m2"), (std::vector<float>{1, 57344, 0x1p-16f}));
  EXPECT_EQ(ReadFloats(m, "i8"), (std::vector<float>{-128, 127}));
  EXPECT_EQ(ReadFloats(m, "i64"), (std::vector<float>{-0x1p40f}));
  EXPECT_EQ(ReadFloats(m, "bool"), (std::vector<float>{0, 1}));
  EXPECT_EQ(ReadIntegers(m, "i8"), (std::vector<int64_t>{-128, 127}));
  EXPECT_EQ(ReadIntegers(m, "i64"), (std::vector<int64_t>{-(int64_t{1} << 40)}));
  EXPECT_THROW(ReadIntegers(m, "u64"), Error);
  EXPECT_THROW(ReadIntegers(m, "f16"), Error);
}

TEST(SafetensorsTest, ReadsATrainedModel) {
  const char* data = std::getenv("LOWBIT_DATA");
  if (data == nullptr) GTEST_SKIP() << "LOWBIT_DATA is not set";
  const auto path = std::filesystem::path(data) / "lm-tinystories-656k/model.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const SafetensorsFile file(path);
  const TensorView head = file.Get("lm_head.weight");
  EXPECT_EQ(head.shape, (std::vector<int64_t>{2048, 128}));
  for (const std::string& name : file.Names()) {
    for (float value : ReadFloats(file, name)) ASSERT_LT(std::abs(value), 100.f) << name;
  }
}

}  // namespace
}  // namespace lowbit
