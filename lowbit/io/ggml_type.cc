#include "lowbit/io/ggml_type.h"

#include <array>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

struct Entry {
  GgmlType type;
  std::string_view name;
  BlockSize size;
};

constexpr std::array kEntries = {
    Entry{GgmlType::kQ4_0, "Q4_0", {32, 18}},        Entry{GgmlType::kQ4_1, "Q4_1", {32, 20}},
    Entry{GgmlType::kQ5_0, "Q5_0", {32, 22}},        Entry{GgmlType::kQ5_1, "Q5_1", {32, 24}},
    Entry{GgmlType::kQ8_0, "Q8_0", {32, 34}},        Entry{GgmlType::kQ2_K, "Q2_K", {256, 84}},
    Entry{GgmlType::kQ3_K, "Q3_K", {256, 110}},      Entry{GgmlType::kQ4_K, "Q4_K", {256, 144}},
    Entry{GgmlType::kQ5_K, "Q5_K", {256, 176}},      Entry{GgmlType::kQ6_K, "Q6_K", {256, 210}},
    Entry{GgmlType::kIQ2_XXS, "IQ2_XXS", {256, 66}}, Entry{GgmlType::kIQ2_XS, "IQ2_XS", {256, 74}},
    Entry{GgmlType::kIQ3_XXS, "IQ3_XXS", {256, 98}}, Entry{GgmlType::kIQ1_S, "IQ1_S", {256, 50}},
    Entry{GgmlType::kIQ4_NL, "IQ4_NL", {32, 18}},    Entry{GgmlType::kIQ3_S, "IQ3_S", {256, 110}},
    Entry{GgmlType::kIQ2_S, "IQ2_S", {256, 82}},     Entry{GgmlType::kIQ4_XS, "IQ4_XS", {256, 136}},
    Entry{GgmlType::kIQ1_M, "IQ1_M", {256, 56}},     Entry{GgmlType::kTQ1_0, "TQ1_0", {256, 54}},
    Entry{GgmlType::kTQ2_0, "TQ2_0", {256, 66}},     Entry{GgmlType::kMXFP4, "MXFP4", {32, 17}},
};

constexpr auto kTypes = [] {
  std::array<GgmlType, kEntries.size()> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = kEntries[i].type;
  return types;
}();

struct PlainNumber {
  DType type;
  uint32_t number;
};

constexpr std::array<PlainNumber, 8> kPlainNumbers = {{{DType::kF32, 0},
                                                       {DType::kF16, 1},
                                                       {DType::kI8, 24},
                                                       {DType::kI16, 25},
                                                       {DType::kI32, 26},
                                                       {DType::kI64, 27},
                                                       {DType::kF64, 28},
                                                       {DType::kBF16, 30}}};

const Entry& Find(GgmlType type) {
  for (const Entry& entry : kEntries) {
    if (entry.type == type) return entry;
  }
  Fail("ggml type {} is not known", static_cast<uint32_t>(type));
}

}  // namespace

BlockSize BlockSizeOf(GgmlType type) {
  return Find(type).size;
}
std::string_view NameOf(GgmlType type) {
  return Find(type).name;
}
std::span<const GgmlType> AllGgmlTypes() {
  return kTypes;
}

std::optional<GgmlType> GgmlTypeFromName(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

BlockSize BlockSizeOf(const StoredType& type) {
  if (const auto* plain = std::get_if<DType>(&type)) return {1, static_cast<int>(SizeOf(*plain))};
  return BlockSizeOf(std::get<GgmlType>(type));
}

std::string_view NameOf(const StoredType& type) {
  if (const auto* plain = std::get_if<DType>(&type)) return NameOf(*plain);
  return NameOf(std::get<GgmlType>(type));
}

std::optional<uint32_t> GgufNumberOf(const StoredType& type) {
  if (const auto* blocked = std::get_if<GgmlType>(&type)) return static_cast<uint32_t>(*blocked);
  for (const PlainNumber& plain : kPlainNumbers) {
    if (plain.type == std::get<DType>(type)) return plain.number;
  }
  return std::nullopt;
}

std::optional<StoredType> StoredTypeFromGguf(uint32_t number) {
  for (const PlainNumber& plain : kPlainNumbers) {
    if (plain.number == number) return plain.type;
  }
  for (const Entry& entry : kEntries) {
    if (static_cast<uint32_t>(entry.type) == number) return entry.type;
  }
  return std::nullopt;
}

std::optional<size_t> StoredBytes(const StoredType& type, std::span<const int64_t> shape) {
  const BlockSize block = BlockSizeOf(type);
  int64_t elements = 1;
  for (int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(elements, dimension, &elements)) return std::nullopt;
  }
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % block.elements != 0) return std::nullopt;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / block.elements, static_cast<int64_t>(block.bytes), &bytes)) {
    return std::nullopt;
  }
  return static_cast<size_t>(bytes);
}

}  // namespace lowbit
