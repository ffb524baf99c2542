// An index file: opened, verified, searched, and a vector given back. A second time header, table and
// sections get the checksums that they lack, or little behind them would ever be reached.
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

// Right checksums for the sections that the table in `bytes` names, as far as it is one.
void MendSections(std::span<std::byte> table_bytes, std::span<const std::byte> file) {
  lowbit::IndexTable table = lowbit::ParseIndexTable(table_bytes, file.size(), "input");
  const auto mend = [&](lowbit::CheckedExtent& section) {
    section.checksum = lowbit::Checksum(file.subspan(section.extent.offset, section.extent.bytes));
  };
  mend(table.centroids);
  mend(table.parameters);
  mend(table.fine_parameters);
  for (lowbit::SegmentTable& segment : table.segments) mend(segment.directory);
  for (lowbit::CheckedExtent& removal : table.removals) mend(removal);
  const std::string text = lowbit::Serialize(table);
  std::memcpy(table_bytes.data(), text.data(), std::min(text.size(), table_bytes.size()));
}

// The first slot, the table that it names and the sections that the table names, with right checksums.
std::vector<std::byte> WithChecksums(std::span<const std::byte> bytes) {
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  if (fixed.size() < lowbit::kHeaderBytes) return fixed;
  lowbit::HeaderSlot slot;
  std::memcpy(&slot, fixed.data(), sizeof slot);
  slot.magic = lowbit::HeaderSlot().magic;
  slot.version = lowbit::kIndexVersion;
  slot.generation |= uint64_t{1} << 63;  // greater than the other slots'
  slot.file_bytes = fixed.size();
  if (slot.table_offset <= fixed.size() && slot.table_bytes <= fixed.size() - slot.table_offset) {
    const std::span<std::byte> table = std::span(fixed).subspan(slot.table_offset, slot.table_bytes);
    lowbit::AllowErrors([&] { MendSections(table, fixed); });
    slot.table_checksum = lowbit::Checksum(table);
  }
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
