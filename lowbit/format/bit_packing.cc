#include "lowbit/format/bit_packing.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void CheckSizes(size_t words, size_t codes, int bits, size_t needed) {
  if (bits < 1 || bits > 8) Fail("codes of {} bits are not packed; 1 to 8 are", bits);
  if (words != needed) Fail("{} codes of {} bits fill {} words, not {}", codes, bits, needed, words);
}

size_t StreamWords(size_t codes, int bits) {
  return (codes * static_cast<size_t>(bits) + 31) / 32;
}

void CheckCodes(std::span<const uint8_t> codes, int bits) {
  uint8_t all = 0;
  for (uint8_t code : codes) all |= code;
  if (all >> bits != 0) {
    Fail("code {} does not fit {} bits", *std::max_element(codes.begin(), codes.end()), bits);
  }
}

// Calls plane(width, shift, first word) for each plane of 32 codes.
template <typename Plane>
void ForEachPlane(int bits, Plane plane) {
  int shift = 0;
  for (int width = 8; width > 0; width /= 2) {
    if ((bits & width) == 0) continue;
    plane(width, shift);
    shift += width;
  }
}

}  // namespace

PackingUnit PackingUnitOf(int bits) {
  if (bits < 1 || bits > 8) Fail("codes of {} bits are not packed; 1 to 8 are", bits);
  if (32 % bits == 0) return {32 / bits, 1};
  return {32, bits};
}

void PackStream(std::span<const uint8_t> codes, int bits, std::span<uint32_t> words) {
  CheckSizes(words.size(), codes.size(), bits, StreamWords(codes.size(), bits));
  CheckCodes(codes, bits);
  uint64_t held = 0;
  int count = 0;
  size_t word = 0;
  for (uint8_t code : codes) {
    held |= static_cast<uint64_t>(code) << count;
    count += bits;
    if (count >= 32) {
      words[word++] = static_cast<uint32_t>(held);
      held >>= 32;
      count -= 32;
    }
  }
  if (count > 0) words[word] = static_cast<uint32_t>(held);
}

void UnpackStream(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes) {
  CheckSizes(words.size(), codes.size(), bits, StreamWords(codes.size(), bits));
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t held = 0;
  int count = 0;
  size_t word = 0;
  for (uint8_t& code : codes) {
    if (count < bits) {
      held |= static_cast<uint64_t>(words[word++]) << count;
      count += 32;
    }
    code = static_cast<uint8_t>(held & mask);
    held >>= bits;
    count -= bits;
  }
}

void PackPlanes(std::span<const uint8_t> codes, int bits, std::span<uint32_t> words) {
  if (codes.size() % 32 != 0) Fail("{} codes are not whole runs of 32", codes.size());
  CheckSizes(words.size(), codes.size(), bits, StreamWords(codes.size(), bits));
  CheckCodes(codes, bits);
  std::array<uint8_t, 32> part;
  for (size_t base = 0, word = 0; base < codes.size(); base += 32) {
    ForEachPlane(bits, [&](int width, int shift) {
      for (size_t k = 0; k < 32; ++k)
        part[k] = static_cast<uint8_t>(codes[base + k] >> shift & ((1 << width) - 1));
      PackStream(part, width, words.subspan(word, static_cast<size_t>(width)));
      word += static_cast<size_t>(width);
    });
  }
}

void UnpackPlanes(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes) {
  if (codes.size() % 32 != 0) Fail("{} codes are not whole runs of 32", codes.size());
  CheckSizes(words.size(), codes.size(), bits, StreamWords(codes.size(), bits));
  std::array<uint8_t, 32> part;
  std::fill(codes.begin(), codes.end(), uint8_t{0});
  for (size_t base = 0, word = 0; base < codes.size(); base += 32) {
    ForEachPlane(bits, [&](int width, int shift) {
      UnpackStream(words.subspan(word, static_cast<size_t>(width)), width, part);
      for (size_t k = 0; k < 32; ++k) codes[base + k] |= static_cast<uint8_t>(part[k] << shift);
      word += static_cast<size_t>(width);
    });
  }
}

void UnpackFields(std::span<const uint32_t> words, int bits, std::span<uint8_t> codes) {
  const size_t fields = static_cast<size_t>(32 / std::clamp(bits, 1, 8));
  CheckSizes(words.size(), codes.size(), bits, (codes.size() + fields - 1) / fields);
  for (size_t k = 0; k < codes.size(); ++k) {
    const int shift = static_cast<int>(k % fields) * bits;
    codes[k] = static_cast<uint8_t>(words[k / fields] >> shift & ((1u << bits) - 1));
  }
}

void PackAwq(std::span<const uint8_t> codes, std::span<uint32_t> words) {
  CheckSizes(words.size(), codes.size(), 4, codes.size() / 8);
  CheckCodes(codes, 4);
  for (size_t w = 0; w < words.size(); ++w) {
    uint32_t word = 0;
    for (size_t i = 0; i < 8; ++i) {
      word |= static_cast<uint32_t>(codes[8 * w + static_cast<size_t>(kAwqOrder[i])]) << (4 * i);
    }
    words[w] = word;
  }
}

void UnpackAwq(std::span<const uint32_t> words, std::span<uint8_t> codes) {
  CheckSizes(words.size(), codes.size(), 4, codes.size() / 8);
  for (size_t w = 0; w < words.size(); ++w) {
    for (size_t i = 0; i < 8; ++i) {
      codes[8 * w + static_cast<size_t>(kAwqOrder[i])] = words[w] >> (4 * i) & 15;
    }
  }
}

}  // namespace lowbit
