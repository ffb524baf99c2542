// A model as a GGUF file that llama.cpp runs. Codes travel as they are: a packed matrix becomes blocks with
// the same dequantized values, or the export says why it cannot.
#pragma once

#include <filesystem>
#include <optional>

#include "lowbit/io/tensor_source.h"
#include "lowbit/model/model.h"

namespace lowbit {

// The GGUF type that holds a packed format without loss: the K-quants, Q4_1 and Q5_1 as they are; symmetric
// 4, 5 and 8 bits with one f16 scale a group of 32 columns or more become Q4_0, Q5_0, Q8_0 (a wider group's
// scale is repeated). Nothing for the others.
std::optional<GgmlType> GgmlTypeFor(const PackedFormat& format);

// Writes configuration, tokenizer, chat template and weights. Throws Error naming the tensor whose format
// GGUF lacks, or what of the model GGUF cannot express.
void WriteGguf(const Model& model, const std::filesystem::path& path);

}  // namespace lowbit
