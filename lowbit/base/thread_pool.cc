#include "lowbit/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lowbit {
namespace {

thread_local int current_worker = -1;  // >= 0 inside a task: nested runs go inline

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Between the matrix products of one token lie microseconds: spin that long before sleeping in the kernel.
constexpr int kSpins = 4000;

template <typename T>
void SpinThenWait(std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

struct ThreadPool::Impl {
  std::vector<std::thread> workers;
  std::mutex run_mutex;  // one Run at a time; taken once a call, never a task
  std::atomic<uint32_t> epoch{0};
  std::atomic<int> busy{0};
  const FunctionRef<int>* body = nullptr;
  std::atomic<bool> stop{false}, failed{false};
  std::exception_ptr error;

  void Work(int worker) {
    current_worker = worker;
    try {
      (*body)(worker);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
    current_worker = -1;
  }

  void Loop(int worker) {
    uint32_t seen = 0;
    for (;;) {
      SpinThenWait(epoch, seen);
      seen = epoch.load(std::memory_order_acquire);
      if (stop.load()) return;
      Work(worker);
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) busy.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 1; i < threads; ++i) impl_->workers.emplace_back([this, i] { impl_->Loop(i); });
}

ThreadPool::~ThreadPool() {
  impl_->stop = true;
  impl_->epoch.fetch_add(1);
  impl_->epoch.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::threads() const {
  return static_cast<int>(impl_->workers.size()) + 1;
}

// Calls body(worker) on every worker and waits for all.
void ThreadPool::Fork(FunctionRef<int> body) {
  Impl& p = *impl_;
  std::lock_guard lock(p.run_mutex);
  p.body = &body;
  p.failed = false;
  p.error = nullptr;
  p.busy.store(static_cast<int>(p.workers.size()));
  p.epoch.fetch_add(1, std::memory_order_acq_rel);
  p.epoch.notify_all();
  p.Work(0);
  for (int left; (left = p.busy.load(std::memory_order_acquire)) != 0;) SpinThenWait(p.busy, left);
  if (p.failed) std::rethrow_exception(p.error);
}

void ThreadPool::Run(int64_t count, TaskRef task) {
  if (count <= 0) return;
  if (current_worker >= 0 || impl_->workers.empty() || count == 1) {
    const int worker = std::max(0, current_worker);
    for (int64_t i = 0; i < count; ++i) task(i, worker);
    return;
  }
  std::atomic<int64_t> next{0};
  Fork([&](int worker) {
    for (int64_t i; !impl_->failed.load(std::memory_order_relaxed) && (i = next.fetch_add(1)) < count;)
      task(i, worker);
  });
}

void ThreadPool::RunRanges(int64_t count, RangeRef task) {
  if (count <= 0) return;
  if (current_worker >= 0 || impl_->workers.empty() || count == 1) {
    task(0, count, std::max(0, current_worker));
    return;
  }
  const int64_t parts = 2 * threads(), first = std::max<int64_t>(1, count / parts);
  std::atomic<int64_t> next{std::min(count, first * threads())};
  Fork([&](int worker) {
    int64_t begin = std::min(count, first * worker), end = std::min(count, begin + first);
    while (begin < end && !impl_->failed.load(std::memory_order_relaxed)) {
      task(begin, end, worker);
      begin = next.load();
      do end = std::min(count, begin + std::max<int64_t>(1, (count - begin) / parts));
      while (begin < end && !next.compare_exchange_weak(begin, end));
    }
    // A worker without a first range of its own has nothing to do: there are fewer ranges than workers.
  });
}

namespace {
std::unique_ptr<ThreadPool>& GlobalSlot() {
  static std::unique_ptr<ThreadPool> pool;
  return pool;
}
std::mutex global_mutex;
}  // namespace

ThreadPool& ThreadPool::Global() {
  std::lock_guard lock(global_mutex);
  auto& slot = GlobalSlot();
  if (!slot) slot = std::make_unique<ThreadPool>();
  return *slot;
}

void ThreadPool::SetGlobalThreads(int threads) {
  std::lock_guard lock(global_mutex);
  GlobalSlot() = std::make_unique<ThreadPool>(threads);
}

}  // namespace lowbit
