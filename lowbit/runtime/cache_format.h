// What the keys and values of a language model are kept as. Names:
//
//   f16  f32        plain
//   int8            a scale for every position and head, 8 bits
//   kivi2 kivi4     keys per channel over 32 positions, values per position over 32 channels, asymmetric
//   [KIVI] tq1 ... tq8     TurboQuant: a random rotation, then the levels of a coordinate's law and a norm; a
//   half
//                   (tq2.5) gives one more bit to the quarter of the channels of largest magnitude, which is
//                   turned on its own
//   vidkv1.25 ... vidkv2    keys: 2 bits for the channels of largest range, the others 1 bit after a Hadamard
//                   transform; values ternary, per channel over 32 positions [VidKV]
//   sign            1-bit keys and values, per channel over 32 positions: a floor to compare with
//   KEYS/VALUES     two of these for keys and values
//
// Names are nominal; BitsPerValue says what is stored, norms and scales included.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/kernel/attention.h"
#include "lowbit/quantize/cache_page.h"
#include "lowbit/transform/rotation.h"

namespace lowbit {

enum class CacheCode : uint8_t { kPlain, kInt8, kKivi, kTurbo, kVidKv, kSign };

struct CacheSideFormat {
  CacheCode code = CacheCode::kPlain;
  double bits = 16;  // nominal: kKivi, kTurbo, kVidKv
  bool operator==(const CacheSideFormat&) const = default;
};

struct CacheFormat {
  CacheType plain = CacheType::kF16;  // of the positions that are not packed
  CacheSideFormat keys, values;       // both plain or both packed

  bool packed() const { return keys.code != CacheCode::kPlain; }
  bool operator==(const CacheFormat&) const = default;
};

// Throws UsageError with the nearest valid name when `text` is none.
CacheFormat ParseCacheFormat(std::string_view text);
std::string NameOf(const CacheFormat& format);
std::vector<std::string> CacheFormatNames();

// One side, keys or values, of one attention node: an orthogonal transform of a head's vector (a permutation
// of the channels, then rotations of runs of them) and the page codec of the transformed vectors.
class CacheSide {
 public:
  // `range` holds max - min, `magnitude` max |x| of each of the head's channels over what has been seen; all
  // heads of a node share the result. Throws Error when the format does not fit the head size.
  CacheSide(const CacheSideFormat& format, bool keys, std::span<const float> range,
            std::span<const float> magnitude, uint64_t seed);

  const PageCodec& codec() const { return codec_; }
  void Apply(const float* x, float* y) const;  // head_size entries
  void Inverse(const float* y, float* x) const;

 private:
  struct Turn {
    int begin;
    Rotation rotation;
  };
  std::vector<int> order_;  // entry i of y comes from channel order_[i]; empty: the identity
  std::vector<Turn> turns_;
  PageCodec codec_;
};

// Stored bits of a key or value entry, a head of `head_size` channels: everything in a page.
double BitsPerValue(const CacheSideFormat& format, bool keys, int head_size);

}  // namespace lowbit
