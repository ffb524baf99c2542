#include "lowbit/io/llama2c.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/io/read_tensor.h"
#include "lowbit/io/rotary_rows.h"
#include "lowbit/io/safetensors.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

using Bytes = std::vector<std::byte>;

// dim 4, hidden 6, 2 layers, 2 heads (size 2), 1 key/value head, 3 words, 5 positions.
constexpr int kMatrices = 2 * (2 * 4 + 4 * 4 + 2 * 4 + 2 * 4 + 4 * 4 + 3 * 4 * 6);
constexpr int kEmbedding = 3 * 4;

Bytes Legacy(bool tied) {
  std::vector<int32_t> header = {4, 6, 2, 2, 1, tied ? 3 : -3, 5};
  std::vector<float> weights(kEmbedding + kMatrices + 4 + 2 * 5 + (tied ? 0 : kEmbedding));
  std::iota(weights.begin(), weights.end(), 1.f);
  Bytes bytes = BytesOf(header);
  const Bytes tail = BytesOf(weights);
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

Bytes Version1(int32_t version, uint8_t tied) {
  Bytes bytes = BytesOf<int32_t>({0x616b3432, version, 4, 6, 2, 2, 1, 3, 5});
  bytes.push_back(static_cast<std::byte>(tied));
  bytes.resize(256);
  std::vector<float> weights(kEmbedding + kMatrices + 4 + (tied != 0 ? 0 : kEmbedding));
  std::iota(weights.begin(), weights.end(), 1.f);
  const Bytes tail = BytesOf(weights);
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

TEST(Llama2cTest, SectionsFollowEachOther) {
  for (bool tied : {true, false}) {
    const Bytes bytes = Legacy(tied);
    const Llama2cFile file(bytes, "m");
    EXPECT_EQ(file.header().tied, tied);
    EXPECT_EQ(file.header().vocab, 3);
    EXPECT_EQ(file.Names().size(), 2 + 2 * 9 + (tied ? 0u : 1u));
    EXPECT_EQ(ReadFloats(file, "model.embed_tokens.weight").front(), 1);
    EXPECT_EQ(ReadFloats(file, "model.layers.1.input_layernorm.weight").front(), 1 + 12 + 4);
    EXPECT_EQ(file.Get("model.layers.0.self_attn.k_proj.weight").shape, (std::vector<int64_t>{2, 4}));
    EXPECT_EQ(file.Get("model.layers.0.mlp.down_proj.weight").shape, (std::vector<int64_t>{4, 6}));
    EXPECT_EQ(ReadFloats(file, "model.norm.weight").front(), 1 + kEmbedding + kMatrices);
    EXPECT_EQ(file.Has("lm_head.weight"), !tied);
  }
  const Bytes bytes = Version1(1, 0);
  const Llama2cFile file(bytes, "m");
  EXPECT_EQ(ReadFloats(file, "model.layers.0.input_layernorm.weight").front(), 1);
  EXPECT_EQ(ReadFloats(file, "model.norm.weight").front(), 1 + 16);
  EXPECT_EQ(ReadFloats(file, "model.embed_tokens.weight").front(), 1 + 20);
  EXPECT_EQ(ReadFloats(file, "lm_head.weight").front(), 1 + kEmbedding + kMatrices + 4);
}

TEST(Llama2cTest, WrongLengthsAndHeadersAreRefused) {
  Bytes longer = Legacy(true);
  longer.push_back(std::byte{0});
  EXPECT_THROW(Llama2cFile(longer, "m"), Error);
  const Bytes whole = Legacy(false);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(Llama2cFile(std::span(whole).first(size), "m"), Error) << size;
  }
  EXPECT_THROW(Llama2cFile(Version1(2, 0), "m"), Error) << "int8 groups";
  EXPECT_THROW(Llama2cFile(Version1(1, 2), "m"), Error);
  for (size_t field = 0; field < 7; ++field) {
    for (int32_t lie : {0, -1, 3, 7, 1 << 30, INT32_MIN, INT32_MAX}) {
      Bytes bytes = Legacy(true);
      std::memcpy(bytes.data() + 4 * field, &lie, 4);
      if (field == 5 && lie == 3) continue;
      EXPECT_THROW(Llama2cFile(bytes, "m"), Error) << field << " " << lie;
    }
  }
}

TEST(RotaryRowsTest, PairsMoveToHalvesAndBack) {
  std::vector<uint16_t> rows(2 * 6 * 3);  // 2 heads of 6 rows of 3
  std::iota(rows.begin(), rows.end(), uint16_t{0});
  const Bytes bytes = BytesOf(rows);
  const Bytes halves = NeighboursToHalves(bytes, 2, 6);
  const auto* moved = reinterpret_cast<const uint16_t*>(halves.data());
  const int order[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
  for (int r = 0; r < 12; ++r) EXPECT_EQ(moved[3 * r], 3 * order[r]);
  EXPECT_EQ(HalvesToNeighbours(halves, 2, 6), bytes);
  EXPECT_THROW(NeighboursToHalves(bytes, 2, 5), Error);
  EXPECT_THROW(NeighboursToHalves(bytes, 7, 2), Error);
}

TEST(Llama2cTest, EqualsItsSafetensorsFileBitForBit) {
  const char* data = std::getenv("LOWBIT_DATA");
  if (data == nullptr) GTEST_SKIP() << "LOWBIT_DATA is not set";
  const auto folder = std::filesystem::path(data) / "lm-tinystories-656k";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const SafetensorsFile reference(folder / "model.safetensors");
  const Llama2cFile file(folder / "tinystories-656k.llama2c.bin");
  EXPECT_TRUE(file.header().tied);
  EXPECT_EQ(file.Names().size(), reference.Names().size());
  for (const std::string& name : reference.Names()) {
    const TensorView expected = reference.Get(name);
    const TensorView view = file.Get(name == "lm_head.weight" ? "model.embed_tokens.weight" : name);
    EXPECT_EQ(view.shape, expected.shape) << name;
    EXPECT_TRUE(
        std::equal(view.bytes.begin(), view.bytes.end(), expected.bytes.begin(), expected.bytes.end()))
        << name;
  }
}

}  // namespace
}  // namespace lowbit
