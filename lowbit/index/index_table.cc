#include "lowbit/index/index_table.h"

#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/io/byte_cursor.h"

namespace lowbit {
namespace {

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Put(const Extent& extent) { Put(extent.offset), Put(extent.bytes); }
  void Put(const CheckedExtent& checked) { Put(checked.extent), Put(checked.checksum); }
  void PutText(const std::string& text) {
    Put(static_cast<uint32_t>(text.size()));
    text_ += text;
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& name)
      : cursor_(bytes, name), file_bytes_(file_bytes), name_(name) {}

  template <typename T>
  T Get() {
    return cursor_.Read<T>("the index table");
  }
  std::string GetText() { return cursor_.ReadText(Get<uint32_t>(), "the index table"); }
  Extent GetExtent() {
    Extent extent{Get<uint64_t>(), Get<uint64_t>()};
    if (extent.offset % kSectionAlignment != 0 || extent.offset > file_bytes_ ||
        extent.bytes > file_bytes_ - extent.offset) {
      Fail("{}: a section of {} bytes at byte {}, the index has {} bytes: the file is damaged", name_,
           extent.bytes, extent.offset, file_bytes_);
    }
    return extent;
  }
  CheckedExtent GetChecked() {
    const Extent extent = GetExtent();
    return {extent, Get<uint64_t>()};
  }
  // A count of records that take at least `record` bytes each.
  uint64_t GetCount(uint64_t record) {
    const auto count = Get<uint64_t>();
    if (count > cursor_.left() / record) Fail("{}: a table of {} records: the file is damaged", name_, count);
    return count;
  }
  size_t left() const { return cursor_.left(); }

 private:
  ByteCursor cursor_;
  uint64_t file_bytes_;
  const std::string& name_;
};

constexpr uint64_t kSegmentBytes = 8 + 8 + 4 + 24 + 3 * 16, kCheckedBytes = 24;

}  // namespace

// Axial codes are stored as metrics of their own, so that programs that do not know them refuse the file.
constexpr uint32_t kAxialProduct = 4, kAxialCosine = 5;
constexpr uint32_t kCosineWithNorms = 3;  // of a version in between, no longer read

uint64_t IndexTable::rows() const {
  uint64_t rows = 0;
  for (const SegmentTable& segment : segments) rows += segment.rows;
  return rows;
}

std::string Serialize(const IndexTable& table) {
  Writer w;
  w.PutText(table.spec);
  w.Put(!table.axial                      ? static_cast<uint32_t>(table.metric)
        : table.metric == Metric::kCosine ? kAxialCosine
                                          : kAxialProduct);
  w.Put(table.dim);
  w.Put(table.seed);
  w.Put(table.shard);
  w.Put(table.shards);
  w.Put(table.next_id);
  w.Put(table.live);
  w.Put(table.centroids);
  w.Put(table.parameters);
  w.Put(table.fine_parameters);
  w.Put(static_cast<uint64_t>(table.segments.size()));
  for (const SegmentTable& segment : table.segments) {
    w.Put(segment.rows);
    w.Put(segment.first_id);
    w.Put(segment.id_bytes);
    w.Put(segment.directory);
    w.Put(segment.ids);
    w.Put(segment.codes);
    w.Put(segment.fine);
  }
  w.Put(static_cast<uint64_t>(table.removals.size()));
  for (const CheckedExtent& removal : table.removals) w.Put(removal);
  return w.Take();
}

IndexTable ParseIndexTable(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& name) {
  Reader r(bytes, file_bytes, name);
  IndexTable table;
  table.spec = r.GetText();
  const auto metric = r.Get<uint32_t>();
  if (metric == kCosineWithNorms)
    Fail("{}: cosines with norms (metric 3) are no longer read; build the index again", name);
  table.axial = metric == kAxialProduct || metric == kAxialCosine;
  if (metric > static_cast<uint32_t>(Metric::kCosine) && !table.axial)
    Fail("{}: metric {} is not known", name, metric);
  table.metric = metric == kAxialProduct  ? Metric::kInnerProduct
                 : metric == kAxialCosine ? Metric::kCosine
                                          : static_cast<Metric>(metric);
  table.dim = r.Get<uint32_t>();
  if (table.dim < 1 || table.dim > 1 << 20)
    Fail("{}: vectors of {} dimensions; 1 to {} are possible", name, table.dim, 1 << 20);
  table.seed = r.Get<uint64_t>();
  table.shard = r.Get<uint32_t>();
  table.shards = r.Get<uint32_t>();
  if (table.shard >= table.shards) Fail("{}: part {} of {}", name, table.shard, table.shards);
  table.next_id = r.Get<int64_t>();
  table.live = r.Get<uint64_t>();
  table.centroids = r.GetChecked();
  table.parameters = r.GetChecked();
  table.fine_parameters = r.GetChecked();
  for (uint64_t n = r.GetCount(kSegmentBytes); n > 0; --n) {
    SegmentTable segment;
    segment.rows = r.Get<uint64_t>();
    segment.first_id = r.Get<int64_t>();
    segment.id_bytes = r.Get<uint32_t>();
    segment.directory = r.GetChecked();
    segment.ids = r.GetExtent();
    segment.codes = r.GetExtent();
    segment.fine = r.GetExtent();
    if (segment.rows < 1 || segment.rows > kLargestSegment ||
        (segment.id_bytes != 0 && segment.id_bytes != 4 && segment.id_bytes != 8) ||
        segment.ids.bytes != segment.rows * segment.id_bytes || segment.first_id < 0 ||
        segment.first_id > std::numeric_limits<int64_t>::max() - (int64_t{1} << 32)) {
      Fail("{}: segment {} has {} rows and {} bytes of ids: the file is damaged", name, table.segments.size(),
           segment.rows, segment.ids.bytes);
    }
    table.segments.push_back(segment);
  }
  for (uint64_t n = r.GetCount(kCheckedBytes); n > 0; --n) table.removals.push_back(r.GetChecked());
  if (r.left() != 0) Fail("{}: {} bytes follow the index table", name, r.left());
  if (table.live > table.rows()) Fail("{}: {} live vectors of {}", name, table.live, table.rows());
  return table;
}

}  // namespace lowbit
