// An index file: opened, verified, searched, and a vector given back. Inputs whose header does not have its
// checksum are given one, and so are tables, or nothing behind them would ever be reached.
#include <cstring>

#include "fuzz/exercise.h"
#include "lowbit/base/checksum.h"
#include "lowbit/index/vector_index.h"

namespace {

void Search(std::span<const std::byte> bytes) {
  // What is made for a file of many dimensions or rows is large by right, and slow here.
  const lowbit::IndexTable table = lowbit::IndexFile(bytes, "input").table();
  if (table.dim > 64 || table.rows() > 65536) return;
  const lowbit::VectorIndex index(bytes, "input");
  index.Verify();
  lowbit::ThreadPool pool(1);
  const std::vector<float> query(static_cast<size_t>(index.dim()), 0.5f);
  const lowbit::MatrixView<const float> view(query.data(), 1, index.dim());
  const lowbit::Neighbors found = index.Search(view, {.k = 1, .nprobe = 2}, pool);
  index.RangeSearch(view, 1, {.nprobe = 2}, pool);
  if (found.ids[0] >= 0) index.Reconstruct(found.ids[0]);
}

// The first slot, and the table that it names, with right checksums.
std::vector<std::byte> WithChecksums(std::span<const std::byte> bytes) {
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  if (fixed.size() < lowbit::kHeaderBytes) return fixed;
  lowbit::HeaderSlot slot;
  std::memcpy(&slot, fixed.data(), sizeof slot);
  slot.magic = lowbit::HeaderSlot().magic;
  slot.version = lowbit::kIndexVersion;
  slot.generation |= uint64_t{1} << 63;  // greater than the other slots'
  slot.file_bytes = fixed.size();
  if (slot.table_offset <= fixed.size() && slot.table_bytes <= fixed.size() - slot.table_offset)
    slot.table_checksum = lowbit::Checksum(std::span(fixed).subspan(slot.table_offset, slot.table_bytes));
  slot.checksum =
      lowbit::Checksum(std::as_bytes(std::span(&slot, 1)).first(offsetof(lowbit::HeaderSlot, checksum)));
  std::memcpy(fixed.data(), &slot, sizeof slot);
  return fixed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  lowbit::AllowErrors([&] { Search(bytes); });
  const std::vector<std::byte> fixed = WithChecksums(bytes);
  lowbit::AllowErrors([&] { Search(fixed); });
  return 0;
}
