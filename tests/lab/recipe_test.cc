// Recipes of `lowbit train`: a mistake is named, never ignored.
#include "lab/command/recipe.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "tests/io/scratch.h"

namespace lowbit::lab {
namespace {

const std::string kModel =
    "[model]\nwidth = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nffn = 96\ncontext = 32\n";
const std::string kData = "[data]\nitem = \"text\"\n";
const std::string kTrain = "[train]\nbatch_tokens = 128\n";

class Recipe : public testing::Test {
 protected:
  TrainRecipe Read(const std::string& toml) {
    WriteFile(file_, toml);
    return ReadTrainRecipe(file_);
  }
  std::string Refusal(const std::string& toml) {
    try {
      Read(toml);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find(file_.string()), 0u) << error.what();
      return error.what();
    }
    return "nothing was refused";
  }
  void ExpectRefusal(const std::string& toml, const std::string& part) {
    const std::string message = Refusal(toml);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }

  ScratchFolder folder_;
  std::filesystem::path file_ = folder_ / "train.toml";
};

TEST_F(Recipe, IsReadWithItsDefaults) {
  const TrainRecipe recipe =
      Read(kModel + "[tokenizer]\nvocab = 512\n" + kData + kTrain +
           "seed = 3\nsteps = 7\noptimizer = \"adamw\"\nschedule = \"cosine\"\nprecision = \"f32\"\n");
  EXPECT_EQ(recipe.model.vocab, 512);
  EXPECT_EQ(recipe.model.head_size, 16);
  EXPECT_EQ(recipe.windows.block, 32);
  EXPECT_EQ(recipe.windows.blocks, 4);
  EXPECT_EQ(recipe.seed, 3u);
  EXPECT_EQ(recipe.steps, 7);
  EXPECT_EQ(recipe.objective.rule, Rule::kAdamW);
  EXPECT_EQ(recipe.objective.precision, Precision::kFloat32);
  EXPECT_EQ(recipe.item, "text");
  EXPECT_TRUE(recipe.model.tied);
}

TEST_F(Recipe, FamiliesBringTheirParts) {
  EXPECT_TRUE(Read(kModel + "family = \"qwen2\"\n" + kData + kTrain).model.qkv_bias);
  EXPECT_TRUE(Read(kModel + "family = \"qwen3\"\n" + kData + kTrain).model.qk_norm);
  EXPECT_FALSE(Read(kModel + "tied = false\n" + kData + kTrain).model.tied);
  ExpectRefusal(kModel + "family = \"lama\"\n" + kData + kTrain,
                "model.family is 'lama'; known are llama, mistral, qwen2, qwen3");
}

TEST_F(Recipe, UnknownKeysAndSectionsAreNamedBesideTheKnown) {
  ExpectRefusal(kModel + "depth = 3\n" + kData + kTrain,
                "model.depth is unknown; known keys are context, family");
  ExpectRefusal(kModel + kData + kTrain + "stepz = 3\n", "train.stepz is unknown");
  ExpectRefusal(kModel + kData + kTrain + "[extra]\na = 1\n",
                "[extra] is unknown; known sections are data, model");
  ExpectRefusal(kModel + kData + kTrain + "[tokenizer]\nvocabulary = 1\n", "tokenizer.vocabulary is unknown");
}

TEST_F(Recipe, AWrongValueIsNamedBesideWhatWouldBeRight) {
  const auto model = [&](const std::string& key, const std::string& value) {
    const size_t at = kModel.find("\n" + key + " ") + 1;
    return std::string(kModel).replace(at, kModel.find('\n', at) - at, key + " = " + value) + kData + kTrain;
  };
  for (const char* key : {"width", "layers", "heads", "kv_heads", "ffn", "context"}) {
    for (const char* value : {"0", "-4"}) {
      ExpectRefusal(model(key, value),
                    std::string("model.") + key + " is " + value + "; it must be at least 1");
    }
    ExpectRefusal(model(key, "\"x\""), std::string("model.") + key + " has the wrong type");
  }
  const auto train = [&](const std::string& line) { return kModel + kData + kTrain + line + "\n"; };
  ExpectRefusal(kModel + kData + "[train]\nbatch_tokens = 0\n",
                "train.batch_tokens is 0; it must be at least 1");
  ExpectRefusal(kModel + kData + "[train]\nbatch_tokens = 100\n", "must be a multiple of the context 32");
  ExpectRefusal(train("steps = 0"), "train.steps is 0");
  ExpectRefusal(train("micro_tokens = 0"), "train.micro_tokens is 0");
  ExpectRefusal(train("short_length = 5"), "train.short_length 5 must divide the context 32");
  ExpectRefusal(train("rate = nan"), "train.rate is nan");
  ExpectRefusal(train("warmup = 1.5"), "train.warmup is 1.5; it must lie in [0, 1]");
  ExpectRefusal(train("schedule = \"sine\""), "train.schedule is 'sine'; known are constant, cosine, linear");
  ExpectRefusal(train("optimizer = \"sgd\""), "train.optimizer is 'sgd'; known are muon, adamw");
  ExpectRefusal(train("precision = \"f16\""), "train.precision is 'f16'; known are bf16, f32");
  ExpectRefusal(kModel + "[tokenizer]\nvocab = 0\n" + kData + kTrain, "tokenizer.vocab is 0");
  ExpectRefusal(kModel + "[data]\n" + kTrain, "data.item names no folder");
}

TEST_F(Recipe, BrokenTomlIsNamedWithItsLine) {
  ExpectRefusal(kModel + "width = = 3\n", "train.toml:8: ");
}

TEST_F(Recipe, AMissingFileIsNamed) {
  file_ = folder_ / "absent.toml";
  try {
    ReadTrainRecipe(file_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(file_.string()), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lowbit::lab
