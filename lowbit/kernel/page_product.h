// Products with packed pages of a key/value cache, straight from their codes: the scores of queries with
// packed keys, the sums of packed values under probabilities.
//
// A page is 32 positions t of one head. Its channels c are cut into runs; in each of them
//
//   x[t, c] = a u (level[code[t, c]] - z) + m
//
// with a and m (f16) of the position or of the channel, u and z of the run, and whole levels, 0 to 127 (255
// at 8 bits). Queries and weights are rounded to integers r with a scale s, so that the long sums are byte
// dot products D, exact in 32 bits:
//
//   scores, D_t = sum_c r_c (level - z)
//     a of the position   q_c = s r_c       s_t = a_t u s D_t + m_t sum_c q_c
//     a of the channel    q_c a_c = s r_c   s_t = u s D_t + sum_c q_c m_c
//   sums, D_c = sum_t r_t (level - z)
//     a of the position   p_t a_t = s r_t   y_c += u s D_c + sum_t p_t m_t
//     a of the channel    p_t = s r_t       y_c += a_c u s D_c + m_c sum_t p_t
//
// With one digit |r| <= 127; with two r = 128 high + low, |high|, |low| <= 127. s is max|.| over the greatest
// r, taken over the channels of the run or the positions of the page. Queries round to nearest. Weights round
// with an ordered dither, r_t = floor(w_t / s + d_t), d_t the van der Corput sequence (1/64 ... 63/64):
// beside one large weight many small ones would all round to zero and their sum be lost; so it is kept to
// about one step.
//
// Codes lie in the tiles of page_tiles.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lowbit/kernel/page_tiles.h"

namespace lowbit {

inline constexpr int kMaxPageQueries = 64;

enum class CacheAxis : uint8_t {
  kPosition,  // the channels of a run at one position share a and m
  kChannel,   // the 32 positions of one channel do
};

// One run of channels of a page.
struct PageRun {
  int begin = 0, channels = 0;  // a multiple of 16
  int bits = 0;                 // 1, 2, 3, 4 or 8
  bool ternary = false;         // five codes a byte; bits = 8
  CacheAxis axis = CacheAxis::kPosition;
  bool minimum = false;             // there is an m, after all a
  int digits = 1;                   // of r: 1, or 2 with 4 or 8 bits
  size_t numbers = 0, codes = 0;    // offsets in the page
  float unit = 1;                   // u
  int zero = 0;                     // z
  std::array<uint8_t, 16> level{};  // by code, at most 127; at 8 bits the level is the code
};

// `count` pages, one every `stride` bytes. `ahead` is what will be read next; it is fetched meanwhile.
struct Pages {
  const uint8_t* data = nullptr;
  size_t stride = 0;
  int64_t count = 0;
  std::span<const uint8_t> ahead = {};
};

// s[s_stride i + 32 j + t] = scale <q_i, x_t of page j>: `queries` (at most 64) vectors of all runs'
// channels.
void PageScores(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                float scale, float* s, int64_t s_stride);

// y[y_stride i + c] += sum over j and t of p[p_stride i + 32 j + t] x[t, c of page j]. p >= 0, at most 8
// pages.
void PageSums(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
              int queries, float* y, int64_t y_stride);

}  // namespace lowbit
