#include "lowbit/io/rotary_rows.h"

#include <cstring>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

size_t RowBytes(std::span<const std::byte> rows, int64_t heads, int64_t head_size) {
  if (heads < 1 || head_size < 2 || head_size % 2 != 0 ||
      rows.size() % static_cast<size_t>(heads * head_size) != 0) {
    Fail("{} bytes are not {} heads of {} rows (an even number)", rows.size(), heads, head_size);
  }
  return rows.size() / static_cast<size_t>(heads * head_size);
}

// Calls move(row in neighbour order, row in half order) for every row.
template <typename Move>
void ForEachRow(int64_t heads, int64_t head_size, Move move) {
  for (int64_t first = 0; first < heads * head_size; first += head_size) {
    for (int64_t i = 0; i < head_size / 2; ++i) {
      move(static_cast<size_t>(first + 2 * i), static_cast<size_t>(first + i));
      move(static_cast<size_t>(first + 2 * i + 1), static_cast<size_t>(first + head_size / 2 + i));
    }
  }
}

}  // namespace

std::vector<std::byte> NeighboursToHalves(std::span<const std::byte> rows, int64_t heads, int64_t head_size) {
  const size_t bytes = RowBytes(rows, heads, head_size);
  std::vector<std::byte> out(rows.size());
  ForEachRow(heads, head_size, [&](size_t neighbour, size_t half) {
    std::memcpy(out.data() + half * bytes, rows.data() + neighbour * bytes, bytes);
  });
  return out;
}

std::vector<std::byte> HalvesToNeighbours(std::span<const std::byte> rows, int64_t heads, int64_t head_size) {
  const size_t bytes = RowBytes(rows, heads, head_size);
  std::vector<std::byte> out(rows.size());
  ForEachRow(heads, head_size, [&](size_t neighbour, size_t half) {
    std::memcpy(out.data() + neighbour * bytes, rows.data() + half * bytes, bytes);
  });
  return out;
}

}  // namespace lowbit
