#include "lowbit/base/random.h"

namespace lowbit {

std::array<uint32_t, 4> Philox4x32(uint64_t seed, uint64_t stream, uint64_t index) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

uint32_t Random::Next32() {
  if (used_ == 4) {
    block_ = Philox4x32(seed_, stream_, index_++);
    used_ = 0;
  }
  return block_[used_++];
}

uint64_t Random::Next64() {
  const uint64_t high = Next32();
  return (high << 32) | Next32();
}

uint64_t Random::Below(uint64_t n) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(Next64()) * n;
  if (static_cast<uint64_t>(product) < n) {
    const uint64_t reject = (0 - n) % n;
    while (static_cast<uint64_t>(product) < reject) product = static_cast<Wide>(Next64()) * n;
  }
  return static_cast<uint64_t>(product >> 64);
}

float Random::Normal() {
  int64_t sum = 0;
  for (int i = 0; i < 6; ++i) {
    const uint32_t word = Next32();
    sum += (word & 0xffffu) + (word >> 16);
  }
  return static_cast<float>(sum - 6 * 0xffff) * 0x1p-16f;
}

}  // namespace lowbit
