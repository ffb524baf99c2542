#include "lowbit/model/stored_form.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/format/trit_packing.h"
#include "lowbit/kernel/code_packing.h"

namespace lowbit {
namespace {

// Where the other sections begin: `codes` comes first.
struct TritLayout {
  size_t packed_codes, trits, rest, bytes;

  explicit TritLayout(const PackedLayout& layout)
      : packed_codes(static_cast<size_t>(layout.panels * layout.tiles) * kPanelRows * kTileColumns / 4),
        trits(TritBytes(4 * packed_codes)),
        rest((trits + kAlignment - 1) / kAlignment * kAlignment),
        bytes(rest + layout.bytes - layout.scale) {}
};

// Codes on their way, a multiple of 4 and of whole blocks of trits.
constexpr size_t kChunk = 400 * kTritBlockCodes;

}  // namespace

bool InTrits(const PackedFormat& format) {
  return format.bits == 2 && format.alphabet && format.alphabet->kind == AlphabetKind::kTernary;
}

size_t StoredBytesOf(const PackedFormat& format, int64_t rows, int64_t cols) {
  const PackedLayout layout(format, rows, cols);
  return InTrits(format) ? TritLayout(layout).bytes : layout.bytes;
}

std::vector<uint8_t> ToTrits(const PackedFormat& format, int64_t rows, int64_t cols,
                             std::span<const uint8_t> packed) {
  const PackedLayout layout(format, rows, cols);
  const TritLayout trits(layout);
  if (packed.size() != layout.bytes)
    Fail("ternary matrix of {} x {}: {} packed bytes, it has {}", rows, cols, packed.size(), layout.bytes);
  std::vector<uint8_t> stored(trits.bytes), codes(kChunk);
  for (size_t done = 0; done < 4 * trits.packed_codes; done += kChunk) {
    const size_t count = std::min(kChunk, 4 * trits.packed_codes - done);
    UnpackBits(packed.subspan(layout.codes + done / 4, count / 4), 2, std::span(codes).first(count));
    PackTernary(std::span(codes).first(count), std::span(stored).subspan(done / 5, TritBytes(count)));
  }
  std::copy(packed.begin() + static_cast<ptrdiff_t>(layout.scale), packed.end(),
            stored.begin() + static_cast<ptrdiff_t>(trits.rest));
  return stored;
}

Buffer<uint8_t> FromTrits(const PackedFormat& format, int64_t rows, int64_t cols,
                          std::span<const uint8_t> stored) {
  const PackedLayout layout(format, rows, cols);
  const TritLayout trits(layout);
  if (stored.size() != trits.bytes)
    Fail("ternary matrix of {} x {}: {} stored bytes, it needs {}", rows, cols, stored.size(), trits.bytes);
  Buffer<uint8_t> packed(layout.bytes);
  std::fill(packed.begin(), packed.end(), uint8_t{0});
  std::vector<uint8_t> codes(kChunk);
  for (size_t done = 0; done < 4 * trits.packed_codes; done += kChunk) {
    const size_t count = std::min(kChunk, 4 * trits.packed_codes - done);
    UnpackTernary(stored.subspan(done / 5, TritBytes(count)), std::span(codes).first(count));
    PackBits(std::span(codes).first(count), 2,
             std::span<uint8_t>(packed).subspan(layout.codes + done / 4, count / 4));
  }
  std::copy(stored.begin() + static_cast<ptrdiff_t>(trits.rest), stored.end(), packed.data() + layout.scale);
  return packed;
}

}  // namespace lowbit
