#include "lowbit/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace lowbit {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 300; ++round) {
      std::vector<std::atomic<int>> hits(97);
      pool.Run(97, [&](int64_t i, int worker) {
        ASSERT_LT(worker, threads);
        hits[i]++;
      });
      for (auto& hit : hits) ASSERT_EQ(hit, 1);
    }
  }
}

TEST(ThreadPool, RethrowsTheFirstExceptionAndStaysUsable) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.Run(10,
                        [](int64_t i, int) {
                          if (i == 4) throw std::runtime_error("four");
                        }),
               std::runtime_error);
  std::atomic<int> sum{0};
  pool.Run(10, [&](int64_t i, int) { sum += static_cast<int>(i); });
  EXPECT_EQ(sum, 45);
}

TEST(ThreadPool, NestedRunsGoInline) {
  ThreadPool pool(2);
  std::atomic<int> sum{0};
  pool.Run(4, [&](int64_t, int) { pool.Run(5, [&](int64_t, int) { sum++; }); });
  EXPECT_EQ(sum, 20);
}

}  // namespace
}  // namespace lowbit
