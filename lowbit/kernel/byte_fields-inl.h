// Instructions on fields of bits and on tables of bytes that processors from Ice Lake and Zen 4 on have
// (AVX512_VBMI, VBMI2, GFNI), in the AVX3 target; only where the processor has them (HasByteFields).

#if defined(LOWBIT_KERNEL_BYTE_FIELDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_BYTE_FIELDS_INL_H_
#undef LOWBIT_KERNEL_BYTE_FIELDS_INL_H_
#else
#define LOWBIT_KERNEL_BYTE_FIELDS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX3

// Each 64-bit lane of `low` shifted to the right by `count` (below 64), with the bits of `high` coming after.
HWY_INLINE __m512i ShiftRightThrough(__m512i low, __m512i high, __m512i count) {
  asm("vpshrdvq %2, %1, %0" : "+v"(low) : "v"(high), "v"(count));
  return low;
}

// Each byte of `bytes` times a matrix of 8 x 8 bits modulo 2: bit i of the result is the parity of the byte
// and of byte 7 - i of the matrix.
HWY_INLINE __m512i TimesBits(__m512i bytes, __m512i matrix) {
  __m512i product;
  asm("vgf2p8affineqb $0, %2, %1, %0" : "=v"(product) : "v"(bytes), "v"(matrix));
  return product;
}

// table[index], of each index the low six bits.
HWY_INLINE __m512i LookUp64(__m512i table, __m512i index) {
  __m512i found;
  asm("vpermb %2, %1, %0" : "=v"(found) : "v"(index), "v"(table));
  return found;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_BYTE_FIELDS_INL_H_
