#include "lowbit/base/memory.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace lowbit {

size_t AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    if (key == "RssAnon:") {
      size_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
    status.ignore(1 << 12, '\n');
  }
  return 0;
}

MemoryWatch::MemoryWatch() : peak_(AnonymousBytes()) {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stop_signal_.wait_for(lock, std::chrono::milliseconds(20), [this] { return stop_; })) {
      peak_ = std::max(peak_, AnonymousBytes());
    }
  });
}

MemoryWatch::~MemoryWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_signal_.notify_one();
  thread_.join();
}

size_t MemoryWatch::Peak() const {
  const std::lock_guard lock(mutex_);
  return std::max(peak_, AnonymousBytes());
}

}  // namespace lowbit
