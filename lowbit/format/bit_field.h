// One little-endian bit field of any width up to 57 bits at any position of a byte string: bit k of the
// string is bit k % 8 of byte k / 8. For headers and mixed records; runs of equal fields are packed by
// bit_packing.h and, fast, by lowbit/kernel/code_packing.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lowbit/base/error.h"

namespace lowbit {

inline constexpr int kWidestBitField = 57;  // at any position within eight bytes

namespace bit_field_internal {
inline void Check(size_t bytes, size_t first, int width) {
  if (width < 1 || width > kWidestBitField) {
    Fail("a bit field of {} bits; 1 to {} are possible", width, kWidestBitField);
  }
  if (first > 8 * bytes || 8 * bytes - first < static_cast<size_t>(width)) {
    Fail("bits {} to {} of a string of {} bytes", first, first + static_cast<size_t>(width) - 1, bytes);
  }
}
}  // namespace bit_field_internal

// Bits first ... first + width - 1. Throws Error outside the string.
inline uint64_t ReadBitField(std::span<const uint8_t> bytes, size_t first, int width) {
  bit_field_internal::Check(bytes.size(), first, width);
  const size_t low = first / 8, high = (first + static_cast<size_t>(width) - 1) / 8;
  uint64_t held = 0;
  for (size_t b = low; b <= high; ++b) held |= static_cast<uint64_t>(bytes[b]) << (8 * (b - low));
  return held >> (first % 8) & ((uint64_t{1} << width) - 1);
}

// The other bits stay. Throws Error outside the string or when `value` needs more bits.
inline void WriteBitField(std::span<uint8_t> bytes, size_t first, int width, uint64_t value) {
  bit_field_internal::Check(bytes.size(), first, width);
  if (value >> width != 0) Fail("{} does not fit {} bits", value, width);
  const uint64_t mask = ((uint64_t{1} << width) - 1) << (first % 8), placed = value << (first % 8);
  const size_t low = first / 8, high = (first + static_cast<size_t>(width) - 1) / 8;
  for (size_t b = low; b <= high; ++b) {
    const size_t shift = 8 * (b - low);
    bytes[b] = static_cast<uint8_t>((bytes[b] & ~(mask >> shift)) | (placed >> shift & 255));
  }
}

}  // namespace lowbit
