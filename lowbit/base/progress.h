// Progress of long work: a line on the terminal with rate and time left, silent when stderr is no terminal;
// and the user's wish to stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lowbit {

class Progress {
 public:
  // `unit` is plural ("blocks", "tokens"); `total` 0 means unknown.
  Progress(std::string what, int64_t total, std::string unit);
  ~Progress();  // erases the line
  // Sets the amount done; redraws at most ten times a second. Throws Interrupted after Ctrl-C.
  void Update(int64_t done, const std::string& note = "");

 private:
  std::string what_, unit_;
  int64_t total_;
  std::chrono::steady_clock::time_point start_, drawn_;
  bool terminal_;
};

// Routes SIGINT and SIGTERM to a flag (a second signal ends the process at once). A system call that waits,
// such as a read from the terminal, fails with EINTR: whoever made it asks CheckInterrupt().
void InstallInterruptHandler();
bool InterruptRequested();
// Throws Interrupted when the flag is set: called between steps of long work.
void CheckInterrupt();

}  // namespace lowbit
