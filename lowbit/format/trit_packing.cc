#include "lowbit/format/trit_packing.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void CheckSizes(size_t codes, size_t bytes) {
  if (bytes != TritBytes(codes)) Fail("{} trits fill {} bytes, not {}", codes, TritBytes(codes), bytes);
}

// Calls block(first code, codes, first byte, bytes) for every block.
template <typename F>
void ForEachBlock(size_t codes, F block) {
  size_t byte = 0;
  for (size_t at = 0; at < codes; at += kTritBlockCodes) {
    const size_t count = std::min(kTritBlockCodes, codes - at), bytes = (count + 4) / 5;
    block(at, count, byte, bytes);
    byte += bytes;
  }
}

}  // namespace

void PackTrits(std::span<const uint8_t> codes, std::span<uint8_t> bytes) {
  CheckSizes(codes.size(), bytes.size());
  for (uint8_t code : codes) {
    if (code > 2) Fail("{} is not a ternary code; 0, 1 and 2 are", code);
  }
  ForEachBlock(codes.size(), [&](size_t at, size_t count, size_t first, size_t width) {
    for (size_t j = 0; j < width; ++j) {
      unsigned v = 0;
      for (size_t digit = 0; digit < 5; ++digit) {
        const size_t k = digit * width + j;
        v = 3 * v + (k < count ? codes[at + k] : 0u);
      }
      bytes[first + j] = static_cast<uint8_t>((256 * v + 242) / 243);
    }
  });
}

void UnpackTrits(std::span<const uint8_t> bytes, std::span<uint8_t> codes) {
  CheckSizes(codes.size(), bytes.size());
  for (uint8_t byte : bytes) {
    // v = floor(243 byte / 256) is the only candidate.
    if ((byte * 243u / 256 * 256 + 242) / 243 != byte) Fail("byte {} stands for no five ternary codes", byte);
  }
  ForEachBlock(codes.size(), [&](size_t at, size_t count, size_t first, size_t width) {
    for (size_t j = 0; j < width; ++j) {
      unsigned rest = bytes[first + j];
      for (size_t digit = 0; digit < 5; ++digit) {
        rest = (rest & 255) * 3;
        const size_t k = digit * width + j;
        if (k < count) codes[at + k] = static_cast<uint8_t>(rest >> 8);
      }
    }
  });
}

}  // namespace lowbit
