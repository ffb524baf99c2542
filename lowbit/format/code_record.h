// Codes of different widths as bytes: one record a point, its codes one after the other from bit 0 of its
// first byte on (format/bit_field.h), the bits left over in its last byte zero. Records of vector quantizers
// in files.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/base/matrix.h"

namespace lowbit {

// Bytes of a record with codes of these widths: ceil(sum / 8).
int64_t CodeRecordBytes(std::span<const int> widths);

// codes (n, widths.size()) -> bytes (n * CodeRecordBytes). Widths are 0 to 16 bits. Throws lowbit::Error when
// the sizes do not fit together or a code is wider than its field.
void PackCodeRecords(MatrixView<const uint16_t> codes, std::span<const int> widths, std::span<uint8_t> bytes);
void UnpackCodeRecords(std::span<const uint8_t> bytes, std::span<const int> widths,
                       MatrixView<uint16_t> codes);

}  // namespace lowbit
