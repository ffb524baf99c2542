// Values of any stored tensor, plain or blocked, as f32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/io/tensor_source.h"

namespace lowbit {

// The whole tensor, row-major. Plain types as ReadFloats; ggml blocks as DequantizeGgml, rows shared out over
// the thread pool. Errors name the source and the tensor.
std::vector<float> TensorToFloats(const TensorSource& source, const std::string& name);

// Rows [first, first + count) along the outermost dimension.
std::vector<float> TensorRowsToFloats(const TensorSource& source, const std::string& name, int64_t first,
                                      int64_t count);

}  // namespace lowbit
