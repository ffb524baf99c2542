// The one instruction of a byte dot product (AVX512_VNNI in the AVX3 target, AVX-VNNI in the AVX2 target),
// for vectors of any length; only where the processor has it (HasByteDot):
//
//   lane r:  sum_r + c_0 x_0 + c_1 x_1 + c_2 x_2 + c_3 x_3     bytes 4 r to 4 r + 3: c unsigned, x signed

#if defined(LOWBIT_KERNEL_VPDPBUSD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_VPDPBUSD_INL_H_
#undef LOWBIT_KERNEL_VPDPBUSD_INL_H_
#else
#define LOWBIT_KERNEL_VPDPBUSD_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

template <class Sum, class Codes, class X>
HWY_INLINE Sum DotBytes(Sum sum, Codes c, X x) {
#if HWY_TARGET == HWY_AVX3
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(c.raw), "v"(x.raw));
#else
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(c.raw), "x"(x.raw));
#endif
  return sum;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_VPDPBUSD_INL_H_
