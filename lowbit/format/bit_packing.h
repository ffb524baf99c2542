// Codes of b bits (1 to 8) in 32-bit words, as checkpoints of other programs store them. Words are unsigned
// here; files declare them int32.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lowbit {

// The smallest run of codes that fills whole words: 32 / b codes in one word when b divides 32, else 32 codes
// in b.
struct PackingUnit {
  int codes, words;
};
PackingUnit PackingUnitOf(int bits);

// One little-endian bit stream: code k occupies bits b k .. b k + b - 1, word w holds bits 32 w .. 32 w + 31.
// A code may straddle two words (3 bits: codes 10 and 21 of every 32). words.size() == ceil(b * codes.size()
// / 32); bits past the last code are zero. Codes must be below 2^b: wider ones throw instead of spilling into
// a neighbour.
void PackStream(std::span<const uint8_t> codes, int bits, std::span<uint32_t> words);
void UnpackStream(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes);

// Bit planes: every 32 codes are b words, cut into planes whose widths are the powers of two that add up to
// b, the widest (least significant) first: 3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2, 7 = 4 + 2 + 1. Within a plane a
// stream as above, so that no code straddles words. codes.size() is a multiple of 32.
void PackPlanes(std::span<const uint8_t> codes, int bits, std::span<uint32_t> words);
void UnpackPlanes(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes);

// One code in each whole field of 32 / b codes; the bits left over at the top of a word are unused (older
// compressed-tensors files). words.size() == ceil(codes.size() / (32 / b)).
void UnpackFields(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes);

// AWQ's order of eight 4-bit codes in a word: field i holds code kAwqOrder[i].
inline constexpr std::array<int, 8> kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};
void PackAwq(std::span<const uint8_t> codes, std::span<uint32_t> words);
void UnpackAwq(std::span<const uint32_t> words, std::span<uint8_t> codes);

}  // namespace lowbit
