// Row orders of query and key matrices. A rotary embedding turns pairs of a head's outputs; checkpoints
// disagree on which rows make a pair:
//   neighbours  (2i, 2i + 1)      llama2.c, GGUF files of the llama family
//   halves      (i, i + size/2)   Hugging Face, and every graph of lowbit
// Whole rows move, so any stored type whose blocks do not cross rows can be reordered as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

// `rows` holds heads * head_size rows of equal length in bytes; head_size is even. Use the number of
// key/value heads for a key matrix. Throws when the bytes do not divide.
std::vector<std::byte> NeighboursToHalves(std::span<const std::byte> rows, int64_t heads, int64_t head_size);
std::vector<std::byte> HalvesToNeighbours(std::span<const std::byte> rows, int64_t heads, int64_t head_size);

}  // namespace lowbit
