// A page of a packed key/value cache: 32 consecutive positions of one key/value head. Channels are cut into
// runs, each with its own alphabet, axis and rule:
//
//   value[t, c] = a level[code[t, c]] + m        a and m (f16) shared along `axis`
//
//   kNorm     a = |x| / sqrt(n)                   levels of a law of unit variance       [TurboQuant]
//   kAbsMax   a = max|x| / greatest level
//   kRange    a = (max - min) / (2^b - 1), m = min, levels 0 ... 2^b - 1                  [KIVI, VidKV]
//   kSign     a = mean|x|, levels -1, +1, sign(0) = +1                                    [VidKV]
//   kTernary  code = sign(x) where |x| > gamma mean|x|, a = mean|x| of the codes that are not 0  [VidKV]
//
// a and m are rounded to f16 before any code is chosen. A page is packed once and never changes: appending
// positions one by one or many at once gives the same bytes.
//
// Where the channels of a run are a multiple of 16, its codes lie as kernel/page_product.h wants them and
// products are computed on them; but for codes of more than 4 bits other than those of kAbsMax in 8. Levels
// of a law in up to 4 bits are rounded there, before any code is chosen, to u (l - 64) with whole l from 1 to
// 127 and the best u.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/format/table.h"
#include "lowbit/kernel/page_product.h"
#include "lowbit/kernel/table_rounding.h"

namespace lowbit {

enum class CacheRule : uint8_t { kNorm, kAbsMax, kRange, kSign, kTernary };

struct ChannelRun {
  int channels = 0;
  int bits = 0;  // 1 ... 8; five ternary codes take a byte whatever this says
  CacheAxis axis = CacheAxis::kPosition;
  CacheRule rule = CacheRule::kRange;
  std::vector<float> levels;  // kNorm: ascending, 2^bits; empty for the other rules
  float gamma = 0.7f;         // kTernary
};

class PageCodec {
 public:
  // Throws Error for a run without channels or with bits out of range.
  explicit PageCodec(std::vector<ChannelRun> runs, PageSide side = PageSide::kKeys);

  int channels() const { return channels_; }
  // Bytes of a page, a multiple of 4; everything is in it.
  size_t bytes() const { return bytes_; }

  // x (32, channels). Throws Error naming channel and position when a value is NaN or infinite, or a scale
  // exceeds f16.
  void Encode(const float* x, uint8_t* page) const;
  // x (channels, 32): channel by channel, 32 positions side by side.
  void Decode(const uint8_t* page, float* x) const;

  // The runs as PageScores and PageSums want them; empty where one of them is only there to be decoded.
  std::span<const PageRun> products() const { return products_; }

 private:
  struct Run {
    ChannelRun spec;
    int begin;             // first channel
    size_t scales, codes;  // offsets in the page
    size_t code_bytes;
    bool tiles;  // the order of the codes
    Table table;
    TableRounder rounder;
    float most;  // the table's greatest magnitude
  };

  [[noreturn]] void FailNotFinite(const Run& run, const float* x) const;
  void EncodeRun(const Run& run, const float* x, uint8_t* page) const;
  void DecodeRun(const Run& run, const uint8_t* page, float* x) const;

  PageSide side_;
  std::vector<Run> runs_;
  std::vector<PageRun> products_;
  int channels_ = 0;
  size_t bytes_ = 0;
};

}  // namespace lowbit
