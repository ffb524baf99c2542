// Products with packed pages in plain loops, the formulas of page_product.h.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/float16.h"
#include "lowbit/kernel/code_packing.h"
#include "lowbit/kernel/page_kernels.h"

namespace lowbit {
namespace {

// Codes and numbers of a page.
struct PlainPage {
  uint8_t code[kMaxPageChannels * kCachePage];     // (channels, 32)
  float a[kMaxPageChannels], m[kMaxPageChannels];  // by position or by channel

  PlainPage(const PageRun& run, const uint8_t* page, PageSide side) {
    uint8_t unpacked[kMaxPageChannels * kCachePage];
    UnpackTiles(TilesOf(run, page, unpacked), run.channels, run.bits, side, code);
    const int count = run.axis == CacheAxis::kPosition ? kCachePage : run.channels;
    for (int i = 0; i < count; ++i) {
      uint16_t half[2] = {};
      std::memcpy(half, page + run.numbers + 2 * i, 2);
      if (run.minimum) std::memcpy(half + 1, page + run.numbers + 2 * (count + i), 2);
      a[i] = F16ToFloat(half[0]);
      m[i] = F16ToFloat(half[1]);
    }
  }
  int level(const PageRun& run, int i) const { return run.bits == 8 ? code[i] : run.level[code[i]]; }
};

}  // namespace

SignedLevels::SignedLevels(const PageRun& run) {
  for (size_t i = 0; i < run.level.size(); ++i)
    table[i] = static_cast<uint8_t>(run.bits == 8 ? run.zero : run.level[i] - run.zero);
}

const uint8_t* TilesOf(const PageRun& run, const uint8_t* page, uint8_t* bytes) {
  if (!run.ternary) return page + run.codes;
  const size_t codes = static_cast<size_t>(run.channels) * kCachePage;
  UnpackTernary({page + run.codes, (codes + 4) / 5}, {bytes, codes});
  return bytes;
}

void PlainPageScores(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                     float scale, float* s, int64_t s_stride) {
  for (const PageRun& run : runs) {
    const bool by_position = run.axis == CacheAxis::kPosition;
    const float greatest = GreatestQuery(run.digits);
    for (int64_t j = 0; j < pages.count; ++j) {
      const PlainPage page(run, pages.data + static_cast<size_t>(j) * pages.stride, PageSide::kKeys);
      for (int i = 0; i < queries; ++i) {
        float x[kMaxPageChannels], magnitude = 0, extra = 0;
        int32_t r[kMaxPageChannels], sum_r = 0;
        for (int c = 0; c < run.channels; ++c) {
          const float v = q[i][run.begin + c];
          x[c] = by_position ? v : v * page.a[c];
          magnitude = std::max(magnitude, std::abs(x[c]));
          extra += by_position ? v : v * page.m[c];
        }
        const float inverse = magnitude > kLeastMagnitude ? greatest / magnitude : 0;
        for (int c = 0; c < run.channels; ++c) {
          r[c] = static_cast<int32_t>(std::nearbyint(x[c] * inverse));
          sum_r += r[c];
        }
        const float factor = run.unit * scale * (magnitude / greatest);
        for (int t = 0; t < kCachePage; ++t) {
          int64_t sum = 0;
          for (int c = 0; c < run.channels; ++c) sum += int64_t{r[c]} * page.level(run, c * kCachePage + t);
          const auto total = static_cast<float>(sum - int64_t{run.zero} * sum_r);
          float& to = s[i * s_stride + j * kCachePage + t];
          to += total * factor * (by_position ? page.a[t] : 1);
          if (run.minimum) to += scale * extra * (by_position ? page.m[t] : 1);
        }
      }
    }
  }
}

void PlainPageSums(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
                   int queries, float* y, int64_t y_stride) {
  for (const PageRun& run : runs) {
    const SignedLevels levels(run);
    const bool by_position = run.axis == CacheAxis::kPosition;
    const float greatest = GreatestWeight(run.digits);
    for (int64_t j = 0; j < pages.count; ++j) {
      const PlainPage page(run, pages.data + static_cast<size_t>(j) * pages.stride, PageSide::kValues);
      for (int i = 0; i < queries; ++i) {
        const float* const weights = p + i * p_stride + j * kCachePage;
        float w[kCachePage], magnitude = 0, extra = 0;
        int32_t r[kCachePage];
        for (int t = 0; t < kCachePage; ++t) {
          w[t] = by_position ? weights[t] * page.a[t] : weights[t];
          magnitude = std::max(magnitude, w[t]);
          extra += by_position ? weights[t] * page.m[t] : weights[t];
        }
        const float inverse = magnitude > kLeastMagnitude ? greatest / magnitude : 0;
        for (int t = 0; t < kCachePage; ++t) {
          const float up = w[t] * inverse + kPageDither.at[t];
          r[t] = static_cast<int32_t>(std::nearbyint(up));
        }
        const float factor = magnitude * (run.unit / greatest);
        for (int c = 0; c < run.channels; ++c) {
          int32_t sum = 0;
          for (int t = 0; t < kCachePage; ++t) {
            const int code = page.code[c * kCachePage + t];
            const int level =
                run.bits == 8 ? code - levels.table[0] : static_cast<int8_t>(levels.table[code]);
            sum += r[t] * level;
          }
          float& to = y[i * y_stride + run.begin + c];
          to += static_cast<float>(sum) * factor * (by_position ? 1 : page.a[c]);
          if (run.minimum) to += extra * (by_position ? 1 : page.m[c]);
        }
      }
    }
  }
}

}  // namespace lowbit
