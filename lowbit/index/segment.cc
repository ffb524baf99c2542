#include "lowbit/index/segment.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "lowbit/base/checksum.h"
#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// Lists one after the other, rows gathered from where `order` says; the checksum of each list's bytes.
void WriteGathered(IndexOutput& output, const std::vector<int64_t>& order,
                   const std::vector<ListEntry>& directory, const std::vector<uint8_t>& bytes, int64_t width,
                   Extent& extent, std::vector<uint64_t>& checksums) {
  extent = {output.Begin(), static_cast<uint64_t>(static_cast<int64_t>(order.size()) * width)};
  std::vector<uint8_t> gathered;
  for (size_t e = 0; e < directory.size(); ++e) {
    const size_t first = directory[e].first,
                 end = e + 1 < directory.size() ? directory[e + 1].first : order.size();
    gathered.resize((end - first) * static_cast<size_t>(width));
    for (size_t i = first; i < end && width > 0; ++i) {
      std::memcpy(gathered.data() + (i - first) * static_cast<size_t>(width), bytes.data() + order[i] * width,
                  static_cast<size_t>(width));
    }
    output.Append(std::as_bytes(std::span(gathered)));
    checksums.push_back(Checksum(std::as_bytes(std::span(gathered))));
  }
}

}  // namespace

SegmentTable WriteSegment(IndexOutput& output, const SegmentRows& rows, const RowBytes& bytes) {
  const auto n = static_cast<size_t>(rows.size());
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
    return rows.lists[i] != rows.lists[j] ? rows.lists[i] < rows.lists[j] : rows.ids[i] < rows.ids[j];
  });
  std::vector<ListEntry> directory;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t list = rows.lists[static_cast<size_t>(order[i])];
    if (directory.empty() || directory.back().list != list)
      directory.push_back({list, static_cast<uint32_t>(i), 0, 0, 0});
  }

  SegmentTable table;
  table.rows = n;
  const auto [least, most] = std::minmax_element(rows.ids.begin(), rows.ids.end());
  table.first_id = *least;
  bool consecutive = true;
  for (size_t i = 0; i < n; ++i)
    consecutive &= rows.ids[static_cast<size_t>(order[i])] == *least + static_cast<int64_t>(i);
  table.id_bytes = consecutive ? 0 : *most - *least <= int64_t{0xffffffff} ? 4 : 8;
  std::vector<uint8_t> numbers(n * table.id_bytes);
  for (size_t i = 0; i < n && table.id_bytes > 0; ++i) {
    const int64_t number = rows.ids[i] - *least;  // little-endian: the low bytes come first
    std::memcpy(numbers.data() + i * table.id_bytes, &number, table.id_bytes);
  }

  std::vector<uint64_t> ids_sums, codes_sums, fine_sums;
  WriteGathered(output, order, directory, numbers, table.id_bytes, table.ids, ids_sums);
  WriteGathered(output, order, directory, rows.codes, bytes.codes, table.codes, codes_sums);
  WriteGathered(output, order, directory, rows.fine, bytes.fine, table.fine, fine_sums);
  for (size_t e = 0; e < directory.size(); ++e) {
    directory[e].ids_checksum = ids_sums[e];
    directory[e].codes_checksum = codes_sums[e];
    directory[e].fine_checksum = fine_sums[e];
  }
  table.directory = output.AppendSection(std::as_bytes(std::span(directory)));
  return table;
}

Segment::Segment(const IndexFile& file, const SegmentTable& table, const RowBytes& bytes, int64_t lists)
    : file_(file),
      table_(table),
      bytes_(bytes),
      ids_(file.Bytes(table.ids).data()),
      codes_(reinterpret_cast<const uint8_t*>(file.Bytes(table.codes).data())),
      fine_(reinterpret_cast<const uint8_t*>(file.Bytes(table.fine).data())) {
  const auto wrong = [&](const char* what) {
    Fail("{}: the segment at byte {} {}: the file is damaged", file.name(), table.codes.offset, what);
  };
  if (table.codes.bytes / static_cast<uint64_t>(bytes.codes) != table.rows ||
      table.codes.bytes % static_cast<uint64_t>(bytes.codes) != 0 ||
      table.fine.bytes != table.rows * static_cast<uint64_t>(bytes.fine))
    wrong("does not have the size of its rows");
  const auto stored = file.Checked(table.directory, "lists of a segment");
  if (stored.empty() || stored.size() % sizeof(ListEntry) != 0) wrong("has no whole number of lists");
  directory_.resize(stored.size() / sizeof(ListEntry));
  std::memcpy(directory_.data(), stored.data(), stored.size());
  for (size_t e = 0; e < directory_.size(); ++e) {
    const bool follows =
        e == 0 ? directory_[0].first == 0
               : directory_[e].first > directory_[e - 1].first && directory_[e].list > directory_[e - 1].list;
    if (!follows || directory_[e].first >= table.rows || directory_[e].list >= static_cast<uint64_t>(lists))
      wrong("has lists out of order");
  }
  checked_ = std::make_unique<std::atomic<uint8_t>[]>(directory_.size());
  // A scan of long lists waits for small pages' translations; shorter lists would bring their neighbours from
  // the disk with them.
  constexpr uint64_t kLargePage = uint64_t{2} << 20;
  if (table.codes.bytes / directory_.size() >= kLargePage) file.PreferLargePages(table.codes);
}

Segment::Stretch Segment::At(size_t entry) const {
  const int64_t first = directory_[entry].first,
                end = entry + 1 < directory_.size() ? int64_t{directory_[entry + 1].first} : rows();
  return {first, end - first, entry};
}

Segment::Stretch Segment::Find(uint32_t list) const {
  const auto found =
      std::lower_bound(directory_.begin(), directory_.end(), list,
                       [](const ListEntry& entry, uint32_t wanted) { return entry.list < wanted; });
  if (found == directory_.end() || found->list != list) return {0, 0, 0};
  return At(static_cast<size_t>(found - directory_.begin()));
}

size_t Segment::EntryOf(int64_t row) const {
  const auto after =
      std::upper_bound(directory_.begin(), directory_.end(), row,
                       [](int64_t wanted, const ListEntry& entry) { return wanted < int64_t{entry.first}; });
  return static_cast<size_t>(after - directory_.begin()) - 1;
}

void Segment::Check(const Extent& extent, uint64_t width, uint64_t checksum, const char* what, uint8_t bit,
                    size_t entry) const {
  if ((checked_[entry].load(std::memory_order_acquire) & bit) != 0) return;
  const Stretch s = At(entry);
  const auto bytes = file_.Bytes(extent).subspan(static_cast<uint64_t>(s.first) * width,
                                                 static_cast<uint64_t>(s.count) * width);
  if (Checksum(bytes) != checksum) {
    Fail("{}: the {} of list {} in the segment at byte {} do not have their checksum: the file is damaged",
         file_.name(), what, directory_[entry].list, table_.codes.offset);
  }
  checked_[entry].fetch_or(bit, std::memory_order_release);
}

void Segment::CheckIds(size_t entry) const {
  Check(table_.ids, table_.id_bytes, directory_[entry].ids_checksum, "ids", 1, entry);
}

void Segment::CheckCodes(size_t entry) const {
  CheckIds(entry);
  Check(table_.codes, static_cast<uint64_t>(bytes_.codes), directory_[entry].codes_checksum, "codes", 2,
        entry);
}

void Segment::CheckFine(size_t entry) const {
  Check(table_.fine, static_cast<uint64_t>(bytes_.fine), directory_[entry].fine_checksum, "refining codes", 4,
        entry);
}

void Segment::MarkRemoved(int64_t row) {
  removed_.resize(static_cast<size_t>((rows() + 63) / 64));
  removed_[static_cast<size_t>(row) / 64] |= uint64_t{1} << (row % 64);
}

}  // namespace lowbit
