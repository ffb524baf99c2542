#include "lowbit/quantize/trellis_codebook.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

constexpr int64_t kBlocks = 4;  // of a ring
constexpr int64_t kRing = kBlocks * kCodeBlock;

// The entry of the table that each of x is coded with.
std::vector<uint8_t> EntriesOf(const Grid& grid, std::span<const float> x) {
  const auto n = static_cast<int64_t>(x.size()), rings = n / kRing, bits = int64_t{grid.alphabet.bits};
  if (n % kRing != 0 || n == 0) Fail("trellis training takes a multiple of {} numbers, not {}", kRing, n);
  std::vector<float> units(x.size());
  for (size_t i = 0; i < x.size(); ++i) units[i] = static_cast<float>(x[i] / grid.step + grid.middle);
  std::vector<uint8_t> codes(x.size()),
      packed(static_cast<size_t>(CodeBytes(static_cast<int>(bits), kBlocks)));
  TrellisEncode(grid.alphabet, units.data(), rings, kBlocks, codes.data());
  CodeAlphabet numbered = grid.alphabet;
  std::iota(numbered.table.begin(), numbered.table.end(), uint8_t{0});
  for (int64_t r = 0; r < rings; ++r) {
    PackCodes(grid.alphabet.bits, &codes[static_cast<size_t>(r * kRing)], kBlocks, packed.data());
    DecodeLevels(numbered, packed.data(), kBlocks, &codes[static_cast<size_t>(r * kRing)]);
  }
  return codes;
}

double LevelOf(const Grid& grid, size_t entry) {
  return (grid.alphabet.table[entry] - grid.middle) * grid.step;
}

uint8_t ByteOf(const Grid& grid, double level) {
  return static_cast<uint8_t>(std::clamp(std::round(level / grid.step + grid.middle), 0.0, 127.0));
}

}  // namespace

double TrellisDistortion(const Grid& grid, std::span<const float> x) {
  const std::vector<uint8_t> entries = EntriesOf(grid, x);
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = x[i] - LevelOf(grid, entries[i]);
    error += e * e;
  }
  return error / static_cast<double>(x.size());
}

Grid TrainTrellis(Grid start, std::span<const float> x, int iterations) {
  Grid grid = std::move(start);
  for (int iteration = 0; iteration < iterations; ++iteration) {
    const std::vector<uint8_t> entries = EntriesOf(grid, x);
    std::array<double, 32> sum{}, count{};
    for (size_t i = 0; i < x.size(); ++i) sum[entries[i]] += x[i], count[entries[i]] += 1;
    for (size_t k = 0; k < sum.size(); ++k) {
      if (count[k] > 0) grid.alphabet.table[k] = ByteOf(grid, sum[k] / count[k]);
    }
  }
  grid.distortion = TrellisDistortion(grid, x);
  return grid;
}

Grid RandomTrellis(int bits, double step, uint64_t seed) {
  Grid grid{.alphabet = {.bits = bits, .trellis = true}, .step = step};
  NormalSequence normal(seed);
  for (size_t k = 0; k < (bits <= 2 ? 16u : 32u); ++k) grid.alphabet.table[k] = ByteOf(grid, normal.Next());
  return grid;
}

Grid TrellisGrid(int bits) {
  struct Table {
    double step, distortion;
    std::array<uint8_t, 32> level;
  };
  // The best of some seventy random starts for each width.
  static constexpr Table kTables[4] = {
      {0.028346, 0.28741, {33, 98, 96, 50, 9, 62, 54, 103, 73, 53, 30, 72, 120, 72, 73, 17}},
      {0.037795, 0.08057, {26, 85, 69, 57, 93, 48, 64, 31, 43, 64, 81, 119, 6, 77, 50, 102}},
      {0.043307, 0.02263, {58, 34, 66,  81, 73, 69, 104, 56,  42, 21, 87, 66, 80, 54, 72, 62,
                           93, 46, 111, 57, 49, 83, 91,  125, 6,  50, 76, 97, 30, 72, 62, 41}},
      {0.049606, 0.00738, {86, 58, 55, 64, 51, 75, 71, 30, 69, 88, 81, 113, 97, 104, 49,  48,
                           35, 22, 77, 49, 45, 39, 66, 57, 82, 61, 60, 92,  10, 53,  125, 43}},
  };
  if (bits < 1 || bits > 4) Fail("trellis codes of {} bits: 1 to 4 have tables", bits);
  const Table& table = kTables[bits - 1];
  return {.alphabet = {.bits = bits, .trellis = true, .table = table.level},
          .step = table.step,
          .distortion = table.distortion};
}

}  // namespace lowbit
