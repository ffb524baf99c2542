// Packed codes of vectors and their inner products with an int8 query.
//
// A code gives each of d coordinates (d a multiple of 32) b bits, 1 to 8, that stand for a level: a number
// from 0 to 127 (255 at 8 bits) of an alphabet. A block of 32 coordinates takes 4 b bytes: planes of w = 4, 2
// and 1 bits whose widths add up to b, widest and least significant first (8 bits: two planes of 4), a plane
// of w bits in 4 w bytes. Coordinate j of the block is in byte j mod 4w, at bit w (j / 4w), so that one
// broadcast, one shift for each lane and one mask spread a plane over a register.
//
// Plain alphabets: level = table[code]. Above 4 bits the level is the code.
//
// Trellis alphabets, 1 to 4 bits: a bit-shift trellis (Mao and Gray; QTIP) of eight-bit windows, tail-biting:
// the bits of the widest plane, read along the whole vector, are one ring. The coordinate whose field begins
// at bit t sees the window v = the eight bits t ... t + 7 of the ring, so that neighbouring coordinates share
// bits, and a sequence of codes can come closer to a sequence of numbers than codes of single numbers can:
//   level = table[16 s + ((v ^ (v >> 5)) & 15)],   s = 0 (b <= 2), the plane of one bit (b = 3), bit 4 of v
//   (b = 4)
// Bits of the ring are numbered from the first block's first byte, least significant bit first. A window
// costs two shifts, two masks and an exclusive or more than a plain code.
#pragma once

#include <array>
#include <cstdint>

namespace lowbit {

inline constexpr int64_t kCodeBlock = 32;

struct CodeAlphabet {
  int bits = 4;
  bool trellis = false;
  std::array<uint8_t, 32> table{};  // levels, at most 127; plain: 2^bits of them; unused above 4 bits
};

// Bytes of `blocks` blocks.
constexpr int64_t CodeBytes(int bits, int64_t blocks) {
  return 4 * bits * blocks;
}

// codes (32 blocks), each below 2^bits, to planes and back.
void PackCodes(int bits, const uint8_t* codes, int64_t blocks, uint8_t* packed);
void UnpackCodes(int bits, const uint8_t* packed, int64_t blocks, uint8_t* codes);

// levels (32 blocks) of packed codes: the definition above, in plain C++.
void DecodeLevels(const CodeAlphabet& alphabet, const uint8_t* packed, int64_t blocks, uint8_t* levels);

// levels (n, 32 blocks) of n codes at packed + i stride, fast.
void DecodeCodes(const CodeAlphabet& alphabet, int64_t blocks, const uint8_t* packed, int64_t stride,
                 int64_t n, uint8_t* levels);

// sums[r n + i] = sum_j queries[r 32 blocks + j] * level_j of the code at packed + i stride, exact, for r <
// `queries`, i < n. Queries are in [-127, 127]; several share one decoding.
void ScanCodes(const CodeAlphabet& alphabet, const int8_t* query, int64_t queries, int64_t blocks,
               const uint8_t* packed, int64_t stride, int64_t n, int32_t* sums);

// codes (n, 32 blocks) of n vectors given in units of levels, y (n, 32 blocks) finite: those that minimise
// sum_j (y_j - level_j)^2, up to the choice of the state in which a ring begins and ends.
void TrellisEncode(const CodeAlphabet& alphabet, const float* y, int64_t n, int64_t blocks, uint8_t* codes);

}  // namespace lowbit
