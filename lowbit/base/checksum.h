// A 64-bit checksum of bytes: XXH64 with seed 0 (Collet, the specification of xxHash 0.1.1), for damage and
// not for adversaries. About ten bytes a nanosecond.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace lowbit {
namespace checksum_internal {

inline constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                          kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                          kPrime5 = 0x27D4EB2F165667C5u;

inline uint64_t Round(uint64_t sum, uint64_t word) {
  return std::rotl(sum + word * kPrime2, 31) * kPrime1;
}
template <typename T>
T Load(const std::byte* p) {
  T word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

}  // namespace checksum_internal

inline uint64_t Checksum(std::span<const std::byte> bytes) {
  namespace in = checksum_internal;
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  uint64_t sum = in::kPrime5;
  if (left >= 32) {
    uint64_t lane[4] = {in::kPrime1 + in::kPrime2, in::kPrime2, 0, 0 - in::kPrime1};
    for (; left >= 32; left -= 32, p += 32) {
      for (int k = 0; k < 4; ++k) lane[k] = in::Round(lane[k], in::Load<uint64_t>(p + 8 * k));
    }
    sum = std::rotl(lane[0], 1) + std::rotl(lane[1], 7) + std::rotl(lane[2], 12) + std::rotl(lane[3], 18);
    for (const uint64_t l : lane) sum = (sum ^ in::Round(0, l)) * in::kPrime1 + in::kPrime4;
  }
  sum += bytes.size();
  for (; left >= 8; left -= 8, p += 8)
    sum = std::rotl(sum ^ in::Round(0, in::Load<uint64_t>(p)), 27) * in::kPrime1 + in::kPrime4;
  if (left >= 4) {
    sum = std::rotl(sum ^ in::Load<uint32_t>(p) * in::kPrime1, 23) * in::kPrime2 + in::kPrime3;
    left -= 4, p += 4;
  }
  for (; left > 0; --left, ++p)
    sum = std::rotl(sum ^ std::to_integer<uint64_t>(*p) * in::kPrime5, 11) * in::kPrime1;
  sum = (sum ^ (sum >> 33)) * in::kPrime2;
  sum = (sum ^ (sum >> 29)) * in::kPrime3;
  return sum ^ (sum >> 32);
}

}  // namespace lowbit
