// The one thread pool. Work is split over outputs, never over a reduction, so results do not depend on the
// number of threads; which worker runs which task is free.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace lowbit {

// A non-owning reference to a callable: no allocation in the token loop.
template <typename... Args>
class FunctionRef {
 public:
  template <typename F>
  FunctionRef(F&& f)  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* o, Args... args) { (*static_cast<std::remove_reference_t<F>*>(o))(args...); }) {}
  void operator()(Args... args) const { call_(object_, args...); }

 private:
  void* object_;
  void (*call_)(void*, Args...);
};

using TaskRef = FunctionRef<int64_t, int>;            // (task, worker)
using RangeRef = FunctionRef<int64_t, int64_t, int>;  // (begin, end, worker)

class ThreadPool {
 public:
  // `threads` counts the caller: ThreadPool(1) runs everything inline. 0 means all cores.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls task(i, worker) for every i in [0, count), worker in [0, threads()). Blocks until all are done; the
  // first exception is rethrown here. Called from inside a task, it runs inline on the calling worker.
  void Run(int64_t count, TaskRef task);

  // The same with ranges [begin, end) of [0, count), for work that likes long runs: guided self-scheduling
  // (Polychronopoulos and Kuck, 1987). Worker w begins with range w; a range is the 2 threads()-th part of
  // what is left, so that the last ones are short and all workers end together.
  void RunRanges(int64_t count, RangeRef task);

  // The process's pool; SetGlobalThreads before first use, or between uses.
  static ThreadPool& Global();
  static void SetGlobalThreads(int threads);

 private:
  struct Impl;
  void Fork(FunctionRef<int> body);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lowbit
