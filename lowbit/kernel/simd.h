// Includes Highway for a source file that is compiled once for each instruction set. The file defines
// HWY_TARGET_INCLUDE as its own path and then includes this header.
//
// Three sets are compiled on x86: HWY_SCALAR (plain C++, the reference), HWY_AVX2 and HWY_AVX3 (AVX-512 F,
// BW, DQ, VL). Byte-dot instructions are an extra question answered by CPUID (targets.h), because processors
// have them in combinations that no Highway target names.

// clang-format off
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

#include "lowbit/kernel/targets.h"

// The version of function F (named to HWY_EXPORT) for the current target.
#define LOWBIT_KERNEL(F) (::lowbit::CurrentTarget(), HWY_DYNAMIC_DISPATCH(F))
