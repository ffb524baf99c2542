// The packed product in plain C++, one code at a time and for every format: the reference of the fast
// kernels, and what runs where no vector target does.
#include <algorithm>
#include <cmath>

#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

namespace lowbit {
namespace {

struct Affine {
  float scale, minimum;  // value = scale * code + minimum
};

// One row of codes and the two numbers of each of its units.
void RowOf(const PackedMatrix& w, int64_t row, int level, std::vector<uint8_t>& codes,
           std::vector<Affine>& units) {
  UnpackRow(w, row, codes.data());
  const auto columns = static_cast<int64_t>(UnitColumns(level));
  for (size_t u = 0; u < units.size(); ++u) {
    const GroupNumbers n = NumbersOf(w, row, static_cast<int64_t>(u) * columns);
    const bool zero_point = w.format.offset == OffsetKind::kZeroPoint;
    units[u] = {n.scale, zero_point ? -(n.scale * n.offset) : n.offset};
  }
}

}  // namespace

void PlainPanels(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                 int64_t panel, int64_t panels, float* y, int64_t y_stride) {
  const int level = UnitLevel(w.format);
  const int64_t columns = UnitColumns(level), per_block = kActivationBlock / columns;
  const bool centred = IsCentred(w.format);
  std::vector<uint8_t> codes(static_cast<size_t>(w.layout.tiles * kTileColumns));
  std::vector<Affine> units(static_cast<size_t>((w.cols + columns - 1) / columns));
  const auto count = static_cast<int64_t>(units.size());
  for (int64_t row = panel * kPanelRows; row < std::min(w.rows, (panel + panels) * kPanelRows); ++row) {
    RowOf(w, row, level, codes, units);
    for (int64_t t = begin; t < end; ++t) {
      const int8_t* q = x.codes(t);
      float sum = 0;
      for (int64_t block = 0; block * per_block < count; ++block) {
        float partial = 0;
        for (int64_t u = block * per_block; u < std::min(count, (block + 1) * per_block); ++u) {
          const int32_t total = x.sums(level, t)[u];
          int32_t dot = centred ? -total * (1 << (w.format.bits - 1)) : 0;
          for (int64_t c = u * columns;
               c < std::min<int64_t>((u + 1) * columns, static_cast<int64_t>(codes.size())); ++c) {
            dot += codes[c] * q[c];
          }
          partial = std::fma(static_cast<float>(dot), units[u].scale, partial);
          if (!centred) partial = std::fma(static_cast<float>(total), units[u].minimum, partial);
        }
        sum = std::fma(x.scales(t)[block], partial, sum);
      }
      y[t * y_stride + row] = sum;
    }
  }
}

}  // namespace lowbit
