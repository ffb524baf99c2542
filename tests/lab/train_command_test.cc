// `lowbit train` as a user meets it: from a folder of texts to a model that the engine runs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "lab/data/text.h"
#include "lowbit/io/file.h"
#include "lowbit/metric/score.h"
#include "tests/io/scratch.h"
#include "tests/lab/tiny_corpus.h"

namespace lowbit::lab {
namespace {

namespace fs = std::filesystem;

const std::string kRecipe = R"(
[model]
width = 32
layers = 2
heads = 4
kv_heads = 2
ffn = 48
context = 32
[tokenizer]
vocab = 320
[data]
item = "tales"
heldout_share = 0.05
[train]
seed = 4
steps = 80
batch_tokens = 256
rate = 1e-2
evaluate_every = 40
precision = "f32"
)";

struct Outcome {
  int code = -1;  // of the exit
  std::string output;
};

class TrainCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ScratchFolder;
    fs::create_directories(*folder_ / "data/tales");
    WriteFile(*folder_ / "data/tales/a.txt", TinyText(900, 1));
    WriteFile(*folder_ / "data/tales/b.txt", TinyText(600, 2));
    WriteFile(*folder_ / "train.toml", kRecipe);
    whole_ = Run("train.toml", "whole");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  // Runs the program with stdout and stderr in a file; `stop` is sent once `stop_at` holds a line.
  static Outcome Run(const std::string& recipe, const std::string& out, bool resume = false,
                     const fs::path& stop_at = {}) {
    const std::string recipe_path = *folder_ / recipe, data = *folder_ / "data", out_path = *folder_ / out,
                      log = *folder_ / (out + ".output");
    std::vector<const char*> arguments = {LOWBIT_BINARY_DIR "/lowbit",
                                          "train",
                                          recipe_path.c_str(),
                                          "--data",
                                          data.c_str(),
                                          "-o",
                                          out_path.c_str()};
    if (resume) arguments.push_back("--resume");
    arguments.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      dup2(file, STDOUT_FILENO);
      dup2(file, STDERR_FILENO);
      execv(arguments[0], const_cast<char* const*>(arguments.data()));
      _exit(127);
    }
    int status = 0;
    bool stopped = stop_at.empty();
    while (waitpid(child, &status, WNOHANG) == 0) {
      std::error_code none_yet;
      if (!stopped && fs::file_size(stop_at, none_yet) > 0 && !none_yet) {
        kill(child, SIGINT);
        stopped = true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(log)};
  }

  static nlohmann::json LastOfLog(const std::string& out) {
    const std::string log = ReadFile(*folder_ / out / "curve.jsonl");
    return nlohmann::json::parse(log.substr(log.rfind('\n', log.size() - 2) + 1));
  }

  static ScratchFolder* folder_;
  static Outcome whole_;
};
ScratchFolder* TrainCommand::folder_ = nullptr;
Outcome TrainCommand::whole_;

TEST_F(TrainCommand, TheEngineMeasuresWhatTheLogSays) {
  ASSERT_EQ(whole_.code, 0) << whole_.output;
  const Model model = OpenModel(*folder_ / "whole");
  EXPECT_EQ(model.kind, "Hugging Face folder");
  EXPECT_EQ(model.end_tokens, std::vector<int32_t>{2});
  EXPECT_EQ(model.weights->StoredAs("model.embed_tokens.weight"), "BF16");
  std::vector<std::string> heldout;
  for (const Document& document :
       LoadCorpus({.folder = *folder_ / "data/tales", .heldout_share = 0.05}).heldout) {
    heldout.push_back(document.text);
  }
  ASSERT_EQ(heldout.size(), 2u);
  const ScoreOptions options{.context = model.config.context};
  ThreadPool pool(2);
  LanguageModel running(model, pool);
  const Scores scores =
      Score(running, nullptr, MakeWindows(*model.tokenizer, heldout, options), options, pool, "test");
  const nlohmann::json last = LastOfLog("whole");
  EXPECT_EQ(last["step"], 80);
  // The engine keeps keys and values in f16.
  EXPECT_NEAR(scores.metrics.bits_per_byte(), last["heldout_bits_per_byte"].get<double>(), 5e-4);
  EXPECT_LT(scores.metrics.bits_per_byte(), 2.0);
}

TEST_F(TrainCommand, BothTokenizersOfTheFolderAreOne) {
  ASSERT_EQ(whole_.code, 0) << whole_.output;
  const fs::path folder = *folder_ / "whole";
  const Tokenizer json = *OpenModel(folder).tokenizer,
                  model = *OpenModel(folder, folder / "tokenizer.model").tokenizer;
  const std::string text = TinyText(50, 9) + "  \xE6\xB0\xB4\t</s> 1234";
  EXPECT_EQ(json.Encode(text), model.Encode(text));
  EXPECT_EQ(json.Encode(text)[0], 1);
}

TEST_F(TrainCommand, CtrlCLeavesAStateThatGoesOnBitForBit) {
  ASSERT_EQ(whole_.code, 0) << whole_.output;
  const Outcome stopped = Run("train.toml", "part", false, *folder_ / "part/curve.jsonl");
  EXPECT_EQ(stopped.code, 1) << stopped.output;
  EXPECT_NE(stopped.output.find("the same command with --resume goes on from"), std::string::npos)
      << stopped.output;
  EXPECT_FALSE(fs::exists(*folder_ / "part/model.safetensors"));
  const Outcome resumed = Run("train.toml", "part", true);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  for (const char* file :
       {"model.safetensors", "curve.jsonl", "config.json", "tokenizer.model", "tokenizer.json"}) {
    EXPECT_EQ(ReadFile(*folder_ / "part" / file), ReadFile(*folder_ / "whole" / file)) << file;
  }
}

TEST_F(TrainCommand, WhatCannotBeTrainedIsRefused) {
  const auto refuse = [&](const std::string& recipe, int code, const std::string& part) {
    WriteFile(*folder_ / "bad.toml", recipe);
    const Outcome outcome = Run("bad.toml", "bad");
    EXPECT_EQ(outcome.code, code) << outcome.output;
    EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output;
    EXPECT_FALSE(fs::exists(*folder_ / "bad/model.safetensors"));
  };
  const auto with = [](const std::string& from, const std::string& to) {
    std::string recipe = kRecipe;
    return recipe.replace(recipe.find(from), from.size(), to);
  };
  refuse(with("seed = 4", "sead = 4"), 1, "bad.toml: train.sead is unknown; known keys are");
  refuse(with("tales", "fables"), 1, "fables: no such folder of texts");
  fs::create_directories(*folder_ / "data/short");
  WriteFile(*folder_ / "data/short/a.txt", TinyText(900, 3).substr(0, 3000));
  std::string narrow = with("tales", "short");
  narrow.replace(narrow.find("context = 32"), 12, "context = 4096");
  narrow.replace(narrow.find("batch_tokens = 256"), 18, "batch_tokens = 4096");
  refuse(narrow, 1, "tokens are fewer than two windows of 4096");
}

}  // namespace
}  // namespace lowbit::lab
