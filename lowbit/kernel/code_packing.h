// Sub-byte codes, one a byte, to and from memory at several gigabytes of codes a second and core. The same
// bytes as the plain versions in lowbit/format (bit_packing.h on words, trit_packing.h), on every target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lowbit {

// Bytes of `codes` fields of `bits` bits.
constexpr size_t PackedBytes(size_t codes, int bits) {
  return (codes * static_cast<size_t>(bits) + 7) / 8;
}

// One little-endian bit stream: code k occupies bits b k ... b k + b - 1 of the byte string; bits past the
// last code are 0. bits 1 ... 8; bytes.size() == PackedBytes(codes.size(), bits). Throws Error otherwise, and
// when a code does not fit (`bytes` are then undefined).
void PackBits(std::span<const uint8_t> codes, int bits, std::span<uint8_t> bytes);
void UnpackBits(std::span<const uint8_t> bytes, int bits, std::span<uint8_t> codes);

// Five ternary codes a byte, as PackTrits and UnpackTrits, with their errors.
void PackTernary(std::span<const uint8_t> codes, std::span<uint8_t> bytes);
void UnpackTernary(std::span<const uint8_t> bytes, std::span<uint8_t> codes);

}  // namespace lowbit
