#include "lowbit/quantize/cache_page.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/alphabets.h"
#include "lowbit/format/trit_packing.h"
#include "lowbit/kernel/code_packing.h"
#include "lowbit/kernel/line_extent.h"

namespace lowbit {
namespace {

Table TableOf(const ChannelRun& run) {
  switch (run.rule) {
    case CacheRule::kNorm:
      return LearnedTable(run.levels);
    case CacheRule::kAbsMax:
      return NarrowIntegerTable(run.bits);
    case CacheRule::kRange:
      return UnsignedIntegerTable(run.bits);
    case CacheRule::kSign:
      return BinaryTable();
    case CacheRule::kTernary:
      return TernaryTable();
  }
  Fail("not a rule of a cache page");
}

constexpr float kMiddle = 64;  // of whole levels from 1 to 127

// The u for which u (l - 64), l whole, comes nearest to `levels` of a law of unit variance: squared errors
// weighted by about what the law gives a level.
float BestUnit(const std::vector<float>& levels) {
  float most = 0;
  for (const float v : levels) most = std::max(most, std::abs(v));
  const size_t n = levels.size();
  double least = INFINITY;
  const float smallest = most / (kMiddle - 1);
  float best = smallest;
  for (int step = 0; step < 256 && most > 0; ++step) {
    const float unit = smallest * (1 + 0.001f * static_cast<float>(step));
    double error = 0;
    for (size_t i = 0; i < n; ++i) {
      const double gap = levels[std::min(i + 1, n - 1)] - levels[i > 0 ? i - 1 : 0];
      const double off = levels[i] - unit * (std::nearbyint(levels[i] / unit + kMiddle) - kMiddle);
      error += gap * std::exp(-0.5 * levels[i] * levels[i]) * off * off;
    }
    if (error < least) {
      least = error;
      best = unit;
    }
  }
  return best;
}

bool InTiles(const ChannelRun& spec) {
  const bool wide = spec.bits == 8 && spec.rule == CacheRule::kAbsMax;
  return spec.channels % kTileChannels == 0 && (spec.bits <= 4 || wide);
}

// For the kernel; the levels of a law are rounded in `spec` too.
PageRun ProductOf(ChannelRun& spec, PageSide side) {
  PageRun run{.channels = spec.channels, .bits = spec.bits, .axis = spec.axis};
  run.minimum = spec.rule == CacheRule::kRange;
  for (size_t i = 0; i < run.level.size(); ++i) run.level[i] = static_cast<uint8_t>(i);
  switch (spec.rule) {
    case CacheRule::kNorm: {
      run.unit = BestUnit(spec.levels);
      run.zero = static_cast<int>(kMiddle);
      for (size_t i = 0; i < spec.levels.size(); ++i) {
        const float level = std::clamp(std::nearbyint(spec.levels[i] / run.unit + kMiddle), 1.0f, 127.0f);
        run.level[i] = static_cast<uint8_t>(level);
        spec.levels[i] = run.unit * (level - kMiddle);
      }
      break;
    }
    case CacheRule::kAbsMax:
      run.zero = 1 << (spec.bits - 1);
      break;
    case CacheRule::kRange:
      break;
    case CacheRule::kSign:
      run.level[1] = 2;
      run.zero = 1;
      break;
    case CacheRule::kTernary:
      run.zero = 1;
      run.ternary = true;
      run.bits = 8;
      break;
  }
  // A second digit where the rounding of one is not small beside the code's own error: true eight bits, and
  // four of keys whose scales differ between channels, so that most products are far below the largest.
  const bool fine = run.bits == 4 && side == PageSide::kKeys && spec.axis == CacheAxis::kChannel;
  run.digits = (run.bits == 8 && !run.ternary) || fine ? 2 : 1;
  return run;
}

constexpr size_t RoundUp4(size_t n) {
  return (n + 3) / 4 * 4;
}

struct Numbers {
  float a = 0, m = 0;
};

// `most` and `last` are the table's greatest magnitude and its last level.
Numbers NumbersOf(const ChannelRun& run, float most, float last, const LineExtent& e, int count,
                  double kept) {
  Numbers n;
  switch (run.rule) {
    case CacheRule::kNorm:
      n.a = static_cast<float>(std::sqrt(e.square / count));
      break;
    case CacheRule::kAbsMax:
      n.a = std::max(-e.low, e.high) / most;
      break;
    case CacheRule::kRange:
      n = {(e.high - e.low) / last, e.low};
      break;
    case CacheRule::kSign:
      n.a = static_cast<float>(e.magnitude / count);
      break;
    case CacheRule::kTernary:
      n.a = static_cast<float>(kept);
      break;
  }
  return {F16ToFloat(FloatToF16(n.a)), F16ToFloat(FloatToF16(n.m))};
}

// y (columns, rows) of x (rows, columns), whose rows are `stride` apart: in squares that stay in the
// first-level cache.
void TransposeFloats(const float* x, int rows, int columns, int64_t stride, float* y) {
  constexpr int kSquare = 8;
  for (int c = 0; c < columns; c += kSquare) {
    const int end = std::min(columns, c + kSquare);
    for (int r = 0; r < rows; ++r) {
      for (int i = c; i < end; ++i) y[i * rows + r] = x[r * stride + i];
    }
  }
}

}  // namespace

PageCodec::PageCodec(std::vector<ChannelRun> runs, PageSide side) : side_(side) {
  bool all = true;
  for (ChannelRun& spec : runs) {
    if (spec.channels < 1) Fail("cache page: a run of {} channels", spec.channels);
    if (spec.rule == CacheRule::kSign) spec.bits = 1;
    if (spec.rule == CacheRule::kTernary) spec.bits = 2;
    if (spec.bits < 1 || spec.bits > 8) Fail("cache page: codes of {} bits", spec.bits);
    if (spec.rule == CacheRule::kNorm && spec.levels.size() != size_t{1} << spec.bits)
      Fail("{} levels for codes of {} bits", spec.levels.size(), spec.bits);
    const bool tiles = InTiles(spec);
    PageRun product;
    if (tiles) product = ProductOf(spec, side);
    const size_t codes = static_cast<size_t>(spec.channels) * kCachePage;
    const size_t shared = static_cast<size_t>(spec.axis == CacheAxis::kPosition ? kCachePage : spec.channels);
    const size_t numbers = shared * (spec.rule == CacheRule::kRange ? 2 : 1);
    Run run{.spec = spec,
            .begin = channels_,
            .scales = bytes_,
            .codes = bytes_ + RoundUp4(numbers * 2),
            .code_bytes = spec.rule == CacheRule::kTernary ? TritBytes(codes) : PackedBytes(codes, spec.bits),
            .tiles = tiles,
            .table = TableOf(spec),
            .rounder = TableRounder(TableOf(spec)),
            .most = TableOf(spec).MaxMagnitude()};
    product.begin = run.begin;
    product.numbers = run.scales;
    product.codes = run.codes;
    products_.push_back(product);
    all = all && tiles;
    bytes_ = run.codes + RoundUp4(run.code_bytes);
    channels_ += spec.channels;
    runs_.push_back(std::move(run));
  }
  if (!all) products_.clear();
}

void PageCodec::Encode(const float* x, uint8_t* page) const {
  std::memset(page, 0, bytes_);
  for (const Run& run : runs_) EncodeRun(run, x, page);
}

void PageCodec::Decode(const uint8_t* page, float* x) const {
  for (const Run& run : runs_) DecodeRun(run, page, x + run.begin * kCachePage);
}

void PageCodec::FailNotFinite(const Run& run, const float* x) const {
  for (int t = 0; t < kCachePage; ++t) {
    for (int c = run.begin; c < run.begin + run.spec.channels; ++c) {
      const float v = x[t * channels_ + c];
      if (!std::isfinite(v)) Fail("key/value cache: channel {} of position {} is {}", c, t, v);
    }
  }
  Fail("key/value cache: a sum of values is not finite");
}

void PageCodec::EncodeRun(const Run& run, const float* x, uint8_t* page) const {
  const ChannelRun& spec = run.spec;
  const int n = spec.channels;
  const bool by_position = spec.axis == CacheAxis::kPosition;
  // Lines of values that share numbers: positions as they are, or channels.
  const int lines = by_position ? kCachePage : n, count = by_position ? n : kCachePage;
  thread_local std::vector<float> turned, moved;
  thread_local std::vector<uint8_t> codes, tiles;
  codes.resize(static_cast<size_t>(n) * kCachePage);
  moved.resize(static_cast<size_t>(count));
  const float* line = x + run.begin;
  int64_t stride = channels_;
  if (!by_position) {
    turned.resize(codes.size());
    TransposeFloats(line, kCachePage, n, channels_, turned.data());
    line = turned.data();
    stride = kCachePage;
  }
  uint8_t* to = codes.data();
  for (int s = 0; s < lines; ++s, line += stride, to += count) {
    const LineExtent e = ExtentOf(line, count);
    if (!std::isfinite(e.magnitude)) FailNotFinite(run, x);
    // Ternary codes come first, their scale after them.
    double kept = 0;
    if (spec.rule == CacheRule::kTernary) {
      const auto bound = static_cast<float>(spec.gamma * e.magnitude / count);
      double sums[8] = {};
      int ones = 0;
      for (int i = 0; i < count; ++i) {
        const float v = line[i];
        const int sign = (v > bound) - (v < -bound);
        to[i] = static_cast<uint8_t>(1 + sign);
        ones += sign != 0;
        sums[i % 8] += static_cast<double>(v) * sign;
      }
      for (const double sum : sums) kept += sum;
      if (ones > 0) kept /= ones;
    }
    const Numbers numbers = NumbersOf(spec, run.most, run.table.level.back(), e, count, kept);
    if (!std::isfinite(numbers.a) || !std::isfinite(numbers.m))
      Fail("key/value cache: values up to {} exceed what an f16 scale holds", std::max(-e.low, e.high));
    if (spec.rule != CacheRule::kTernary) {
      const float* from = line;
      if (spec.rule == CacheRule::kRange) {
        for (int i = 0; i < count; ++i) moved[static_cast<size_t>(i)] = line[i] - numbers.m;
        from = moved.data();
      }
      if (numbers.a > 0) {
        run.rounder.Round(from, count, numbers.a, to);
      } else {
        std::fill_n(to, count, RoundToCode(run.table, 0.0f));
      }
    }
    const uint16_t a = FloatToF16(numbers.a), m = FloatToF16(numbers.m);
    std::memcpy(page + run.scales + 2 * s, &a, 2);
    if (spec.rule == CacheRule::kRange) std::memcpy(page + run.scales + 2 * (lines + s), &m, 2);
  }
  const std::span<uint8_t> bytes(page + run.codes, run.code_bytes);
  const auto pack_tiles = by_position ? PackTilesOfPositions : PackTiles;
  if (run.tiles && spec.rule != CacheRule::kTernary) {
    pack_tiles(codes.data(), n, spec.bits, side_, bytes.data());
    return;
  }
  tiles.resize(codes.size());
  if (run.tiles) {
    pack_tiles(codes.data(), n, 8, side_, tiles.data());
  } else if (by_position) {
    for (int t = 0; t < kCachePage; ++t) {
      for (int c = 0; c < n; ++c)
        tiles[static_cast<size_t>(c * kCachePage + t)] = codes[static_cast<size_t>(t * n + c)];
    }
  } else {
    tiles = codes;
  }
  if (spec.rule == CacheRule::kTernary) {
    PackTernary(tiles, bytes);
  } else {
    PackBits(tiles, spec.bits, bytes);
  }
}

void PageCodec::DecodeRun(const Run& run, const uint8_t* page, float* x) const {
  const ChannelRun& spec = run.spec;
  const int n = spec.channels;
  const bool by_position = spec.axis == CacheAxis::kPosition, minimum = spec.rule == CacheRule::kRange;
  const int shared = by_position ? kCachePage : n;
  thread_local std::vector<uint8_t> codes;
  thread_local std::vector<float> numbers;
  codes.resize(static_cast<size_t>(n) * kCachePage);
  numbers.assign(static_cast<size_t>(2 * shared), 0.0f);
  for (int i = 0; i < shared * (minimum ? 2 : 1); ++i) {
    uint16_t half;
    std::memcpy(&half, page + run.scales + 2 * i, 2);
    numbers[static_cast<size_t>(i)] = F16ToFloat(half);
  }
  const std::span<const uint8_t> bytes(page + run.codes, run.code_bytes);
  if (spec.rule == CacheRule::kTernary) {
    UnpackTernary(bytes, codes);
    if (run.tiles) {
      const std::vector<uint8_t> tiles = codes;
      UnpackTiles(tiles.data(), n, 8, side_, codes.data());
    }
  } else if (run.tiles) {
    UnpackTiles(bytes.data(), n, spec.bits, side_, codes.data());
  } else {
    UnpackBits(bytes, spec.bits, codes);
  }
  run.rounder.Decode(codes.data(), static_cast<int64_t>(codes.size()), 1.0f, x);
  const float *a = numbers.data(), *m = a + shared;
  for (int c = 0; c < n; ++c) {
    float* row = x + c * kCachePage;
    if (by_position) {
      for (int t = 0; t < kCachePage; ++t) row[t] = row[t] * a[t] + m[t];
    } else {
      for (int t = 0; t < kCachePage; ++t) row[t] = row[t] * a[c] + m[c];
    }
  }
}

}  // namespace lowbit
