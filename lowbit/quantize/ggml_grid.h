// The grids of GGUF's block types as numbers, apart from how their bits are packed.
//
// A row is cut into blocks; a block has f16 numbers d and dmin, and is cut into sub-blocks with small
// integers:
//   value = d * scale * (code - code_zero) - dmin * min
// Types without a sub-block level have scale = 1; types without an offset have min = 0; Q4_1 and Q5_1, which
// store an f16 minimum m, have min = 1 and dmin = -m. Codes count from zero whatever sign the file gives
// them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lowbit {

enum class GgmlGridType { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K };

struct GgmlGrid {
  GgmlGridType type;
  std::string_view name;
  int block;                 // columns that share d and dmin
  int sub;                   // columns that share scale and min
  int code_max, code_zero;   // codes are 0 ... code_max
  int scale_min, scale_max;  // range of the integer scale; equal when the type has none
  int min_max;               // the integer min is 0 ... min_max; 0: no offset
  bool has_scales() const { return scale_min != scale_max; }
  bool has_offset() const { return min_max > 0; }
};

const GgmlGrid& GridOf(GgmlGridType type);

// One block as a packer wants it; the first `block / sub` entries of scale and min and `block` of codes
// count.
struct GgmlBlockCodes {
  std::array<uint8_t, 256> codes;
  std::array<int8_t, 16> scale;
  std::array<uint8_t, 16> min;
  float d, dmin;  // each exactly an f16
};

// A matrix on such a grid.
struct GgmlCodes {
  GgmlGridType type = GgmlGridType::kQ4_0;
  int64_t rows = 0, cols = 0;  // (out, in)
  std::vector<uint8_t> codes;  // (rows, cols)
  std::vector<float> d, dmin;  // (rows, cols / block), each exactly an f16
  std::vector<int8_t> scale;   // (rows, cols / sub)
  std::vector<uint8_t> min;    // (rows, cols / sub)

  GgmlBlockCodes Block(int64_t row, int64_t block) const;
};

// (rows, cols), in the order of operations of the reference dequantizers, so bit-identical to theirs.
std::vector<float> Dequantize(const GgmlCodes& matrix);

}  // namespace lowbit
