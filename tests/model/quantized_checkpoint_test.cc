#include "lowbit/model/quantized_checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "lowbit/base/error.h"
#include "lowbit/model/random_weights.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

class GptqFolderTest : public testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("lowbit-gptq-test-" + std::to_string(getpid()));
  void TearDown() override { fs::remove_all(folder_); }

  static Model Tiny(const char* format) {
    LlamaConfig c;
    c.vocab = 64, c.width = 64, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_size = 16, c.ffn = 96,
    c.context = 64;
    return RandomModel(c, ParseFormat(format), DType::kF16, 5);
  }
};

TEST_F(GptqFolderTest, CodesComeBackInBothVersions) {
  for (const char* format : {"int2-g32", "int3-g32", "int4-g32-asym", "int4", "int8-g32", "int4-asym"}) {
    for (const auto version : {GptqLayout::Version::kV1, GptqLayout::Version::kV2}) {
      const Model model = Tiny(format);
      WriteGptqFolder(model, folder_, version);
      const Model back = OpenModel(folder_);
      EXPECT_EQ(back.kind, "quantized Hugging Face folder");
      for (const Value& value : model.graph->values) {
        if (value.kind != ValueKind::kWeight || value.name.find("_proj") == std::string::npos) continue;
        const Matrix matrix = back.weights->Load(value.name);
        EXPECT_TRUE(matrix.packed()) << format << " " << value.name;
        EXPECT_EQ(ToFloats(matrix), ToFloats(model.weights->Load(value.name))) << format << " " << value.name;
        EXPECT_EQ(back.weights->Floats(value.name), ToFloats(matrix)) << format << " " << value.name;
      }
      fs::remove_all(folder_);
    }
  }
}

TEST_F(GptqFolderTest, FormatsThatGptqLacksAreNamed) {
  for (const char* format : {"q5_1", "q4_1", "bf16"}) {
    EXPECT_THROW(WriteGptqFolder(Tiny(format), folder_, GptqLayout::Version::kV2), Error) << format;
    EXPECT_FALSE(fs::exists(folder_ / "model.safetensors"));
  }
}

TEST_F(GptqFolderTest, AMethodThatIsNotKnownIsNamedNeverReadAsFloats) {
  const auto source = std::make_shared<MemoryTensors>();
  for (const char* config :
       {R"({"quant_method": "bitsandbytes"})", R"({"quant_method": "awq", "version": "gemv"})",
        R"({"quant_method": "gptq", "checkpoint_format": "marlin"})",
        R"({"quant_method": "compressed-tensors", "format": "float-quantized"})", "[]"}) {
    EXPECT_THROW(QuantizedCheckpoint(source, nlohmann::json::parse(config), "config.json"), Error) << config;
  }
}

}  // namespace
}  // namespace lowbit
