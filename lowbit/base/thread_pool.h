// The one thread pool. Work is split over outputs, never over a reduction, so results do not depend on the
// number of threads; which worker runs which task is free.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace lowbit {

// A non-owning reference to a callable: no allocation in the token loop.
class TaskRef {
 public:
  template <typename F>
  TaskRef(F&& f)  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* o, int64_t task, int worker) {
          (*static_cast<std::remove_reference_t<F>*>(o))(task, worker);
        }) {}
  void operator()(int64_t task, int worker) const { call_(object_, task, worker); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int);
};

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

  // The process's pool; SetGlobalThreads before first use, or between uses.
  static ThreadPool& Global();
  static void SetGlobalThreads(int threads);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lowbit
