// How much anonymous memory the process holds: what it allocated, without the pages of mapped files.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>

namespace lowbit {

// RssAnon of /proc/self/status in bytes; 0 where the system does not tell.
size_t AnonymousBytes();

// Samples AnonymousBytes() every 20 ms from its construction on.
class MemoryWatch {
 public:
  MemoryWatch();
  ~MemoryWatch();
  size_t Peak() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable stop_signal_;
  bool stop_ = false;
  size_t peak_ = 0;
  std::thread thread_;
};

}  // namespace lowbit
