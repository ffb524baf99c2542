#include "lowbit/runtime/cache_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/format/lloyd_max_levels.h"

namespace lowbit {
namespace {

constexpr std::array<std::string_view, 22> kNames = {
    "f16", "f32", "int8", "kivi2", "kivi4", "tq1",    "tq1.5",     "tq2",      "tq2.5",     "tq3",    "tq3.5",
    "tq4", "tq5", "tq6",  "tq7",   "tq8",   "vidkv1", "vidkv1.25", "vidkv1.5", "vidkv1.75", "vidkv2", "sign"};

CacheSideFormat SideOf(std::string_view name) {
  const auto number = [&](std::string_view prefix) {
    double bits = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), bits);
    return bits;
  };
  if (name == "f16") return {CacheCode::kPlain, 16};
  if (name == "f32") return {CacheCode::kPlain, 32};
  if (name == "int8") return {CacheCode::kInt8, 8};
  if (name == "sign") return {CacheCode::kSign, 1};
  if (name.starts_with("kivi")) return {CacheCode::kKivi, number("kivi")};
  if (name.starts_with("tq")) return {CacheCode::kTurbo, number("tq")};
  return {CacheCode::kVidKv, number("vidkv")};
}

std::string NameOf(const CacheSideFormat& format) {
  for (const std::string_view name : kNames) {
    if (SideOf(name) == format) return std::string(name);
  }
  return "?";
}

// Levels of unit variance for one coordinate of a turned unit vector of `n` channels.
ChannelRun TurboRun(int n, int bits) {
  const Law law = n >= 3 ? Law{LawKind::kBeta, n} : Law{LawKind::kGaussian};
  return {.channels = n,
          .bits = bits,
          .axis = CacheAxis::kPosition,
          .rule = CacheRule::kNorm,
          .levels = LloydMaxLevels(law, bits)};
}

// Channels in descending order of `key`, those of equal keys in ascending order; `front` of them first, the
// rest as they were.
std::vector<int> LargestFirst(std::span<const float> key, int front) {
  std::vector<int> order(key.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return key[static_cast<size_t>(a)] > key[static_cast<size_t>(b)]; });
  std::sort(order.begin(), order.begin() + front);
  std::sort(order.begin() + front, order.end());
  return order;
}

// Channels of a key that VidKV gives two bits.
int TwoBitChannels(double bits, int head_size) {
  return static_cast<int>(std::floor((bits - 1) * head_size + 1e-9));
}
// Channels that a half bit more goes to.
int OutlierChannels(double bits, int head_size) {
  return bits == std::floor(bits) ? 0 : head_size / 4;
}

std::vector<ChannelRun> RunsOf(const CacheSideFormat& format, bool keys, int head_size) {
  switch (format.code) {
    case CacheCode::kInt8:
      return {{.channels = head_size, .bits = 8, .axis = CacheAxis::kPosition, .rule = CacheRule::kAbsMax}};
    case CacheCode::kSign:
      return {{.channels = head_size, .bits = 1, .axis = CacheAxis::kChannel, .rule = CacheRule::kSign}};
    case CacheCode::kKivi: {
      const int bits = static_cast<int>(format.bits);
      if (keys)
        return {
            {.channels = head_size, .bits = bits, .axis = CacheAxis::kChannel, .rule = CacheRule::kRange}};
      std::vector<ChannelRun> runs;
      for (int c = 0; c < head_size; c += 32) {
        runs.push_back({.channels = std::min(32, head_size - c),
                        .bits = bits,
                        .axis = CacheAxis::kPosition,
                        .rule = CacheRule::kRange});
      }
      return runs;
    }
    case CacheCode::kTurbo: {
      const int bits = static_cast<int>(format.bits), outliers = OutlierChannels(format.bits, head_size);
      if (outliers == 0) return {TurboRun(head_size, bits)};
      return {TurboRun(outliers, bits + 1), TurboRun(head_size - outliers, bits)};
    }
    case CacheCode::kVidKv: {
      if (!keys) return {{.channels = head_size, .axis = CacheAxis::kChannel, .rule = CacheRule::kTernary}};
      const int wide = TwoBitChannels(format.bits, head_size);
      std::vector<ChannelRun> runs;
      if (wide > 0)
        runs.push_back({.channels = wide, .bits = 2, .axis = CacheAxis::kChannel, .rule = CacheRule::kRange});
      if (wide < head_size)
        runs.push_back({.channels = head_size - wide, .axis = CacheAxis::kChannel, .rule = CacheRule::kSign});
      return runs;
    }
    case CacheCode::kPlain:
      break;
  }
  Fail("a plain cache has no pages");
}

}  // namespace

CacheFormat ParseCacheFormat(std::string_view text) {
  const auto known = [](std::string_view name) {
    if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) return SideOf(name);
    const auto nearest =
        std::min_element(kNames.begin(), kNames.end(), [&](std::string_view a, std::string_view b) {
          return EditDistance(a, name) < EditDistance(b, name);
        });
    FailUsage("\"{}\" is not a cache format; did you mean {}? Known: {}; or KEYS/VALUES", name, *nearest,
              fmt::join(kNames, " "));
  };
  const size_t slash = text.find('/');
  CacheFormat format;
  format.keys = known(text.substr(0, slash));
  format.values = slash == std::string_view::npos ? format.keys : known(text.substr(slash + 1));
  if ((format.keys.code == CacheCode::kPlain) != (format.values.code == CacheCode::kPlain) ||
      (!format.packed() && format.keys != format.values)) {
    FailUsage("\"{}\": keys and values must both be packed, or both be f16 or f32", text);
  }
  if (!format.packed() && format.keys.bits == 32) format.plain = CacheType::kF32;
  return format;
}

std::string NameOf(const CacheFormat& format) {
  const std::string keys = NameOf(format.keys), values = NameOf(format.values);
  return keys == values ? keys : keys + "/" + values;
}

std::vector<std::string> CacheFormatNames() {
  return {kNames.begin(), kNames.end()};
}

CacheSide::CacheSide(const CacheSideFormat& format, bool keys, std::span<const float> range,
                     std::span<const float> magnitude, uint64_t seed)
    : codec_(RunsOf(format, keys, static_cast<int>(range.size())),
             keys ? PageSide::kKeys : PageSide::kValues) {
  const int n = static_cast<int>(range.size());
  const auto turn = [&](int begin, int end, int rounds) {
    if (begin < end)
      turns_.push_back(
          {begin, Rotation(end - begin, {.seed = seed + static_cast<uint64_t>(begin), .rounds = rounds})});
  };
  if (format.code == CacheCode::kTurbo) {
    const int outliers = OutlierChannels(format.bits, n);
    if (outliers > 0) order_ = LargestFirst(magnitude, outliers);
    turn(0, outliers, 3);
    turn(outliers, n, 3);
  }
  if (format.code == CacheCode::kVidKv && keys) {
    const int wide = TwoBitChannels(format.bits, n);
    order_ = LargestFirst(range, wide);
    turn(wide, n, 1);
  }
}

void CacheSide::Apply(const float* x, float* y) const {
  const auto n = static_cast<size_t>(codec_.channels());
  if (order_.empty()) {
    std::copy_n(x, n, y);
  } else {
    for (size_t i = 0; i < n; ++i) y[i] = x[order_[i]];
  }
  for (const Turn& turn : turns_) turn.rotation.Apply(y + turn.begin, y + turn.begin);
}

void CacheSide::Inverse(const float* y, float* x) const {
  const auto n = static_cast<size_t>(codec_.channels());
  thread_local std::vector<float> back;
  back.assign(y, y + n);
  for (const Turn& turn : turns_) turn.rotation.Inverse(back.data() + turn.begin, back.data() + turn.begin);
  for (size_t i = 0; i < n; ++i) x[order_.empty() ? i : static_cast<size_t>(order_[i])] = back[i];
}

double BitsPerValue(const CacheSideFormat& format, bool keys, int head_size) {
  if (format.code == CacheCode::kPlain) return format.bits;
  return static_cast<double>(PageCodec(RunsOf(format, keys, head_size)).bytes()) * 8 /
         (kCachePage * head_size);
}

}  // namespace lowbit
