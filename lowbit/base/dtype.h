// Element types of stored tensors, under their safetensors names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lowbit {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};

// Bytes of one element.
size_t SizeOf(DType type);

// "F32", "BF16", ... as in a safetensors header.
std::string_view NameOf(DType type);
std::optional<DType> DTypeFromName(std::string_view name);

}  // namespace lowbit
