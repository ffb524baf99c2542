#include "lowbit/model/ggml_repack.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/format/ggml_blocks.h"

namespace lowbit {

std::optional<PackedFormat> PackedFormOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_0:
      return PackedFormat{4, 32, ScaleKind::kF16, OffsetKind::kCentre};
    case GgmlType::kQ4_1:
      return PackedFormat{4, 32, ScaleKind::kF16, OffsetKind::kMinF16};
    case GgmlType::kQ5_0:
      return PackedFormat{5, 32, ScaleKind::kF16, OffsetKind::kCentre};
    case GgmlType::kQ5_1:
      return PackedFormat{5, 32, ScaleKind::kF16, OffsetKind::kMinF16};
    case GgmlType::kQ8_0:
      return PackedFormat{8, 32, ScaleKind::kF16, OffsetKind::kCentre};
    case GgmlType::kQ2_K:
      return PackedFormat{2, 16, ScaleKind::kSuper, OffsetKind::kSuperMin};
    case GgmlType::kQ3_K:
      return PackedFormat{3, 16, ScaleKind::kSuper, OffsetKind::kCentre};
    case GgmlType::kQ4_K:
      return PackedFormat{4, 32, ScaleKind::kSuper, OffsetKind::kSuperMin};
    case GgmlType::kQ5_K:
      return PackedFormat{5, 32, ScaleKind::kSuper, OffsetKind::kSuperMin};
    case GgmlType::kQ6_K:
      return PackedFormat{6, 16, ScaleKind::kSuper, OffsetKind::kCentre};
    default:
      return std::nullopt;
  }
}

namespace {

// Room for the numbers that the block types have.
void SetShape(QuantizedMatrix& m, const PackedFormat& format, int64_t rows, int64_t cols) {
  m.format = format, m.rows = rows, m.cols = cols;
  const auto groups = static_cast<size_t>(rows * m.groups()), supers = static_cast<size_t>(rows * m.supers());
  const bool two_level = format.scale == ScaleKind::kSuper,
             two_minima = format.offset == OffsetKind::kSuperMin;
  m.codes.resize(static_cast<size_t>(rows * cols));
  m.scale.resize(two_level ? 0 : groups);
  m.sub_scale.resize(two_level ? groups : 0);
  m.super.resize(two_level ? supers : 0);
  m.zero.resize(two_minima ? groups : 0);
  m.super_min.resize(two_minima ? supers : 0);
  m.min.resize(format.offset == OffsetKind::kMinF16 ? groups : 0);
}

}  // namespace

Matrix RepackGgml(GgmlType type, const PackedFormat& format, int64_t rows, int64_t cols,
                  std::span<const std::byte> bytes, const std::function<int64_t(int64_t)>& file_row) {
  const GgmlIntegerLayout layout = *IntegerLayoutOf(type);
  const auto block_bytes = static_cast<size_t>(BlockSizeOf(type).bytes);
  const int64_t blocks = cols / layout.block;
  const PackedLayout packed(format, rows, cols);
  const auto owner = std::make_shared<Buffer<uint8_t>>(packed.bytes);
  // What packing leaves: rows past the last, and the ends of sections up to 64 bytes.
  if (rows % kPanelRows != 0) std::memset(owner->data(), 0, packed.bytes);
  for (const size_t end :
       {packed.scale, packed.offset, packed.super, packed.super_min, packed.tensor, packed.bytes})
    std::memset(owner->data() + end - 64, 0, 64);
  // A panel at a time, so that codes pass from the file to their places through the cache.
  ThreadPool::Global().Run(packed.panels, [&](int64_t panel, int) {
    thread_local QuantizedMatrix m;
    SetShape(m, format, std::min<int64_t>(kPanelRows, rows - panel * kPanelRows), cols);
    const int64_t groups = m.groups(), per_block = layout.groups();
    GgmlBlock block;
    for (int64_t r = 0; r < m.rows; ++r) {
      const std::byte* row =
          bytes.data() + static_cast<size_t>(file_row(panel * kPanelRows + r) * blocks) * block_bytes;
      for (int64_t b = 0; b < blocks; ++b) {
        UnpackGgml(type, {row + static_cast<size_t>(b) * block_bytes, block_bytes}, block,
                   m.codes.data() + r * cols + b * layout.block);
        const int64_t at = r * groups + b * per_block;
        if (format.scale == ScaleKind::kSuper) {
          std::copy_n(block.scale.begin(), per_block, m.sub_scale.begin() + at);
          m.super[r * m.supers() + b] = block.d;
        } else {
          m.scale[at] = block.d;
        }
        if (format.offset == OffsetKind::kSuperMin) {
          std::copy_n(block.min.begin(), per_block, m.zero.begin() + at);
          m.super_min[r * m.supers() + b] = block.dmin;
        }
        // The stored minimum is -dmin.
        if (format.offset == OffsetKind::kMinF16) m.min[at] = static_cast<uint16_t>(block.dmin ^ 0x8000u);
      }
    }
    PackPanels(m, panel, packed, owner->data());
  });
  Matrix matrix{.format = format, .rows = rows, .cols = cols};
  matrix.bytes = owner->data();
  matrix.size = packed.bytes;
  matrix.owner = owner;
  return matrix;
}

}  // namespace lowbit
