// Packed matrices as files keep them: the bytes that kernels read, but for ternary codes. Their 2 bits become
// five trits a byte, 1.6 bits a weight, and are spread again when a matrix is loaded.
//
// A matrix in trits: the codes of the section `codes` (format/format.h) as they lie, byte i holding codes
// 4 i ... 4 i + 3 from the least significant bits on, in the blocks of format/trit_packing.h; zeros up to a
// multiple of 64 bytes; the other sections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/format/format.h"

namespace lowbit {

// Whether files keep the format's codes as trits.
bool InTrits(const PackedFormat& format);
// Bytes of a matrix in a file.
size_t StoredBytesOf(const PackedFormat& format, int64_t rows, int64_t cols);

// For formats in trits, between the bytes of PackedLayout and those of a file. Throws Error when a size is
// wrong, a code is no trit or a byte stands for no five trits.
std::vector<uint8_t> ToTrits(const PackedFormat& format, int64_t rows, int64_t cols,
                             std::span<const uint8_t> packed);
Buffer<uint8_t> FromTrits(const PackedFormat& format, int64_t rows, int64_t cols,
                          std::span<const uint8_t> stored);

}  // namespace lowbit
