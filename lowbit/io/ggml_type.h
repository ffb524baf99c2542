// Geometry and names of stored element types: how many bytes a tensor of a given type and shape occupies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lowbit/io/tensor_source.h"

namespace lowbit {

// A blocked type stores `elements` consecutive values of a row in `bytes` bytes. Blocks never cross rows.
struct BlockSize {
  int elements;
  int bytes;
};

BlockSize BlockSizeOf(GgmlType type);
// "Q4_K", "IQ2_XXS", ... as GGUF tools print them.
std::string_view NameOf(GgmlType type);
std::optional<GgmlType> GgmlTypeFromName(std::string_view name);
std::span<const GgmlType> AllGgmlTypes();

// The same for either kind of type; a plain type is a block of one element.
BlockSize BlockSizeOf(const StoredType& type);
std::string_view NameOf(const StoredType& type);

// The type's number in a GGUF file and back; nothing for types that GGUF does not have or that are not
// supported.
std::optional<uint32_t> GgufNumberOf(const StoredType& type);
std::optional<StoredType> StoredTypeFromGguf(uint32_t number);

// Bytes of a tensor; nothing when the element count or the byte count exceeds 2^63 - 1, a dimension is
// negative, or the innermost dimension is not a whole number of blocks.
std::optional<size_t> StoredBytes(const StoredType& type, std::span<const int64_t> shape);

}  // namespace lowbit
