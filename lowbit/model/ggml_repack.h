// Blocks of GGUF files into the packed layout of the kernels, without loss: dequantized values are the same
// f32 bits.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>

#include "lowbit/format/matrix.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

// The packed format with the same levels and scales, or nothing when the type has none (it is expanded to
// floats).
std::optional<PackedFormat> PackedFormOf(GgmlType type);

// `file_row(r)` is the row of the file that becomes row r.
Matrix RepackGgml(GgmlType type, const PackedFormat& format, int64_t rows, int64_t cols,
                  std::span<const std::byte> bytes, const std::function<int64_t(int64_t)>& file_row);

}  // namespace lowbit
