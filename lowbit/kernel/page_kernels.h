// What the vector kernels of page_product.cc and the plain ones, which define the result, agree on.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/kernel/page_product.h"

namespace lowbit {

inline constexpr int kMaxPageChannels = 512, kMaxPages = 8;
inline constexpr float kLeastMagnitude =
    1e-30f;  // what is below it is zero: its reciprocal would not be finite

// The greatest integers; those of two digits leave room for the rounding of the high one.
constexpr float GreatestQuery(int digits) {
  return digits == 1 ? 127 : 127 * 128;
}
constexpr float GreatestWeight(int digits) {
  return digits == 1 ? 127 : 127 * 128 + 127;
}

// The dither of position t less one half: what is added before rounding to nearest.
struct PageDither {
  alignas(64) float at[kCachePage];
  constexpr PageDither() : at() {
    for (int t = 0; t < kCachePage; ++t) {
      int reversed = 0;
      for (int bit = 0; bit < 5; ++bit) reversed |= (t >> bit & 1) << (4 - bit);
      at[t] = (static_cast<float>(reversed) + 0.5f) / kCachePage - 0.5f;
    }
  }
};
inline constexpr PageDither kPageDither;

// Levels of values, signed so that no correction by the sum of the weights is needed: up to 4 bits a table by
// code; at 8 bits the level is code - table.
struct SignedLevels {
  alignas(16) uint8_t table[16];
  explicit SignedLevels(const PageRun& run);
};

// The tiles of a run's page: in place, or ternary codes unpacked to `bytes` (channels * 32).
const uint8_t* TilesOf(const PageRun& run, const uint8_t* page, uint8_t* bytes);

// The scalar target, and the reference for the others: PageScores that adds to s, and PageSums.
void PlainPageScores(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                     float scale, float* s, int64_t s_stride);
void PlainPageSums(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
                   int queries, float* y, int64_t y_stride);

}  // namespace lowbit
