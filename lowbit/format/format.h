// How a stored weight matrix is laid out: alphabet (uniform integers of b bits), scaling (tiles along a row,
// one or two levels), offset, packing. A format introduces itself by one notation for people:
//
//   int4-g32         4-bit codes, symmetric, one f16 scale for each 32 columns
//   int3-g64-asym    the same with an integer zero point for each group
//   int8             (also int8-row) one scale a row
//   q4_k, q8_0, ...  the block types of GGUF, the same values in kernel layout
//   e2m1-g32, nvfp4, apot4-g64, ternary-g64-median, ...   tables of levels (scalar_format.h)
//   f32, bf16, f16   not quantized
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lowbit/base/dtype.h"
#include "lowbit/format/scalar_format.h"

namespace lowbit {

enum class ScaleKind : uint8_t {
  kF16,    // scale_g: f16, one for each group
  kSuper,  // scale_g = d * sub_g: d f16 for each 256 columns, sub_g int8 (6-bit or 4-bit integers, kept as
           // bytes)
  kE8M0,   // scale_g = 2^(e_g - 127)
  kE4M3,   // scale_g = t * e4m3_g: t f32, one for the matrix
};

enum class OffsetKind : uint8_t {
  kCentre,     // value = scale_g * (code - 2^(bits-1))
  kZeroPoint,  // value = scale_g * (code - zero_g), zero_g uint8
  kMinF16,     // value = scale_g * code + min_g, min_g f16
  kSuperMin,   // value = scale_g * code - dmin * submin_g: dmin f16 for each 256 columns, submin_g uint8
  kTable,      // value = scale_g * level[code], the levels of `alphabet`
};

// A packed format. Valid: bits in {2, 3, 4, 5, 6, 8}, with tables also 1; group 0 (whole row) or a multiple
// of 32, also 16 with kSuper and with tables; kSuper and kSuperMin need a group that divides 256; kE8M0 and
// kE4M3 belong to tables. `bits` is the width of a stored code, at least that of the alphabet.
struct PackedFormat {
  int bits = 4;
  int group = 32;  // columns that share a scale; 0: the whole row
  ScaleKind scale = ScaleKind::kF16;
  OffsetKind offset = OffsetKind::kCentre;
  std::optional<Alphabet> alphabet = std::nullopt;  // kTable
  ScaleRule rule = ScaleRule::kSquaredError;        // kTable: how a quantizer chooses the scales

  bool operator==(const PackedFormat&) const = default;
};

// True where the two numbers of a group, sub-scale and sub-minimum, have 4 bits each (2-bit codes: Q2_K) and
// share a byte. Two bytes for 16 codes of 2 bits would be a fifth more to read.
constexpr bool NumbersShareByte(const PackedFormat& format) {
  return format.bits == 2 && format.offset == OffsetKind::kSuperMin;
}

// What a matrix may be stored as: plain floats or packed integers.
using Format = std::variant<DType, PackedFormat>;

// The table format as the quantizers of tables want it. `format.offset` must be kTable.
ScalarFormat ScalarFormatOf(const PackedFormat& format);
// The f32 scale that a byte of kE8M0 (t is not looked at) or kE4M3 stands for.
float ScaleOfByte(ScaleKind kind, uint8_t byte, float tensor_scale);

// Parses the notation above; throws UsageError with the nearest valid name when `text` is none.
Format ParseFormat(std::string_view text);
std::string NameOf(const Format& format);
std::string NameOf(const PackedFormat& format);

// Where the sections of a packed matrix lie inside its one run of bytes. Every section starts at a multiple
// of 64.
//
// Rows are padded to panels of 16, columns to 32. One tile = 16 rows x 32 columns = 8 quads; a quad is 4
// columns of 16 rows, 64 codes, row r column c at byte 4 r + c: one 32-bit lane per row, the operand of a
// byte dot product. Codes of a tile are split into bit planes that each fill whole 64-byte vectors:
//   8 bits: 8 vectors, one a quad
//   4-bit plane (4, 5, 6 bits): 4 vectors; vector v holds quad v in the low and quad v + 4 in the high
//   nibbles 2-bit plane (2, 3, 6 bits): 2 vectors; vector v holds quads v, v+2, v+4, v+6 at bits 0, 2, 4, 6
//   1-bit plane (1, 3, 5 bits): 1 vector; quad q at bit q
// 3 = 2-bit plane (low) + 1-bit plane (high), 5 = 4 + 1, 6 = 4 + 2. A tile is 64 * bits bytes, planes low to
// high.
//   codes:      [rows/16][cols/32] tiles
//   scale:      [rows/16][groups][16] f16 (kF16) or int8 (kSuper); sub + 16 submin where NumbersShareByte
//   offset:     [rows/16][groups][16] uint8 (kZeroPoint, kSuperMin) or f16 (kMinF16); empty for kCentre and
//               where NumbersShareByte
//   super:      [rows/16][cols/256][16] f16 d (kSuper)
//   super_min:  [rows/16][cols/256][16] f16 dmin (kSuperMin)
//   tensor:     f32 t (kE4M3)
struct PackedLayout {
  int64_t panels, tiles, groups,
      supers;  // rows/16, cols/32, scales a row, super-scales a row (all rounded up)
  size_t codes, scale, offset, super, super_min, tensor, bytes;  // section starts, total

  PackedLayout(const PackedFormat& format, int64_t rows, int64_t cols);
};

inline constexpr int kPanelRows = 16;
inline constexpr int kTileColumns = 32;
inline constexpr int kSuperColumns = 256;

// A matrix in codes: what a quantizer makes and what packing reads. value(r, c) is given by OffsetKind above.
// Only the vectors that the format uses are filled. Groups are counted along a row; the last may be short.
struct QuantizedMatrix {
  PackedFormat format;
  int64_t rows = 0, cols = 0;
  std::vector<uint8_t> codes;       // (rows, cols)
  std::vector<uint16_t> scale;      // (rows, groups) f16            kF16
  std::vector<int8_t> sub_scale;    // (rows, groups)                kSuper
  std::vector<uint8_t> scale_code;  // (rows, groups)                kE8M0, kE4M3
  float tensor_scale = 1;           // t                             kE4M3
  std::vector<uint8_t> zero;        // (rows, groups)                kZeroPoint; sub-minimum of kSuperMin
  std::vector<uint16_t> min;        // (rows, groups) f16            kMinF16
  std::vector<uint16_t> super;      // (rows, ceil(cols/256)) f16 d  kSuper
  std::vector<uint16_t> super_min;  // (rows, ceil(cols/256)) f16    kSuperMin
  std::vector<int32_t>
      order;  // empty, or column j of the matrix multiplies input order[j] (activation order)

  int64_t groups() const { return format.group == 0 ? 1 : (cols + format.group - 1) / format.group; }
  int64_t supers() const { return (cols + kSuperColumns - 1) / kSuperColumns; }
  // Row r in f32, columns in stored order (not undoing `order`).
  void DequantizeRow(int64_t r, float* out) const;
};

// The packed form of `matrix`, layout.bytes long. Padding codes are 0 and padding scales are 0. Throws Error
// where NumbersShareByte and a sub-scale or sub-minimum is not in 0..15.
std::vector<uint8_t> Pack(const QuantizedMatrix& matrix);
// The same for `part`, rows of a larger matrix from its panel `panel` on, to their places in the bytes of
// that matrix; whole panels, but at its end. Padding is left as it is.
void PackPanels(const QuantizedMatrix& part, int64_t panel, const PackedLayout& layout, uint8_t* bytes);
// The inverse, for tests, export and re-quantization. Throws Error when the size is wrong.
QuantizedMatrix Unpack(const PackedFormat& format, int64_t rows, int64_t cols, const uint8_t* bytes,
                       size_t size);

}  // namespace lowbit
