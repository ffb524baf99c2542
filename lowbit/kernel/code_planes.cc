// The layout of packed codes, in plain C++: what the SIMD loops are tested against.
#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/kernel/code_scan.h"

namespace lowbit {
namespace {

struct Plane {
  int width, shift;  // bits of the plane, its least significant bit in the code
};

// Planes of a code, in the order of the bytes.
struct Planes {
  int count = 0;
  Plane plane[3];
};

Planes PlanesOf(int bits) {
  if (bits < 1 || bits > 8) Fail("codes of {} bits: 1 to 8 are possible", bits);
  Planes planes;
  int shift = 0;
  const auto add = [&](int width) {
    planes.plane[planes.count++] = {width, shift};
    shift += width;
  };
  if (bits == 8) add(4);
  if (bits >= 4) add(4);
  if (bits < 8 && (bits & 2) != 0) add(2);
  if (bits < 8 && (bits & 1) != 0) add(1);
  return planes;
}

}  // namespace

void PackCodes(int bits, const uint8_t* codes, int64_t blocks, uint8_t* packed) {
  const Planes planes = PlanesOf(bits);
  for (int64_t b = 0; b < blocks; ++b, codes += kCodeBlock) {
    for (int p = 0; p < planes.count; ++p) {
      const auto [width, shift] = planes.plane[p];
      const int bytes = 4 * width;
      // Whole words of codes at a time: bytes j and j + bytes share a byte of the plane.
      for (int at = 0; at < bytes; at += 4) {
        uint32_t word = 0;
        for (int field = 0; field < 8 / width; ++field) {
          uint32_t four;
          std::memcpy(&four, codes + field * bytes + at, 4);
          word |= (four >> shift & 0x01010101u * ((1u << width) - 1)) << (field * width);
        }
        std::memcpy(packed + at, &word, 4);
      }
      packed += bytes;
    }
  }
}

void UnpackCodes(int bits, const uint8_t* packed, int64_t blocks, uint8_t* codes) {
  const Planes planes = PlanesOf(bits);
  for (int64_t b = 0; b < blocks; ++b, codes += kCodeBlock) {
    std::fill(codes, codes + kCodeBlock, uint8_t{0});
    for (int p = 0; p < planes.count; ++p) {
      const auto [width, shift] = planes.plane[p];
      const int bytes = 4 * width;
      for (int j = 0; j < kCodeBlock; ++j) {
        const int field = packed[j % bytes] >> (width * (j / bytes)) & ((1 << width) - 1);
        codes[j] = static_cast<uint8_t>(codes[j] | field << shift);
      }
      packed += bytes;
    }
  }
}

void DecodeLevels(const CodeAlphabet& alphabet, const uint8_t* packed, int64_t blocks, uint8_t* levels) {
  const int bits = alphabet.bits;
  UnpackCodes(bits, packed, blocks, levels);
  if (!alphabet.trellis) {
    if (bits > 4) return;
    for (int64_t j = 0; j < kCodeBlock * blocks; ++j) levels[j] = alphabet.table[levels[j]];
    return;
  }
  const int width = bits == 3 ? 2 : bits, bytes = 4 * width;
  const auto ring = [&](int64_t byte) {  // of the widest plane
    byte %= blocks * bytes;
    return static_cast<unsigned>(packed[byte / bytes * 4 * bits + byte % bytes]);
  };
  for (int64_t b = 0; b < blocks; ++b, levels += kCodeBlock) {
    for (int j = 0; j < kCodeBlock; ++j) {
      const int64_t byte = b * bytes + j % bytes;
      const unsigned v = (ring(byte) | ring(byte + 1) << 8) >> (width * (j / bytes)) & 255;
      const unsigned side = bits == 3 ? levels[j] >> 2 : bits == 4 ? v >> 4 & 1 : 0;
      levels[j] = alphabet.table[16 * side + ((v ^ v >> 5) & 15)];
    }
  }
}

}  // namespace lowbit
