// Which instruction set the kernels run on: chosen once from CPUID, or forced by the environment variable
// LOWBIT_TARGET or SetTarget. Every target gives the same integers; floats differ only by the rounding of
// fused multiply-adds (scalar has none) and by the lane count of reductions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lowbit {

enum class Target : uint8_t {
  kScalar,      // "scalar": plain C++, any machine
  kAvx2,        // "avx2": AVX2, FMA, F16C
  kAvx2Vnni,    // "avx2-vnni": with AVX-VNNI (vpdpbusd in VEX encoding)
  kAvx512,      // "avx512": AVX-512 F, BW, DQ, VL
  kAvx512Vnni,  // "avx512-vnni": with AVX512_VNNI
  kAvx512Amx,   // "avx512-amx": with AMX-INT8 besides, where the system lends its registers
  kNeon,        // "neon"
};

std::string_view NameOf(Target target);
// The targets this machine and this build can run, slowest first.
std::vector<Target> SupportedTargets();

// The target in use: the last of SupportedTargets(), unless LOWBIT_TARGET names another or SetTarget was
// called. Throws UsageError when LOWBIT_TARGET is no target or cannot run here.
Target CurrentTarget();
inline std::string_view KernelTargetName() {
  return NameOf(CurrentTarget());
}

// Forces a target for the whole process, for tests and benchmarks; not while kernels run. Throws UsageError
// when it cannot run here.
void SetTarget(Target target);
void SetTarget(std::string_view name);

// True when `target` multiplies bytes with one instruction (vpdpbusd).
constexpr bool HasByteDot(Target target) {
  return target == Target::kAvx2Vnni || target == Target::kAvx512Vnni || target == Target::kAvx512Amx;
}
// True when `target` multiplies whole tiles of bytes with one instruction (tdpbssd).
constexpr bool HasTileDot(Target target) {
  return target == Target::kAvx512Amx;
}

// How `target` multiplies bytes for many rows and columns at once: pairs of bytes to words, dots of four,
// tiles.
enum class ByteProducts : uint8_t { kPairs, kDots, kTiles };
constexpr ByteProducts ProductsOf(Target target) {
  if (HasTileDot(target)) return ByteProducts::kTiles;
  return HasByteDot(target) ? ByteProducts::kDots : ByteProducts::kPairs;
}

// True when `target` also has the processor's instructions of byte_fields-inl.h (AVX512_VBMI, VBMI2, GFNI).
bool HasByteFields(Target target);

// AVX512_BF16 (vdpbf16ps) of the processor, whatever the target.
bool CpuHasBF16Dot();

// How many bytes ahead of their use decoding asks memory for packed codes; 0: hardware prefetchers do it
// better.
int64_t PrefetchDistance();

}  // namespace lowbit
