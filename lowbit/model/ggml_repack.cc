#include "lowbit/model/ggml_repack.h"

#include <algorithm>
#include <cstring>

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

Matrix RepackGgml(GgmlType type, const PackedFormat& format, int64_t rows, int64_t cols,
                  std::span<const std::byte> bytes, const std::function<int64_t(int64_t)>& file_row) {
  const GgmlIntegerLayout layout = *IntegerLayoutOf(type);
  const auto block_bytes = static_cast<size_t>(BlockSizeOf(type).bytes);
  const int64_t blocks = cols / layout.block;
  QuantizedMatrix m{.format = format, .rows = rows, .cols = cols};
  const int64_t groups = m.groups(), per_block = layout.groups();
  m.codes.resize(static_cast<size_t>(rows * cols));
  const bool two_level = format.scale == ScaleKind::kSuper;
  if (two_level) {
    m.sub_scale.resize(static_cast<size_t>(rows * groups));
    m.super.resize(static_cast<size_t>(rows * m.supers()));
  } else {
    m.scale.resize(static_cast<size_t>(rows * groups));
  }
  if (format.offset == OffsetKind::kSuperMin) {
    m.zero.resize(static_cast<size_t>(rows * groups));
    m.super_min.resize(static_cast<size_t>(rows * m.supers()));
  }
  if (format.offset == OffsetKind::kMinF16) m.min.resize(static_cast<size_t>(rows * groups));
  ThreadPool::Global().Run(rows, [&](int64_t r, int) {
    GgmlBlock block;
    const std::byte* row = bytes.data() + static_cast<size_t>(file_row(r) * blocks) * block_bytes;
    for (int64_t b = 0; b < blocks; ++b) {
      UnpackGgml(type, {row + static_cast<size_t>(b) * block_bytes, block_bytes}, block);
      std::memcpy(m.codes.data() + r * cols + b * layout.block, block.code.data(),
                  static_cast<size_t>(layout.block));
      const int64_t at = r * groups + b * per_block;
      if (two_level) {
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
  });
  return OwnPacked(m);
}

}  // namespace lowbit
