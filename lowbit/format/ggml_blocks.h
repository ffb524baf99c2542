// The blocks of GGUF files, taken apart and put together.
//
// Integer types (one grid of equidistant levels): a block of `block` values in groups of `group` means
//     w = (d * scale[g]) * (code - zero) - dmin * min[g],     computed in f32 in this order,
// with d and dmin f16, scale and min small integers, and code < 2^bits:
//
//   type   block group bits zero  scale     min     stored as
//   Q4_0     32    32    4    8   1         -       d, nibbles
//   Q4_1     32    32    4    0   1         1       d, m = -dmin, nibbles
//   Q5_0     32    32    5   16   1         -       d, high bits, nibbles
//   Q5_1     32    32    5    0   1         1       d, m = -dmin, high bits, nibbles
//   Q8_0     32    32    8  128   1         -       d, int8 = code - 128
//   Q2_K    256    16    2    0   0..15     0..15   scale and min nibbles, 2-bit codes, d, dmin
//   Q3_K    256    16    3    4   -32..31   -       high bits, 2-bit codes, 6-bit scales + 32, d
//   Q4_K    256    32    4    0   0..63     0..63   d, dmin, 6-bit scales and mins, nibbles
//   Q5_K    256    32    5    0   0..63     0..63   d, dmin, 6-bit scales and mins, high bits, nibbles
//   Q6_K    256    16    6   32   -128..127 -       nibbles, 2-bit high parts, int8 scales, d
//   TQ1_0   256   256    2    1   1         -       five base-3 digits a byte, d (codes 0..2)
//   TQ2_0   256   256    2    1   1         -       2-bit codes, d
//
// Values are bit-identical in f32 to those of ggml and of its Python package. The other types (IQ..., MXFP4)
// draw from tables or codebooks and are only expanded to floats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "lowbit/io/ggml_type.h"

namespace lowbit {

struct GgmlIntegerLayout {
  int block, group, bits, zero;
  int scale_low, scale_high;  // both 1: the scale is not stored
  int min_high;               // 0: no minimum; 1: one minimum, not scaled
  int groups() const { return block / group; }
};

// Nothing for the types that are not on an integer grid.
std::optional<GgmlIntegerLayout> IntegerLayoutOf(GgmlType type);

// One block of an integer type. Entries past the type's block or groups are not meaningful. For Q4_1 and Q5_1
// `dmin` is the negated stored minimum, so that the formula above holds for all.
struct GgmlBlock {
  alignas(64) std::array<uint8_t, 256> code;
  std::array<int8_t, 16> scale;
  std::array<uint8_t, 16> min;
  uint16_t d, dmin;
};

// `bytes` holds one block: BlockSizeOf(type).bytes. Throws for types that are not on an integer grid.
void UnpackGgml(GgmlType type, std::span<const std::byte> bytes, GgmlBlock& block);
// The same with the codes elsewhere.
void UnpackGgml(GgmlType type, std::span<const std::byte> bytes, GgmlBlock& block, uint8_t* codes);

// The inverse, exact for every block whose fields are in the ranges above; out of range throws. TQ1_0 reads
// more byte values than it writes, so only Unpack after Pack is the identity there.
void PackGgml(GgmlType type, const GgmlBlock& block, std::span<std::byte> bytes);

// f32 values of one unpacked block.
void DequantizeGgml(const GgmlIntegerLayout& layout, const GgmlBlock& block, std::span<float> out);

// Any type, any whole number of blocks: bytes.size() == out.size() / elements * block bytes, checked.
void DequantizeGgml(GgmlType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace lowbit
