#include "lowbit/format/ggml_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/format/tensor_floats.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/read_tensor.h"
#include "lowbit/io/safetensors.h"

namespace lowbit {
namespace {

class GgmlTypeTest : public testing::TestWithParam<GgmlType> {};

std::string TypeName(const testing::TestParamInfo<GgmlType>& info) {
  return std::string(NameOf(info.param));
}

INSTANTIATE_TEST_SUITE_P(All, GgmlTypeTest, testing::ValuesIn(AllGgmlTypes().begin(), AllGgmlTypes().end()),
                         TypeName);

TEST_P(GgmlTypeTest, DequantizesBitIdenticallyToThePythonPackage) {
  const SafetensorsFile fixtures(std::filesystem::path(LOWBIT_SOURCE_DIR) /
                                 "tests/format/data/ggml_blocks.safetensors");
  const std::string name(NameOf(GetParam()));
  const TensorView blocks = fixtures.Get(name + ".blocks");
  const std::vector<float> expected = ReadFloats(fixtures, name + ".values");
  ASSERT_EQ(blocks.shape[1], BlockSizeOf(GetParam()).bytes);
  std::vector<float> values(expected.size());
  DequantizeGgml(GetParam(), blocks.bytes, values);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected[i]))
        << "value " << i << ": " << values[i] << " instead of " << expected[i];
  }
}

TEST_P(GgmlTypeTest, AnyBytesDequantizeToTheFormula) {
  // Unpacked fields and the documented formula give what the fast path gives; packing gives the bytes back.
  Random random(3, static_cast<uint64_t>(GetParam()));
  const BlockSize size = BlockSizeOf(GetParam());
  const auto layout = IntegerLayoutOf(GetParam());
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<std::byte> bytes(static_cast<size_t>(size.bytes)), again(bytes.size());
    for (std::byte& b : bytes) b = static_cast<std::byte>(random.Below(256));
    std::vector<float> values(static_cast<size_t>(size.elements));
    DequantizeGgml(GetParam(), bytes, values);
    if (!layout) continue;
    GgmlBlock block;
    UnpackGgml(GetParam(), bytes, block);
    if (!std::isfinite(F16ToFloat(block.d)) || !std::isfinite(F16ToFloat(block.dmin))) continue;
    for (int i = 0; i < layout->block; ++i) {
      const int g = i / layout->group;
      ASSERT_LT(block.code[i], 1 << layout->bits);
      volatile float scale = F16ToFloat(block.d) * static_cast<float>(block.scale[g]);
      volatile float value = scale * static_cast<float>(block.code[i] - layout->zero);
      volatile float min = F16ToFloat(block.dmin) * static_cast<float>(block.min[g]);
      if (layout->min_high > 0) value = value - min;
      ASSERT_EQ(values[static_cast<size_t>(i)], value) << i;
    }
    if (GetParam() == GgmlType::kTQ1_0) continue;  // several bytes mean the same digits
    PackGgml(GetParam(), block, again);
    EXPECT_EQ(bytes, again);
  }
}

TEST_P(GgmlTypeTest, ExtremeFieldsRoundTrip) {
  const auto layout = IntegerLayoutOf(GetParam());
  if (!layout) {
    GgmlBlock block;
    std::vector<std::byte> bytes(static_cast<size_t>(BlockSizeOf(GetParam()).bytes));
    EXPECT_THROW(UnpackGgml(GetParam(), bytes, block), Error);
    EXPECT_THROW(PackGgml(GetParam(), block, bytes), Error);
    return;
  }
  const int high = GetParam() == GgmlType::kTQ1_0 ? 2 : (1 << layout->bits) - 1;
  std::vector<std::byte> bytes(static_cast<size_t>(BlockSizeOf(GetParam()).bytes));
  Random random(5, static_cast<uint64_t>(GetParam()));
  for (int repeat = 0; repeat < 20; ++repeat) {
    GgmlBlock block{}, back{};
    block.d = 0x3c00;
    if (layout->min_high > 0) block.dmin = 0xbc01;
    for (int i = 0; i < layout->block; ++i)
      block.code[i] = static_cast<uint8_t>(random.Below(2) != 0 ? high : 0);
    block.scale.fill(1);
    block.min.fill(layout->min_high > 0 ? 1 : 0);
    for (int g = 0; g < layout->groups(); ++g) {
      block.scale[g] = static_cast<int8_t>(random.Below(2) != 0 ? layout->scale_high : layout->scale_low);
      if (layout->min_high > 1)
        block.min[g] = static_cast<uint8_t>(random.Below(2) != 0 ? layout->min_high : 0);
    }
    PackGgml(GetParam(), block, bytes);
    UnpackGgml(GetParam(), bytes, back);
    EXPECT_EQ(back.d, block.d);
    EXPECT_EQ(back.dmin, block.dmin);
    for (int i = 0; i < layout->block; ++i) ASSERT_EQ(back.code[i], block.code[i]);
    for (int g = 0; g < layout->groups(); ++g) {
      ASSERT_EQ(back.scale[g], block.scale[g]);
      ASSERT_EQ(back.min[g], block.min[g]);
    }
    if (high < 255) {
      block.code[layout->block - 1] = static_cast<uint8_t>(high + 1);
      EXPECT_THROW(PackGgml(GetParam(), block, bytes), Error);
    }
  }
}

TEST_P(GgmlTypeTest, WrongSizesThrow) {
  const BlockSize size = BlockSizeOf(GetParam());
  std::vector<std::byte> bytes(static_cast<size_t>(size.bytes) * 2);
  std::vector<float> values(static_cast<size_t>(size.elements) * 2);
  EXPECT_NO_THROW(DequantizeGgml(GetParam(), bytes, values));
  EXPECT_THROW(DequantizeGgml(GetParam(), std::span(bytes).first(bytes.size() - 1), values), Error);
  EXPECT_THROW(DequantizeGgml(GetParam(), bytes, std::span(values).first(values.size() - 1)), Error);
}

TEST(GgmlBlocksTest, ScalesOutOfRangeThrow) {
  std::vector<std::byte> bytes(144);
  GgmlBlock block{};
  block.scale[3] = 64;
  EXPECT_THROW(PackGgml(GgmlType::kQ4_K, block, bytes), Error);
  block.scale[3] = 63;
  EXPECT_NO_THROW(PackGgml(GgmlType::kQ4_K, block, bytes));
  block.min[7] = 64;
  EXPECT_THROW(PackGgml(GgmlType::kQ4_K, block, bytes), Error);
}

TEST(TensorFloatsTest, RowsOfBlockedAndPlainTensors) {
  const SafetensorsFile fixtures(std::filesystem::path(LOWBIT_SOURCE_DIR) /
                                 "tests/format/data/ggml_blocks.safetensors");
  const std::vector<float> all = TensorToFloats(fixtures, "Q4_K.values");
  EXPECT_EQ(TensorRowsToFloats(fixtures, "Q4_K.values", 1, 2),
            std::vector<float>(all.begin() + 256, all.end()));
  EXPECT_THROW(TensorRowsToFloats(fixtures, "Q4_K.values", 2, 2), Error);

  const TensorView blocks = fixtures.Get("Q4_K.blocks");
  GgufWriter writer(testing::TempDir() + "lowbit_rows.gguf", {}, {{"w", GgmlType::kQ4_K, {3, 256}}});
  writer.Write("w", blocks.bytes);
  writer.Finish();
  const GgufFile file(testing::TempDir() + "lowbit_rows.gguf");
  EXPECT_EQ(TensorToFloats(file, "w"), all);
  EXPECT_EQ(TensorRowsToFloats(file, "w", 1, 1), std::vector<float>(all.begin() + 256, all.begin() + 512));
  EXPECT_THROW(ReadFloats(file, "w"), Error) << "blocks are not plain values";
  std::filesystem::remove(testing::TempDir() + "lowbit_rows.gguf");
}

TEST(TensorFloatsTest, Q8ModelIsCloseToItsFloatModel) {
  const char* data = std::getenv("LOWBIT_DATA");
  if (data == nullptr) GTEST_SKIP() << "LOWBIT_DATA is not set";
  const auto folder = std::filesystem::path(data) / "lm-tinystories-656k";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const SafetensorsFile reference(folder / "model.safetensors");
  const GgufFile quantized(folder / "TinyStories-656K-Q8_0.gguf");
  // Matrices whose rows GGUF does not permute.
  const std::pair<const char*, const char*> pairs[] = {
      {"token_embd.weight", "lm_head.weight"},
      {"blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"},
      {"blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"},
      {"blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"},
  };
  double difference = 0, total = 0;
  for (const auto& [ours, theirs] : pairs) {
    const std::vector<float> q = TensorToFloats(quantized, ours), w = TensorToFloats(reference, theirs);
    ASSERT_EQ(q.size(), w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      difference += std::pow(static_cast<double>(q[i]) - static_cast<double>(w[i]), 2);
      total += std::pow(static_cast<double>(w[i]), 2);
    }
  }
  EXPECT_NEAR(std::sqrt(difference / total), 0.0053, 0.0003);
}

}  // namespace
}  // namespace lowbit
