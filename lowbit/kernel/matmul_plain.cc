// The packed product in plain loops, the order of operations of matmul.h.
#include <algorithm>

#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/plain_codes.h"
#include "lowbit/kernel/units.h"

namespace lowbit {
namespace {

float WeightAt(const PackedMatrix& w, int64_t row, int64_t column) {
  uint8_t codes[kTileColumns];
  const uint8_t* tiles = w.bytes + w.layout.codes + row / kPanelRows * w.layout.tiles * 64 * w.format.bits;
  RowOfTile(w.format.bits, tiles + column / kTileColumns * 64 * w.format.bits,
            static_cast<int>(row % kPanelRows), codes);
  const uint8_t code = codes[column % kTileColumns];
  const GroupNumbers n = NumbersOf(w, row, w.format.group == 0 ? 0 : column / w.format.group);
  if (w.table != nullptr) return n.scale * w.table->value[code];
  const bool subtract = w.format.offset == OffsetKind::kCentre || w.format.offset == OffsetKind::kZeroPoint;
  return subtract ? n.scale * (static_cast<float>(code) - n.offset)
                  : n.scale * static_cast<float>(code) + n.offset;
}

float PlainRow(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t row) {
  const int level = UnitLevel(w.format), bits = w.format.bits;
  const int64_t columns = UnitColumns(level);
  const bool centred = IsCentred(w.format), zero_point = w.format.offset == OffsetKind::kZeroPoint;
  const uint8_t* tiles = w.bytes + w.layout.codes + row / kPanelRows * w.layout.tiles * 64 * bits;
  const int8_t* q = x.codes(token);
  float y = 0;
  uint8_t codes[kTileColumns];
  for (int64_t block = 0, column = 0; column < w.cols; ++block) {
    float partial = 0;
    const int64_t block_end = std::min(w.cols, column + kActivationBlock);
    while (column < block_end) {
      const int64_t unit = column / columns, end = std::min(block_end, column + columns);
      const GroupNumbers n = NumbersOf(w, row, GroupOfUnit(w.format, level, unit));
      const int32_t sum = x.sums(level, token)[unit];
      int32_t dot = centred ? -(sum * CentreOf(w)) : 0;
      for (; column < end; ++column) {
        if (column % kTileColumns == 0 || column == unit * columns) {
          RowOfTile(bits, tiles + column / kTileColumns * 64 * bits, static_cast<int>(row % kPanelRows),
                    codes);
          if (w.table != nullptr) {
            for (uint8_t& code : codes) code = w.table->byte[code];
          }
        }
        dot += codes[column % kTileColumns] * q[column];
      }
      partial += static_cast<float>(dot) * (w.table != nullptr ? n.scale * w.table->unit : n.scale);
      if (!centred) partial += static_cast<float>(sum) * (zero_point ? -(n.scale * n.offset) : n.offset);
    }
    y += x.scales(token)[block] * partial;
  }
  for (const Outlier& o : x.outliers()) {
    if (o.token == token) y += o.value * WeightAt(w, row, o.column);
  }
  return y;
}

}  // namespace

void PlainDecode(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                 int64_t end, float* y) {
  const int64_t row_end = std::min(w.rows, end * kPanelRows);
  for (int64_t row = panel * kPanelRows; row < row_end; ++row) y[row] = PlainRow(w, x, token, row);
}

void PlainPrefill(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                  int64_t panel, float* y, int64_t y_stride) {
  const int64_t row_end = std::min(w.rows, (panel + kPrefillPanels) * kPanelRows);
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t row = panel * kPanelRows; row < row_end; ++row)
      y[t * y_stride + row] = PlainRow(w, x, t, row);
  }
}

}  // namespace lowbit
