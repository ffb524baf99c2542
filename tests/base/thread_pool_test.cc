#include "lowbit/base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
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

TEST(ThreadPool, RangesCoverEverythingOnceAndShrink) {
  for (int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    for (int64_t count : {1, 2, 3, 13, 14, 97, 1000}) {
      for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> hits(count);
        std::atomic<int64_t> longest{0};
        pool.RunRanges(count, [&](int64_t begin, int64_t end, int worker) {
          ASSERT_LT(worker, threads);
          ASSERT_LT(begin, end);
          for (int64_t i = begin; i < end; ++i) hits[i]++;
          for (int64_t old = longest;
               old < end - begin && !longest.compare_exchange_weak(old, end - begin);) {
          }
        });
        for (auto& hit : hits) ASSERT_EQ(hit, 1);
        ASSERT_EQ(longest, threads == 1 ? count : std::max<int64_t>(1, count / (2 * threads)));
      }
    }
  }
}

TEST(ThreadPool, RangesRethrow) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.RunRanges(100,
                              [](int64_t, int64_t end, int) {
                                if (end == 100) throw std::runtime_error("the last");
                              }),
               std::runtime_error);
  std::atomic<int64_t> sum{0};
  pool.RunRanges(10, [&](int64_t begin, int64_t end, int) { sum += end - begin; });
  EXPECT_EQ(sum, 10);
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
