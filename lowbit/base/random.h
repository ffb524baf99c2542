// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A draw is a pure function of
// (seed, stream, index), so results do not depend on threads or on what was drawn before.
#pragma once

#include <array>
#include <cstdint>

namespace lowbit {

// Four random words for one counter value.
std::array<uint32_t, 4> Philox4x32(uint64_t seed, uint64_t stream, uint64_t index);

// A sequence of draws over one (seed, stream). All draws are integer computations.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t Next32();
  uint64_t Next64();
  // Uniform integer in [0, n), without modulo bias (Lemire's multiply-and-reject). n >= 1.
  uint64_t Below(uint64_t n);
  // Uniform in [0, 1): a 24-bit integer over 2^24, exact in f32.
  float Uniform() { return static_cast<float>(Next32() >> 8) * 0x1p-24f; }
  // Approximately standard normal: the centred sum of twelve 16-bit integers (Irwin-Hall), range +-6.
  float Normal();

 private:
  uint64_t seed_, stream_, index_ = 0;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace lowbit
