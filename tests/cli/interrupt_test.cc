// Ctrl-C and its relatives: the program stops soon, exits with 1, leaves nothing half-written, and a long run
// goes on where it was.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// The program in the background; its output goes to a file, its input is a pipe that never ends.
class Background {
 public:
  Background(const std::vector<std::string>& arguments, fs::path output) : output_(std::move(output)) {
    int input[2];
    if (pipe(input) != 0) return;
    process_ = fork();
    if (process_ == 0) {
      const int file = open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(input[0], STDIN_FILENO);
      dup2(file, STDOUT_FILENO);
      dup2(file, STDERR_FILENO);
      close(input[1]);
      std::vector<char*> argv = {const_cast<char*>(kProgram.c_str())};
      for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      std::signal(SIGINT, SIG_DFL);
      execv(kProgram.c_str(), argv.data());
      _exit(127);
    }
    close(input[0]);
    input_ = input[1];
  }
  ~Background() {
    close(input_);
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  std::string Output() const { return fs::exists(output_) ? ReadFile(output_) : ""; }
  bool Ended() {
    int status = 0;
    if (process_ > 0 && waitpid(process_, &status, WNOHANG) == process_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      process_ = -1;
    }
    return process_ <= 0;
  }
  // Waits until `ready` holds or the program ends; false after a minute.
  bool WaitFor(const std::function<bool()>& ready) {
    for (const auto start = std::chrono::steady_clock::now();
         std::chrono::steady_clock::now() - start < 60s;) {
      if (ready() || Ended()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return false;
  }
  // Sends the signal and returns the exit code; -1 when it has not ended after a minute.
  int Stop(int signal) {
    if (!Ended()) kill(process_, signal);
    return WaitFor([] { return false; }) ? code_ : -1;
  }

 private:
  fs::path output_;
  pid_t process_ = -1;
  int input_ = -1, code_ = -1;
};

class Interrupt : public testing::TestWithParam<int> {
 protected:
  void ExpectStops(const std::vector<std::string>& arguments, const std::function<bool(Background&)>& ready) {
    Background program(arguments, folder_ / "output");
    ASSERT_TRUE(program.WaitFor([&] { return ready(program); }));
    ASSERT_FALSE(program.Ended()) << "ended before it was stopped: " << program.Output();
    EXPECT_EQ(program.Stop(GetParam()), 1) << program.Output();
    EXPECT_NE(program.Output().find("lowbit: interrupted"), std::string::npos) << program.Output();
    fs::remove(folder_ / "output");
    EXPECT_EQ(Listing(folder_.path()), "");
  }
  static std::function<bool(Background&)> After(std::chrono::milliseconds time) {
    const auto start = std::chrono::steady_clock::now();
    return [=](Background&) { return std::chrono::steady_clock::now() - start > time; };
  }

  const ScratchFolder folder_;
};

TEST_P(Interrupt, GenerateStopsInTheMiddleOfAText) {
  ExpectStops({"generate", kEmbedded, "--prompt", "It was", "-n", "1000000", "--ctx", "1000000"},
              [](Background& program) { return program.Output().size() > 100; });
}

TEST_P(Interrupt, GenerateStopsWhileItWaitsForThePrompt) {
  ExpectStops({"generate", kEmbedded}, After(500ms));
}

TEST_P(Interrupt, ChatStopsWhileItWaitsForAMessage) {
  const CopiedModel model;
  WriteText(model / "chat_template.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  ExpectStops({"generate", model.path(), "--chat"}, After(500ms));
}

TEST_P(Interrupt, EvalStops) {
  const std::string text = kEmbedded / "calibration.txt";
  std::string much;
  for (int i = 0; i < 30; ++i) much += ReadFile(text);
  const ScratchFolder other;
  WriteText(other / "much.txt", much);
  ExpectStops({"eval", kEmbedded, "--reference", kEmbedded, "--text", other / "much.txt"}, After(500ms));
}

TEST_P(Interrupt, BenchStops) {
  ExpectStops({"bench", kEmbedded, "--repeats", "1000"}, After(500ms));
  ExpectStops({"bench", "--shape", "llama-1.1b", "--repeats", "1000"}, After(200ms));
}

TEST_P(Interrupt, QuantizeGoesOnAfterTheLastFinishedBlock) {
  const fs::path made = folder_ / "q", work = folder_ / "q.work", whole = folder_ / "whole";
  // The same command every time: the file's history says what was typed.
  const std::vector<std::string> arguments = {
      "quantize",  kEmbedded, "-o",       made,  "--text", kEmbedded / "calibration.txt",
      "--samples", "32",      "--length", "512", "--bits", "3"};
  {
    Background program(arguments, folder_ / "output");
    ASSERT_TRUE(program.WaitFor([] { return false; }));
    ASSERT_TRUE(fs::exists(made)) << program.Output();
    fs::rename(made, whole);
  }
  {
    Background program(arguments, folder_ / "output");
    ASSERT_TRUE(program.WaitFor([&] { return fs::exists(work / "block-00000.safetensors"); }));
    EXPECT_EQ(program.Stop(GetParam()), 1) << program.Output();
    EXPECT_NE(program.Output().find("goes on after them"), std::string::npos) << program.Output();
    EXPECT_FALSE(fs::exists(made));
    EXPECT_FALSE(fs::exists(work / "block-00003.safetensors"));
  }
  Background resumed(arguments, folder_ / "output");
  ASSERT_TRUE(resumed.WaitFor([] { return false; }));
  EXPECT_NE(resumed.Output().find("Resumed: "), std::string::npos) << resumed.Output();
  EXPECT_TRUE(ReadFile(made) == ReadFile(whole));
  fs::remove(folder_ / "output");
  EXPECT_EQ(Listing(folder_.path()), "q whole");
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, testing::Values(SIGINT, SIGTERM),
                         [](const auto& signal) { return signal.param == SIGINT ? "Int" : "Term"; });

}  // namespace
}  // namespace lowbit
