// Expansion of the ggml block types whose values come from tables or codebooks: IQ1_S IQ1_M IQ2_XXS IQ2_XS
// IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS MXFP4. Bit-identical in f32 to ggml.
#pragma once

#include <cstddef>

#include "lowbit/io/tensor_source.h"

namespace lowbit {

// One block: BlockSizeOf(type).bytes read from `bytes`, BlockSizeOf(type).elements written to `out`. Throws
// for the integer types, which ggml_blocks.h takes apart.
void DequantizeTableBlock(GgmlType type, const std::byte* bytes, float* out);

}  // namespace lowbit
