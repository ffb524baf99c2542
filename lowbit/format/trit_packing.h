// Ternary codes (0, 1, 2), five in a byte: 1.6 bits a code.
//
// Codes are cut into blocks of 160 in 32 bytes; byte j of a block holds its codes j, j + 32, ..., j + 128 as
// digits t_0 ... t_4 of v = 81 t_0 + 27 t_1 + 9 t_2 + 3 t_3 + t_4, stored as ceil(256 v / 243). That fraction
// of 256 gives digit after digit by multiplication: t = (3 byte) >> 8, byte = 3 byte mod 256. A last block of
// r codes has m = ceil(r / 5) bytes, byte j holding codes j, j + m, ...; missing ones are 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lowbit {

inline constexpr size_t kTritBlockBytes = 32;
inline constexpr size_t kTritBlockCodes = 5 * kTritBlockBytes;

constexpr size_t TritBytes(size_t codes) {
  return codes / kTritBlockCodes * kTritBlockBytes + (codes % kTritBlockCodes + 4) / 5;
}

// bytes.size() == TritBytes(codes.size()). A code above 2 throws; so does a byte that stands for no five
// trits (13 of the 256) when it is unpacked.
void PackTrits(std::span<const uint8_t> codes, std::span<uint8_t> bytes);
void UnpackTrits(std::span<const uint8_t> bytes, std::span<uint8_t> codes);

}  // namespace lowbit
