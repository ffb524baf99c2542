// The program as a user meets it: quick to start, free of libtorch, with exit codes that scripts can rely on.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace lowbit {
namespace {

const std::string kProgram = LOWBIT_BINARY_DIR "/lowbit";

struct Outcome {
  int code;
  std::string output;  // stdout and stderr
};

Outcome RunShell(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  Outcome outcome;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

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
  for (const char* command : {"quantize", "eval", "generate", "inspect", "limits", "list", "train"}) {
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
  const Outcome file = RunShell("'" + kProgram + "' limits --tensor /no/such/file.gguf:w");
  EXPECT_EQ(file.code, 1) << file.output;
  EXPECT_NE(file.output.find("/no/such/file.gguf"), std::string::npos) << file.output;
}

TEST(Program, AMissingModelFailsWithOneAndNamesTheFile) {
  const Outcome outcome = RunShell("'" + kProgram + "' inspect /no/such/model");
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_NE(outcome.output.find("/no/such/model"), std::string::npos) << outcome.output;
}

}  // namespace
}  // namespace lowbit
