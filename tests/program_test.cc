// The program as a user meets it: quick to start, free of libtorch, with exit codes that scripts can rely on.
#include "tests/cli/program.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/io/scratch.h"

namespace lowbit {
namespace {

TEST(Program, DoesNotLinkTorch) {
  const Outcome outcome = RunShell("ldd '" + kProgram + "'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  ASSERT_NE(outcome.output.find("libc.so"), std::string::npos) << outcome.output;
  for (const char* library : {"torch", "libc10", "libgomp"}) {
    EXPECT_EQ(outcome.output.find(library), std::string::npos) << outcome.output;
  }
}

TEST(Program, StartsWithinFiftyMilliseconds) {
  std::vector<double> seconds;
  for (int i = 0; i < 11; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = RunShell("'" + kProgram + "' --version");
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    ASSERT_EQ(outcome.output.substr(0, 7), "lowbit ");
  }
  std::nth_element(seconds.begin(), seconds.begin() + 5, seconds.end());
  EXPECT_LT(seconds[5], 0.05);
}

TEST(Program, WrongUsageExitsWithTwo) {
  EXPECT_EQ(RunShell("'" + kProgram + "'").code, 2);
  EXPECT_EQ(RunShell("'" + kProgram + "' --no-such-option").code, 2);
  const Outcome outcome = RunShell("'" + kProgram + "' no-such-command");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.output.find("no-such-command"), std::string::npos) << outcome.output;
}

TEST(Program, HelpNamesEveryCommand) {
  const Outcome outcome = RunShell("'" + kProgram + "' --help");
  EXPECT_EQ(outcome.code, 0);
  for (const char* command :
       {"quantize", "imatrix", "eval", "generate", "inspect", "limits", "list", "train"}) {
    EXPECT_NE(outcome.output.find(command), std::string::npos) << command;
  }
}

TEST(Program, LimitsMeasuresAndNamesWhatIsWrong) {
  const std::string limits = "'" + kProgram + "' limits --values 4096 --law gauss";
  const Outcome measured = RunShell(limits + " --format int4 --format lloyd4-gauss --format nvfp4");
  EXPECT_EQ(measured.code, 0) << measured.output;
  EXPECT_NE(measured.output.find("4 bits: lloyd4-gauss"), std::string::npos) << measured.output;
  const Outcome format = RunShell(limits + " --format lloyd4-gaus");
  EXPECT_EQ(format.code, 2) << format.output;
  EXPECT_NE(format.output.find("did you mean lloyd4-gauss?"), std::string::npos) << format.output;
  EXPECT_EQ(RunShell(limits + "ian").code, 2);
  EXPECT_EQ(RunShell("'" + kProgram + "' limits --tensor nowhere").code, 2);
  const std::string model_folder = LOWBIT_SOURCE_DIR "/models/gutenberg";
  const Outcome cache = RunShell(limits + " --format int4 --cache '" + model_folder + "' --text '" +
                                 model_folder + "/heldout.txt'");
  EXPECT_EQ(cache.code, 0) << cache.output;
  for (const char* part : {"keys of gutenberg", "values of gutenberg"})
    EXPECT_NE(cache.output.find(part), std::string::npos) << cache.output;
  EXPECT_EQ(RunShell(limits + " --cache '" + model_folder + "'").code, 2);
  EXPECT_EQ(RunShell(limits + " --vectors '" + model_folder + "/config.json'").code, 1);
  const Outcome file = RunShell("'" + kProgram + "' limits --tensor /no/such/file.gguf:w");
  EXPECT_EQ(file.code, 1) << file.output;
  EXPECT_NE(file.output.find("/no/such/file.gguf"), std::string::npos) << file.output;
}

TEST(Program, AMissingModelFailsWithOneAndNamesTheFile) {
  const Outcome outcome = RunShell("'" + kProgram + "' inspect /no/such/model");
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_NE(outcome.output.find("/no/such/model"), std::string::npos) << outcome.output;
}

// The embedded model with a chat template of its own.
class ProgramWithModel : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(scratch_ / "chat");
    for (const auto& entry : std::filesystem::directory_iterator(model_folder))
      std::filesystem::create_symlink(entry.path(), scratch_ / "chat" / entry.path().filename());
    Write("chat/chat_template.jinja",
          "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}");
  }
  void Write(const std::string& name, const std::string& text) {
    WriteBytes(scratch_ / name, std::as_bytes(std::span(text)));
  }
  Outcome Run(const std::string& arguments) {
    return RunShell("cd '" + scratch_.path().string() + "' && '" + kProgram + "' " + arguments);
  }

  const std::filesystem::path model_folder = LOWBIT_SOURCE_DIR "/models/gutenberg";
  ScratchFolder scratch_;
};

TEST_F(ProgramWithModel, ImportanceMatricesAreGatheredMergedAndUsed) {
  const std::string model = "'" + model_folder.string() + "'",
                    text = " --text '" + model_folder.string() + "/heldout.txt'";
  Outcome outcome = Run("imatrix " + model + text + " --length 64 --chunks 4 --head -o a.gguf");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("4 chunks of 64 tokens"), std::string::npos) << outcome.output;
  outcome = Run("imatrix --from a.gguf --from a.gguf -o b.dat --to dat");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("8 chunks of 64 tokens"), std::string::npos) << outcome.output;
  // Twice the same text has the same means, in either form.
  for (const char* file : {"a.gguf", "b.dat"}) {
    outcome = Run("quantize " + model + " -o " + file +
                  std::string(".lowbit --recipe imatrix --format int3-g64 --imatrix ") + file);
    ASSERT_EQ(outcome.code, 0) << outcome.output;
  }
  const auto perplexity = [&](const std::string& file) {
    const Outcome scored = Run("eval " + file + text + " --max-tokens 500 --no-float --json");
    EXPECT_EQ(scored.code, 0) << scored.output;
    return nlohmann::json::parse(scored.output, nullptr, false).value("perplexity", -1.0);
  };
  EXPECT_NEAR(perplexity("a.gguf.lowbit"), perplexity("b.dat.lowbit"), 0.02);
  // Wrong requests and wrong files.
  EXPECT_EQ(Run("quantize " + model + " -o c --recipe gptq --imatrix a.gguf").code, 2);
  EXPECT_EQ(Run("quantize " + model + " -o c --recipe imatrix --imatrix a.gguf" + text).code, 2);
  EXPECT_EQ(Run("imatrix " + model + " -o c.gguf").code, 2);
  EXPECT_EQ(Run("imatrix").code, 2);
  outcome = Run("inspect a.gguf");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("an importance matrix, not a model"), std::string::npos) << outcome.output;
}

TEST_F(ProgramWithModel, AChatTemplateRendersWhatCalibrates) {
  std::string long_text = "It was a dark night, and the rain fell upon the old house by the river. ";
  for (int i = 0; i < 3; ++i) long_text += long_text;
  const nlohmann::json entries = {
      long_text, {{{"role", "user"}, {"content", long_text}}, {{"role", "assistant"}, {"content", "Yes."}}}};
  Write("talk.json", entries.dump());
  // The start token is added by the tokenizer here, by the template there.
  const nlohmann::json rendered = {"[user] " + long_text + "\n",
                                   "[user] " + long_text + "\n[assistant] Yes.\n"};
  Write("rendered.json", rendered.dump());
  const auto sums = [&](const std::string& arguments) {
    const Outcome outcome = Run("imatrix chat -o i.gguf --length 64 --json " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return nlohmann::json::parse(outcome.output, nullptr, false)["entries"];
  };
  EXPECT_EQ(sums("--chat-template --text talk.json"), sums("--text rendered.json"));
  EXPECT_EQ(Run("quantize chat -o q --bits 4 --samples 2 --length 64 --chat-template --text talk.json").code,
            0);
  // Without a template, or without the flag, conversations cannot be read.
  Outcome outcome = Run("quantize '" + model_folder.string() + "' -o r --chat-template --text talk.json");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("no chat template"), std::string::npos) << outcome.output;
  outcome = Run("quantize chat -o r --text talk.json");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("--chat-template"), std::string::npos) << outcome.output;
  EXPECT_EQ(Run("quantize chat -o r --recipe rtn --chat-template").code, 2);
}

}  // namespace
}  // namespace lowbit
