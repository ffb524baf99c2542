#include "lowbit/model/bundle.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/file.h"
#include "tests/io/scratch.h"
#include "tests/kernel/random_matrix.h"

namespace lowbit {
namespace {

BundleHeader HeaderWith(const PackedFormat& format) {
  BundleHeader header;
  LlamaConfig& c = header.config;
  c.vocab = 64, c.width = 256, c.layers = 1, c.heads = 4, c.kv_heads = 2, c.head_size = 64, c.ffn = 256;
  header.packed["matrix"] = {.format = format, .rows = 24, .cols = 256};
  return header;
}

std::shared_ptr<const SafetensorsFile> Open(const std::filesystem::path& path) {
  return std::make_shared<const SafetensorsFile>(path);
}

TEST(Bundle, CodesComeBack) {
  const ScratchFolder folder;
  for (const std::string& name : AllStoredFormats()) {
    const PackedFormat format = PackedFormatOf(name);
    const QuantizedMatrix m = RandomQuantized(format, 24, 256, 5);
    BundleWriter writer(folder / name, HeaderWith(format));
    writer.Write("matrix", m);
    writer.Finish();
    const QuantizedMatrix back = *Codes(Bundle(Open(folder / name)), "matrix");
    EXPECT_TRUE(back.format == m.format) << name;
    EXPECT_EQ(back.codes, m.codes) << name;
    EXPECT_EQ(back.sub_scale, m.sub_scale) << name;
    EXPECT_EQ(back.zero, m.zero) << name;
    EXPECT_EQ(back.scale_code, m.scale_code) << name;
    EXPECT_EQ(back.tensor_scale, m.tensor_scale) << name;
  }
}

TEST(Bundle, TernaryCodesTakeATritEach) {
  const ScratchFolder folder;
  const PackedFormat format = PackedFormatOf("ternary-g64");
  const int64_t rows = 250, cols = 1100;  // neither whole panels nor whole tiles
  BundleHeader header = HeaderWith(format);
  header.packed["matrix"] = {.format = format, .rows = rows, .cols = cols};
  const QuantizedMatrix m = RandomQuantized(format, rows, cols, 5);
  BundleWriter writer(folder / "t", header);
  writer.Write("matrix", m);
  writer.Finish();
  {
    const Bundle bundle(Open(folder / "t"));
    const QuantizedMatrix back = *Codes(bundle, "matrix");
    EXPECT_EQ(back.codes, m.codes);
    EXPECT_EQ(back.scale, m.scale);
    const int64_t padded = 256 * 1120, trits = (padded + 4) / 5, scales = 256 * 18 * 2;
    EXPECT_LT(std::abs(static_cast<int64_t>(bundle.StoredBytes("matrix")) - trits - scales), 128);
  }
  // A byte that stands for no five trits.
  std::string bytes = ReadFile(folder / "t");
  const uint64_t start = 8 + *reinterpret_cast<const uint64_t*>(bytes.data());
  bytes[start + 70] = 1;
  WriteBytes(folder / "t", std::as_bytes(std::span(bytes)));
  try {
    Bundle(Open(folder / "t")).Load("matrix");
    ADD_FAILURE() << "a wrong byte was read";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("tensor matrix"), std::string::npos) << error.what();
  }
}

// The header with another version; its length stays.
void SetVersion(const std::filesystem::path& path, char version) {
  std::string bytes = ReadFile(path);
  const std::string key = "\"lowbit.version\":\"";
  const size_t at = bytes.find(key);
  ASSERT_NE(at, std::string::npos);
  bytes[at + key.size()] = version;
  WriteBytes(path, std::as_bytes(std::span(bytes)));
}

TEST(Bundle, Version1IsReadButForQ2K) {
  const ScratchFolder folder;
  for (const std::string name : {"int4-g32", "q4_k", "q2_k"}) {
    const PackedFormat format = PackedFormatOf(name);
    BundleWriter writer(folder / name, HeaderWith(format));
    writer.Write("matrix", RandomQuantized(format, 24, 256, 5));
    writer.Finish();
    SetVersion(folder / name, '1');
    if (name != "q2_k") {
      EXPECT_TRUE(Bundle(Open(folder / name)).Has("matrix"));
      continue;
    }
    try {
      const Bundle bundle(Open(folder / name));
      ADD_FAILURE() << "a q2_k tensor of version 1 was read";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("matrix is q2_k"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("quantize the model again"), std::string::npos);
    }
    SetVersion(folder / name, '3');
    EXPECT_THROW(Bundle(Open(folder / name)), Error);
  }
}

}  // namespace
}  // namespace lowbit
