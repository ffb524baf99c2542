// The base matrices of kernel/hadamard.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lowbit {

inline constexpr int kMaxPaley = 20;

struct Paley {
  int m = 1;
  std::array<std::array<int8_t, kMaxPaley>, kMaxPaley> entry{};
};

// I + S, S = [0 1; -1 Q], Q_ij = 1 where i - j is a square modulo q, else -1.
constexpr Paley MakePaley(int m) {
  Paley p;
  p.m = m;
  const int q = m - 1;
  std::array<bool, kMaxPaley> square{};
  for (int i = 1; i < q; ++i) square[static_cast<size_t>(i * i % q)] = true;
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < m; ++j) {
      int e = 1;
      if (i != j && i > 0) e = j == 0 ? -1 : square[static_cast<size_t>((i - j + q) % q)] ? 1 : -1;
      p.entry[static_cast<size_t>(i)][static_cast<size_t>(j)] = static_cast<int8_t>(e);
    }
  }
  return p;
}

inline constexpr Paley kPaley20 = MakePaley(20);

// Row i of Paley's matrix (column i of it where `transposed`) by fours of entries: plus or minus sum `index`
// of a + b, a - b and c + d, c - d (bits 0 and 1), the latter added or subtracted (bit 2). The addition
// starts with sum `first`, a positive one if there is one.
struct SumOfFours {
  std::array<int, 5> index{};
  std::array<bool, 5> plus{};
  int first = 0;
};

constexpr SumOfFours FoursOf(int i, bool transposed) {
  SumOfFours sum;
  for (int g = 4; g >= 0; --g) {
    std::array<bool, 4> plus{};
    for (int k = 0; k < 4; ++k) {
      const auto row = static_cast<size_t>(i), col = static_cast<size_t>(4 * g + k);
      plus[static_cast<size_t>(k)] = (transposed ? kPaley20.entry[col][row] : kPaley20.entry[row][col]) > 0;
    }
    const auto at = static_cast<size_t>(g);
    sum.plus[at] = plus[0];
    sum.index[at] =
        (plus[1] != plus[0] ? 1 : 0) + (plus[3] != plus[2] ? 2 : 0) + (plus[2] != plus[0] ? 4 : 0);
    if (plus[0]) sum.first = g;
  }
  return sum;
}

// Williamson's array of order 12: block (i, j) of 3 x 3 is J where i = j, else kSign12[i][j] (J - 2 I).
inline constexpr int kSign12[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};

}  // namespace lowbit
