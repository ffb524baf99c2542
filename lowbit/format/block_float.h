// Block floating point as specified: the microscaling formats of OCP (MXFP4, MXFP6, MXFP8, MXINT8:
// Microscaling Formats 1.0) and NVFP4.
//
//   value = element(code) * scale(block) [* tensor scale]
//
// MX: 32 values share an E8M0 scale:
//   scale  = 2^(floor(log2 max|x|) - emax)   emax the exponent of the element's greatest number
//   code   = element(x / scale)              nearest, ties to even; saturating: a maximum near the next
//                                            power of two exceeds the greatest number
// NVFP4: 16 values share an E4M3 scale, all values of a tensor an f32 scale:
//   tensor = max|x| / (448 * 6)            1 when all values are 0
//   block  = E4M3(clamp((max|x in block| / 6) / tensor, least, 448))       nearest, ties to even
//   code   = E2M1(x / (block * tensor))    saturating: a scale rounded down makes x exceed 6
//
// Blocks run along a row and never cross it; the last may be short. A block with a value that is not finite
// gets the scale NaN, and decodes to NaN. Elements are stored as little-endian fields of 4, 6 or 8 bits
// (bit_packing.h): the even element of a pair of E2M1 in the low nibble.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/format/scalar_format.h"
#include "lowbit/format/table.h"

namespace lowbit {

// How the E8M0 scale is found from the greatest magnitude of its block.
enum class SharedExponent : uint8_t {
  kFloor,  // the specification's
  kCeil,   // 2^ceil(log2(max|x| / greatest level)): nothing saturates
  kEven,   // as kFloor, of max|x| rounded to the element's mantissa first
};

struct BlockOptions {
  SharedExponent exponent = SharedExponent::kFloor;
  float tensor_scale = 0;       // NVFP4; 0: from the values
  float least_scale = 0x1p-9f;  // NVFP4, of a block; other programs clamp at 2^-6
};

struct BlockCodes {
  int64_t rows = 0, cols = 0, blocks = 0;  // (out, in), blocks of a row
  std::vector<uint8_t> codes;              // (rows, cols)
  std::vector<uint8_t> scales;             // (rows, blocks) E8M0 or E4M3
  float tensor_scale = 1;
};

// `format` has a group and a scale of E8M0 or E4M3 ("mxfp4", "nvfp4", "e3m4-g64-e8m0"); its rule is not
// looked at. Throws Error otherwise, or when the sizes disagree.
BlockCodes EncodeBlocks(const ScalarFormat& format, std::span<const float> x, int64_t rows, int64_t cols,
                        const BlockOptions& options = {});
std::vector<float> DecodeBlocks(const ScalarFormat& format, const BlockCodes& blocks);

// What a level of the table stands for: 2^-6 for MXINT8, whose integers count 64ths; 1 for floats.
float ElementUnit(const Alphabet& alphabet);

}  // namespace lowbit
