// Where results go: full disks, folders that cannot be written, names that are taken. Nothing half-written
// ever bears the final name, and nothing that the user has is lost.
#include <sys/stat.h>

#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

std::string Quoted(const fs::path& path) {
  return "'" + path.string() + "'";
}

// Runs the program with files limited to `blocks` of 512 bytes: what a full disk does to a writer.
Outcome RunOnSmallDisk(int blocks, const std::string& arguments) {
  return RunShell("trap '' XFSZ; ulimit -f " + std::to_string(blocks) + "; '" + kProgram + "' " + arguments);
}

class Output : public testing::Test {
 protected:
  // A quantized model, made once.
  static void SetUpTestSuite() {
    made_ = new ScratchFolder();
    const Outcome outcome =
        RunProgram("quantize " + Quoted(kEmbedded) + " -o " + Quoted(*made_ / "q.lowbit") +
                   " --recipe rtn --group 32 --embedding int8-g32");
    ASSERT_EQ(outcome.code, 0) << outcome.output;
  }
  static void TearDownTestSuite() { delete made_; }

  static std::string Quantize(const fs::path& output, const fs::path& model = kEmbedded) {
    return "quantize " + Quoted(model) + " -o " + Quoted(output) + " --recipe rtn --group 32";
  }

  static inline ScratchFolder* made_ = nullptr;
  const ScratchFolder folder_;
};

TEST_F(Output, AFullDiskLeavesNothingUnderTheFinalName) {
  for (const auto& [to, model] : {std::pair<std::string, fs::path>("gguf", kEmbedded),
                                  std::pair<std::string, fs::path>("gptq", *made_ / "q.lowbit")}) {
    ExpectFailure(
        RunOnSmallDisk(1000, "export " + Quoted(model) + " -o " + Quoted(folder_ / "e") + " --to " + to), 1,
        (folder_ / "e").string(), "File too large");
    EXPECT_EQ(Listing(folder_.path()), "") << to;
  }
  WriteText(folder_ / "e.json", R"({"perplexity": 3, "bits_per_weight": 4})");
  ExpectFailure(
      RunOnSmallDisk(1, "report -o " + Quoted(folder_ / "r.html") + " " + Quoted(folder_ / "e.json")), 1,
      (folder_ / "r.html").string(), "File too large");
  EXPECT_EQ(Listing(folder_.path()), "e.json");
}

TEST_F(Output, QuantizingOnAFullDiskKeepsFinishedBlocksAndGoesOn) {
  // A block of 4 bits has 440 kB, the whole file 2.3 MB.
  const fs::path q = folder_ / "q";
  ExpectFailure(RunOnSmallDisk(2000, Quantize(q)), 1, q.string(), "File too large", "q.work", "goes on");
  EXPECT_FALSE(fs::exists(q));
  EXPECT_EQ(
      Listing(folder_.path()),
      "q.work q.work/block-00000.safetensors q.work/block-00001.safetensors q.work/block-00002.safetensors "
      "q.work/block-00003.safetensors q.work/identity.json");
  const Outcome resumed = RunProgram(Quantize(q));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_TRUE(resumed.Says("Resumed: 4 blocks")) << resumed.output;
  EXPECT_EQ(Listing(folder_.path()), "q");
  fs::remove(q);
  // Not even one block: nothing is left.
  ExpectFailure(RunOnSmallDisk(100, Quantize(q)), 1, "q", "File too large");
  EXPECT_EQ(Listing(folder_.path()), "");
}

TEST_F(Output, StandardOutputThatIsFullIsAFailure) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  for (const std::string& command :
       {std::string("list formats"), "inspect " + Quoted(kEmbedded),
        "inspect " + Quoted(kEmbedded) + " --json",
        "generate " + Quoted(kEmbedded) + " --prompt 'It was' -n 5", std::string("--help")}) {
    const Outcome outcome = RunShell("'" + kProgram + "' " + command + " 2>&1 >/dev/full");
    ExpectFailure(outcome, 1, "No space left on device");
  }
}

TEST_F(Output, AFolderThatCannotBeWrittenIsNamed) {
  // Not even root makes files in /sys.
  WriteText(folder_ / "e.json", R"({"perplexity": 3})");
  for (const std::string& command :
       {Quantize("/sys/q"), "export " + Quoted(kEmbedded) + " -o /sys/q --to gguf",
        "export " + Quoted(*made_ / "q.lowbit") + " -o /sys/q --to gptq",
        "report -o /sys/q " + Quoted(folder_ / "e.json")}) {
    const Outcome outcome = RunProgram(command);
    ExpectFailure(outcome, 1, "/sys/q: cannot");
    EXPECT_FALSE(outcome.Says("filesystem error")) << outcome.output;
  }
  for (const std::string& command :
       {Quantize(folder_ / "no/q"),
        "export " + Quoted(kEmbedded) + " -o " + Quoted(folder_ / "no/q") + " --to gguf",
        "report -o " + Quoted(folder_ / "no/q") + " " + Quoted(folder_ / "e.json")}) {
    ExpectFailure(RunProgram(command), 1, "there is no folder " + (folder_ / "no").string());
  }
  EXPECT_EQ(Listing(folder_.path()), "e.json");
}

TEST_F(Output, WhatIsReadIsNeverWrittenOver) {
  const CopiedModel model;
  WriteText(model / "calibration.txt", std::string(2000, 'a'));
  fs::copy_file(*made_ / "q.lowbit", model / "q.lowbit");
  fs::create_symlink(model / "model.safetensors", model.Beside("link"));
  WriteText(model / "e.json", R"({"perplexity": 3})");
  std::map<fs::path, std::string> before;
  for (const auto& entry : fs::directory_iterator(model.path()))
    before[entry.path()] = ReadFile(entry.path());
  for (const std::string& command :
       {Quantize(model / "model.safetensors", model.path()), Quantize(model / "config.json", model.path()),
        Quantize(model / "tokenizer.model", model.path()), Quantize(model / "q.lowbit", model / "q.lowbit"),
        Quantize(model.Beside("link"), model.path()),
        "quantize " + Quoted(model.path()) + " -o " + Quoted(model / "calibration.txt") +
            " --samples 1 --length 16 --text " + Quoted(model / "calibration.txt"),
        "export " + Quoted(model.path()) + " --to gguf -o " + Quoted(model / "model.safetensors"),
        "export " + Quoted(model / "q.lowbit") + " --to gguf -o " + Quoted(model / "q.lowbit"),
        "export " + Quoted(model / "q.lowbit") + " --to gptq -o " + Quoted(model.path()),
        "report -o " + Quoted(model / "e.json") + " " + Quoted(model / "e.json")}) {
    SCOPED_TRACE(command);
    ExpectFailure(RunProgram(command), 2, "-o", "reads");
  }
  for (const auto& [path, text] : before) EXPECT_EQ(ReadFile(path), text) << path;
}

TEST_F(Output, OnlyRegularFilesAreReplaced) {
  const fs::path pipe = folder_ / "pipe", link = folder_ / "link", target = folder_ / "target";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ExpectFailure(RunProgram("export " + Quoted(kEmbedded) + " --to gguf -o " + Quoted(pipe)), 1, pipe.string(),
                "no regular file");
  EXPECT_TRUE(fs::is_fifo(pipe));
  WriteText(target, "old");
  fs::create_symlink("target", link);
  const Outcome outcome = RunProgram("export " + Quoted(kEmbedded) + " --to gguf -o " + Quoted(link));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_TRUE(fs::is_symlink(link)) << "the file behind the link is written";
  EXPECT_GT(fs::file_size(target), 1000u);
  ExpectFailure(RunProgram("export " + Quoted(kEmbedded) + " --to gguf -o " + Quoted(folder_.path())), 2,
                "is a folder");
  ExpectFailure(RunProgram(Quantize(folder_.path())), 2, "is a folder");
  ExpectFailure(RunProgram(Quantize("")), 2, "a file name is needed");
  ExpectFailure(RunProgram("export " + Quoted(*made_ / "q.lowbit") + " --to gptq -o " + Quoted(target)), 2,
                "is a file");
}

TEST_F(Output, AFolderOfTheUserIsNotTheWorkFolder) {
  fs::create_directory(folder_ / "q.work");
  WriteText(folder_ / "q.work/thesis.txt", "precious");
  ExpectFailure(RunProgram(Quantize(folder_ / "q")), 1, (folder_ / "q.work").string(), "something else");
  EXPECT_EQ(ReadFile(folder_ / "q.work/thesis.txt"), "precious");
  // Beside files of our own it stays too.
  WriteText(folder_ / "q.work/identity.json", "{}");
  EXPECT_EQ(RunProgram(Quantize(folder_ / "q")).code, 0);
  EXPECT_EQ(Listing(folder_.path()), "q q.work q.work/thesis.txt");
}

}  // namespace
}  // namespace lowbit
