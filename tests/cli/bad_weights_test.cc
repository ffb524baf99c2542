// NaN and infinity among the weights, and statistics that no factorization survives.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "lowbit/base/float16.h"
#include "lowbit/io/safetensors.h"
#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

// Sets elements of one tensor of the embedded model to `value`: from `first`, `count` of them.
void Spoil(const CopiedModel& model, const std::string& victim, float value, size_t first, size_t count = 1) {
  const SafetensorsFile source(kEmbedded / "model.safetensors");
  MemoryTensors tensors;
  for (const std::string& name : source.Names()) {
    const TensorView view = source.Get(name);
    std::vector<std::byte> bytes(view.bytes.begin(), view.bytes.end());
    const uint16_t half = FloatToBF16(value);
    for (size_t i = first; name == victim && i < first + count; ++i)
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    tensors.Add(name, std::get<DType>(view.type), view.shape, std::move(bytes));
  }
  WriteSafetensors(model / "model.safetensors", tensors);
}

constexpr const char* kCalibration = "/models/gutenberg/calibration.txt";

class BadWeights : public testing::Test {
 protected:
  std::string Quantize(const std::string& options) const {
    return "quantize '" + model_.path().string() + "' -o '" + model_.Beside("q").string() + "' --text '" +
           LOWBIT_SOURCE_DIR + kCalibration + "' --samples 2 --length 32 --group 32 " + options;
  }
  // All commands that compute with weights or copy them.
  void ExpectEveryCommandNames(const std::string& tensor, const std::string& place) {
    const std::string model = "'" + model_.path().string() + "'",
                      file = (model_ / "model.safetensors").string();
    for (const std::string& options :
         {std::string("--recipe rtn"), std::string("--recipe mse"), std::string("--recipe imatrix"),
          std::string("--recipe gptq"), std::string("--recipe gptq --no-true-sequential"),
          std::string("--recipe imatrix --format q4_1"), std::string("--recipe rtn --tensor .=skip")}) {
      SCOPED_TRACE(options);
      ExpectFailure(RunProgram(Quantize(options)), 1, file, tensor, place);
      EXPECT_FALSE(fs::exists(model_.Beside("q")));
      fs::remove_all(model_.Beside("q.work"));
    }
    for (const std::string& command :
         {"generate " + model + " --prompt 'It was' -n 3",
          "generate " + model + " --prompt 'It was' -n 3 --temperature 0",
          "eval " + model + " --text '" + LOWBIT_SOURCE_DIR + kCalibration + "' --max-tokens 100",
          "eval '" + kEmbedded.string() + "' --reference " + model + " --text '" + LOWBIT_SOURCE_DIR +
              kCalibration + "' --max-tokens 100",
          "export " + model + " --to gguf -o '" + model_.Beside("e").string() + "'"}) {
      SCOPED_TRACE(command);
      ExpectFailure(RunProgram(command), 1, file, tensor, place);
    }
    EXPECT_FALSE(fs::exists(model_.Beside("e")));
  }

  const CopiedModel model_;
};

TEST_F(BadWeights, NanInAMatrix) {
  Spoil(model_, "model.layers.1.mlp.up_proj.weight", NAN, 3 * 256 + 5);
  ExpectEveryCommandNames("model.layers.1.mlp.up_proj.weight", "nan at row 3, column 5");
}
TEST_F(BadWeights, InfinityInTheEmbedding) {
  // Every row: whatever the prompt is, it meets one.
  Spoil(model_, "model.embed_tokens.weight", std::numeric_limits<float>::infinity(), 0, 2048 * 256);
  ExpectEveryCommandNames("model.embed_tokens.weight", "inf at row 0, column 0");
}
TEST_F(BadWeights, NanInANorm) {
  Spoil(model_, "model.layers.2.input_layernorm.weight", NAN, 4);
  ExpectEveryCommandNames("model.layers.2.input_layernorm.weight", "nan at entry 4");
}
TEST_F(BadWeights, InfinityInTheLastNorm) {
  Spoil(model_, "model.norm.weight", -std::numeric_limits<float>::infinity(), 7);
  ExpectEveryCommandNames("model.norm.weight", "-inf at entry 7");
}

TEST_F(BadWeights, FewerTokensThanColumnsWithoutDampingAreDamped) {
  const Outcome outcome =
      RunShell("'" + kProgram + "' " + Quantize("--json --samples 1 --length 8 --damping 0") + " 2>&1");
  EXPECT_EQ(outcome.code, 2) << "an option given twice";
  const Outcome solved = RunProgram("quantize '" + model_.path().string() + "' -o '" +
                                    model_.Beside("q").string() + "' --text '" + LOWBIT_SOURCE_DIR +
                                    kCalibration + "' --samples 1 --length 8 --damping 0 --json");
  ASSERT_EQ(solved.code, 0) << solved.output;
  for (const auto& layer : nlohmann::json::parse(solved.output)["layers"]) {
    if (layer["method"] != "gptq") continue;
    EXPECT_GT(layer["damping"].get<double>(), 0) << layer["name"];
    EXPECT_EQ(layer["note"], "") << layer["name"];
  }
  for (const char* damping : {"nan", "-1", "inf", "1e+300"}) {
    ExpectFailure(RunProgram(Quantize(std::string("--damping ") + damping)), 2, "--damping", damping);
    EXPECT_FALSE(fs::exists(model_.Beside("q.work"))) << damping;
  }
}

}  // namespace
}  // namespace lowbit
