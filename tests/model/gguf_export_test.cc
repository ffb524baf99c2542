#include "lowbit/model/gguf_export.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "lowbit/base/error.h"
#include "lowbit/model/bundle.h"
#include "lowbit/model/gguf_model.h"
#include "lowbit/model/random_weights.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

LlamaConfig Tiny(const std::string& family) {
  LlamaConfig c;
  c.family = family;
  c.vocab = 64, c.width = 256, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_size = 64, c.ffn = 512,
  c.context = 64;
  c.qkv_bias = family == "qwen2";
  c.qk_norm = family == "qwen3";
  return c;
}

class GgufExportTest : public testing::Test {
 protected:
  fs::path path_ = fs::temp_directory_path() / ("lowbit-export-test-" + std::to_string(getpid()) + ".gguf");
  void TearDown() override { fs::remove(path_); }
};

TEST_F(GgufExportTest, EveryValueComesBackBitForBit) {
  for (const char* family : {"llama", "qwen2", "qwen3"}) {
    for (const char* format : {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q4_1", "q5_1", "int4-g32", "int5-g64",
                               "int8", "f16", "bf16", "f32"}) {
      const Model model = RandomModel(Tiny(family), ParseFormat(format), ParseFormat("int8-g32"), 3);
      WriteGguf(model, path_);
      const Model back = OpenModel(path_);
      ASSERT_EQ(back.config.heads, 4);
      ASSERT_EQ(back.config.qkv_bias, model.config.qkv_bias);
      for (const Value& value : model.graph->values) {
        if (value.kind != ValueKind::kWeight) continue;
        if (value.shape.size() == 1) continue;  // random norms are all ones
        // The random weights are made anew by every Load, from the same seed.
        const std::vector<float> expected = ToFloats(model.weights->Load(value.name));
        const std::vector<float> found = back.weights->Floats(value.name);
        ASSERT_EQ(found, expected) << family << " " << format << " " << value.name;
        ASSERT_EQ(ToFloats(back.weights->Load(value.name)), expected) << format << " " << value.name;
      }
    }
  }
}

TEST_F(GgufExportTest, AFormatThatGgufLacksIsNamedWithTheTensor) {
  for (const char* format : {"int3-g64", "int4-g32-asym", "int6-g32"}) {
    const Model model = RandomModel(Tiny("llama"), ParseFormat(format), ParseFormat("int8-g32"), 3);
    try {
      WriteGguf(model, path_);
      ADD_FAILURE() << format;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("model.layers.0.self_attn.q_proj.weight"), std::string::npos);
    }
    EXPECT_FALSE(fs::exists(path_));
  }
}

TEST(GgufNames, EveryTensorOfEveryFamilyHasItsOwn) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"}) {
    LlamaConfig c = Tiny(family);
    c.qk_norm = true;
    c.post_norms = c.family == "gemma3_text";
    std::set<std::string> names;
    for (const Value& value : BuildLlama(c).values) {
      if (value.kind != ValueKind::kWeight) continue;
      const std::string name = GgufName(value.name, family);
      EXPECT_FALSE(name.empty()) << value.name;
      EXPECT_TRUE(names.insert(name).second) << name;
    }
  }
}

}  // namespace
}  // namespace lowbit
