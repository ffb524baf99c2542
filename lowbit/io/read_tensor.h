// Values of stored tensors, copied out. Bytes of foreign files may start at any address, so nothing here
// loads a value through a cast pointer. Blocked (ggml) types are read one floor up: TensorToFloats in
// format/tensor_floats.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lowbit/io/tensor_source.h"

namespace lowbit {

// Elements [first, first + out.size()) of a plain tensor in row-major order as f32. F16, BF16, F8_E4M3 (no
// infinities, 0x7f is NaN), F8_E5M2 and integers up to 24 bits are exact; F64 and wider integers are rounded
// to nearest. Throws when the range is outside or the type is blocked.
void ReadFloats(const TensorView& view, int64_t first, std::span<float> out);

// The whole tensor. Errors name the source and the tensor.
std::vector<float> ReadFloats(const TensorSource& source, const std::string& name);

// Rows [first, first + count) along the outermost dimension.
std::vector<float> ReadFloatRows(const TensorSource& source, const std::string& name, int64_t first,
                                 int64_t count);

// Integer tensors (I8 ... I64, U8 ... U64, BOOL) as int64. U64 values past 2^63 - 1 are an error; float and
// blocked types too.
std::vector<int64_t> ReadIntegers(const TensorSource& source, const std::string& name);

}  // namespace lowbit
