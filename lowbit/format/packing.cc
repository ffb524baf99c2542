// Between codes and the packed layout of format.h, one code at a time: the definition that kernels are tested
// against.
#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/format/format.h"

namespace lowbit {
namespace {

// The bit planes of a tile: `width` bits from bit `shift` of the code, `vectors` * 64 bytes, starting at
// `start`.
struct Plane {
  int width, shift, vectors, start;
};

struct Planes {
  Plane plane[2];
  int count;
};

constexpr Planes PlanesOf(int bits) {
  switch (bits) {
    case 8:
      return {{{8, 0, 8, 0}, {}}, 1};
    case 4:
      return {{{4, 0, 4, 0}, {}}, 1};
    case 2:
      return {{{2, 0, 2, 0}, {}}, 1};
    case 1:
      return {{{1, 0, 1, 0}, {}}, 1};
    case 3:
      return {{{2, 0, 2, 0}, {1, 2, 1, 128}}, 2};
    case 5:
      return {{{4, 0, 4, 0}, {1, 4, 1, 256}}, 2};
    default:
      return {{{4, 0, 4, 0}, {2, 4, 2, 256}}, 2};
  }
}

// Byte and bit of a code inside its tile's plane.
struct Place {
  size_t byte;
  int bit;
};

Place PlaceOf(const Plane& plane, int row, int column) {
  const int quad = column / 4;
  return {static_cast<size_t>(plane.start + 64 * (quad % plane.vectors) + 4 * row + column % 4),
          quad / plane.vectors * plane.width};
}

// One row of a tile: its lane of every vector of the plane is a 32-bit word, one byte a column of the quad.
inline void PackRow(const Plane& plane, const uint32_t* quads, int row, uint8_t* tile) {
  const uint32_t mask = ((1u << plane.width) - 1) * 0x01010101u;
  for (int v = 0; v < plane.vectors; ++v) {
    uint32_t word = 0;
    for (int q = v, bit = 0; q < 8; q += plane.vectors, bit += plane.width) {
      word |= ((quads[q] >> plane.shift) & mask) << bit;
    }
    std::memcpy(tile + plane.start + 64 * v + 4 * row, &word, 4);
  }
}

// Every (row, group) entry: stored at ((panel * n + g) * 16 + r), read from r * n + g.
template <typename T>
void Interleave(const std::vector<T>& from, int64_t rows, int64_t n, uint8_t* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < n; ++g) {
      std::memcpy(to + (((r / kPanelRows) * n + g) * kPanelRows + r % kPanelRows) * sizeof(T),
                  &from[r * n + g], sizeof(T));
    }
  }
}

template <typename T>
void Deinterleave(const uint8_t* from, int64_t rows, int64_t n, std::vector<T>& to) {
  to.resize(static_cast<size_t>(rows * n));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < n; ++g) {
      std::memcpy(&to[r * n + g],
                  from + (((r / kPanelRows) * n + g) * kPanelRows + r % kPanelRows) * sizeof(T), sizeof(T));
    }
  }
}

// sub_scale + 16 zero of every group.
std::vector<uint8_t> JoinNumbers(const QuantizedMatrix& m) {
  std::vector<uint8_t> joined(m.sub_scale.size());
  for (size_t i = 0; i < joined.size(); ++i) {
    const int scale = m.sub_scale[i], minimum = m.zero[i];
    if (scale < 0 || scale > 15 || minimum > 15) {
      Fail("packed matrix {}: a sub-scale of {} with a sub-minimum of {}; both must be in 0..15",
           NameOf(m.format), scale, minimum);
    }
    joined[i] = static_cast<uint8_t>(scale | minimum << 4);
  }
  return joined;
}

void SplitNumbers(const std::vector<uint8_t>& joined, QuantizedMatrix& m) {
  m.sub_scale.resize(joined.size());
  m.zero.resize(joined.size());
  for (size_t i = 0; i < joined.size(); ++i) {
    m.sub_scale[i] = static_cast<int8_t>(joined[i] & 15);
    m.zero[i] = joined[i] >> 4;
  }
}

size_t PanelBytes(const PackedLayout& layout, const QuantizedMatrix& m) {
  return static_cast<size_t>(layout.tiles) * 64 * static_cast<size_t>(m.format.bits);
}

// The codes of a panel of m, counted from its first row, to the panel's tiles.
template <int kBits>
void PackCodes(const QuantizedMatrix& m, int64_t panel, const PackedLayout& layout, uint8_t* tiles) {
  constexpr Planes kPlanes = PlanesOf(kBits);
  for (int64_t r = panel * kPanelRows; r < std::min(m.rows, (panel + 1) * kPanelRows); ++r) {
    const uint8_t* const codes = m.codes.data() + r * m.cols;
    uint8_t* tile = tiles;
    for (int64_t t = 0; t < layout.tiles; ++t, tile += 64 * kBits) {
      uint32_t quads[8];  // four codes of the row each
      const int64_t column = t * kTileColumns, rest = m.cols - column;
      if (rest >= kTileColumns) {
        std::memcpy(quads, codes + column, sizeof(quads));
      } else {
        std::memset(quads, 0, sizeof(quads));
        std::memcpy(quads, codes + column, static_cast<size_t>(rest));
      }
      PackRow(kPlanes.plane[0], quads, static_cast<int>(r % kPanelRows), tile);
      if constexpr (kPlanes.count == 2)
        PackRow(kPlanes.plane[1], quads, static_cast<int>(r % kPanelRows), tile);
    }
  }
}

using PackCodesOf = void (*)(const QuantizedMatrix&, int64_t, const PackedLayout&, uint8_t*);
PackCodesOf PickPackCodes(int bits) {
  constexpr PackCodesOf kByBits[] = {PackCodes<1>, PackCodes<2>, PackCodes<3>,
                                     PackCodes<4>, PackCodes<5>, PackCodes<6>};
  return bits == 8 ? PackCodes<8> : kByBits[bits - 1];
}

// All other sections of m's rows, which begin at panel `first` of the matrix that `layout` describes.
void PackNumbers(const QuantizedMatrix& m, const PackedLayout& layout, int64_t first, uint8_t* bytes) {
  const bool two_level = m.format.scale == ScaleKind::kSuper, joined = NumbersShareByte(m.format);
  const bool byte_scale = m.format.scale == ScaleKind::kE8M0 || m.format.scale == ScaleKind::kE4M3;
  const auto put = [&](const auto& numbers, int64_t n, size_t section) {
    Interleave(numbers, m.rows, n,
               bytes + section + static_cast<size_t>(first * n * kPanelRows) * sizeof(numbers[0]));
  };
  if (byte_scale) {
    put(m.scale_code, layout.groups, layout.scale);
  } else if (!two_level) {
    put(m.scale, layout.groups, layout.scale);
  }
  if (m.format.scale == ScaleKind::kE4M3) std::memcpy(bytes + layout.tensor, &m.tensor_scale, 4);
  if (joined) put(JoinNumbers(m), layout.groups, layout.scale);
  if (two_level) {
    if (!joined) put(m.sub_scale, layout.groups, layout.scale);
    put(m.super, layout.supers, layout.super);
  }
  if (m.format.offset == OffsetKind::kMinF16) put(m.min, layout.groups, layout.offset);
  if (m.format.offset == OffsetKind::kZeroPoint || (m.format.offset == OffsetKind::kSuperMin && !joined))
    put(m.zero, layout.groups, layout.offset);
  if (m.format.offset == OffsetKind::kSuperMin) put(m.super_min, layout.supers, layout.super_min);
}

}  // namespace

std::vector<uint8_t> Pack(const QuantizedMatrix& m) {
  const PackedLayout layout(m.format, m.rows, m.cols);
  std::vector<uint8_t> bytes(layout.bytes);
  ThreadPool::Global().Run(layout.panels, [&](int64_t panel, int) {
    PickPackCodes(m.format.bits)(
        m, panel, layout, bytes.data() + layout.codes + static_cast<size_t>(panel) * PanelBytes(layout, m));
  });
  PackNumbers(m, layout, 0, bytes.data());
  return bytes;
}

void PackPanels(const QuantizedMatrix& part, int64_t panel, const PackedLayout& layout, uint8_t* bytes) {
  for (int64_t p = 0; p * kPanelRows < part.rows; ++p) {
    PickPackCodes(part.format.bits)(
        part, p, layout, bytes + layout.codes + static_cast<size_t>(panel + p) * PanelBytes(layout, part));
  }
  PackNumbers(part, layout, panel, bytes);
}

QuantizedMatrix Unpack(const PackedFormat& format, int64_t rows, int64_t cols, const uint8_t* bytes,
                       size_t size) {
  const PackedLayout layout(format, rows, cols);
  if (size != layout.bytes) {
    Fail("packed matrix {} of {} x {} has {} bytes, it needs {}", NameOf(format), rows, cols, size,
         layout.bytes);
  }
  const Planes planes = PlanesOf(format.bits);
  QuantizedMatrix m{.format = format, .rows = rows, .cols = cols};
  m.codes.resize(static_cast<size_t>(rows * cols));
  const size_t tile_bytes = 64 * static_cast<size_t>(format.bits);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const uint8_t* tile =
          bytes + layout.codes +
          static_cast<size_t>(r / kPanelRows * layout.tiles + c / kTileColumns) * tile_bytes;
      int code = 0;
      for (int p = 0; p < planes.count; ++p) {
        const Plane& plane = planes.plane[p];
        const Place place =
            PlaceOf(plane, static_cast<int>(r % kPanelRows), static_cast<int>(c % kTileColumns));
        code |= ((tile[place.byte] >> place.bit) & ((1 << plane.width) - 1)) << plane.shift;
      }
      m.codes[r * cols + c] = static_cast<uint8_t>(code);
    }
  }
  const bool two_level = format.scale == ScaleKind::kSuper, joined = NumbersShareByte(format);
  const bool byte_scale = format.scale == ScaleKind::kE8M0 || format.scale == ScaleKind::kE4M3;
  if (byte_scale) {
    Deinterleave(bytes + layout.scale, rows, layout.groups, m.scale_code);
  } else if (!two_level) {
    Deinterleave(bytes + layout.scale, rows, layout.groups, m.scale);
  }
  if (format.scale == ScaleKind::kE4M3) std::memcpy(&m.tensor_scale, bytes + layout.tensor, 4);
  if (joined) {
    std::vector<uint8_t> numbers;
    Deinterleave(bytes + layout.scale, rows, layout.groups, numbers);
    SplitNumbers(numbers, m);
  }
  if (two_level) {
    if (!joined) Deinterleave(bytes + layout.scale, rows, layout.groups, m.sub_scale);
    Deinterleave(bytes + layout.super, rows, layout.supers, m.super);
  }
  if (format.offset == OffsetKind::kMinF16) Deinterleave(bytes + layout.offset, rows, layout.groups, m.min);
  if (format.offset == OffsetKind::kZeroPoint || (format.offset == OffsetKind::kSuperMin && !joined)) {
    Deinterleave(bytes + layout.offset, rows, layout.groups, m.zero);
  }
  if (format.offset == OffsetKind::kSuperMin)
    Deinterleave(bytes + layout.super_min, rows, layout.supers, m.super_min);
  return m;
}

}  // namespace lowbit
