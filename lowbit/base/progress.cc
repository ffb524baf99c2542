#include "lowbit/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void OnSignal(int signal) {
  if (interrupted) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  interrupted = 1;
}

std::string Duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace

Progress::Progress(std::string what, int64_t total, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_ - std::chrono::hours(1)),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::Update(int64_t done, const std::string& note) {
  CheckInterrupt();
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100) && done != total_) return;
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = fmt::format("{}: {}", what_, done);
  if (total_ > 0) line += fmt::format("/{}", total_);
  line += " " + unit_;
  if (done > 0 && seconds > 0.5) {
    line += fmt::format(", {:.3g}/s", rate);
    if (total_ > 0) line += ", " + Duration(static_cast<double>(total_ - done) / rate) + " left";
  }
  if (!note.empty()) line += "  " + note;
  fmt::print(stderr, "\r\033[K{}", line);
  std::fflush(stderr);
}

void InstallInterruptHandler() {
  // Without SA_RESTART: a read that waits for the user's next line ends too.
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool InterruptRequested() {
  return interrupted != 0;
}

void CheckInterrupt() {
  if (interrupted) throw Interrupted();
}

}  // namespace lowbit
