// A segment of an index file: rows sorted by list and id. Written once; read from the mapping, each list's
// checksum looked at when the list is first touched.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "lowbit/index/index_file.h"

namespace lowbit {

// What a vector takes.
struct RowBytes {
  int64_t codes = 0, fine = 0;
};

// Rows to be written, in any order.
struct SegmentRows {
  std::vector<uint32_t> lists;
  std::vector<int64_t> ids;
  std::vector<uint8_t> codes, fine;

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  void Clear() { lists.clear(), ids.clear(), codes.clear(), fine.clear(); }
};

// `rows` must not be empty.
SegmentTable WriteSegment(IndexOutput& output, const SegmentRows& rows, const RowBytes& bytes);

class Segment {
 public:
  // Reads the directory. Throws Error when it is damaged or does not fit `bytes` and the number of lists.
  Segment(const IndexFile& file, const SegmentTable& table, const RowBytes& bytes, int64_t lists);

  int64_t rows() const { return static_cast<int64_t>(table_.rows); }
  struct Stretch {
    int64_t first, count;
    size_t entry;  // of the directory
  };
  // Rows of a list; count 0 without any.
  Stretch Find(uint32_t list) const;
  size_t entries() const { return directory_.size(); }
  Stretch At(size_t entry) const;
  uint32_t ListAt(size_t entry) const { return directory_[entry].list; }
  size_t EntryOf(int64_t row) const;

  int64_t Id(int64_t row) const {
    if (table_.id_bytes == 0) return table_.first_id + row;
    if (table_.id_bytes == 4) return table_.first_id + Number<uint32_t>(row);
    return static_cast<int64_t>(static_cast<uint64_t>(table_.first_id) + Number<uint64_t>(row));
  }
  const uint8_t* Codes(int64_t row) const { return codes_ + row * bytes_.codes; }
  const uint8_t* Fine(int64_t row) const { return fine_ + row * bytes_.fine; }

  // Look at checksums that were not looked at yet: of a list's ids, of its ids and codes, of its refining
  // codes. Throw Error.
  void CheckIds(size_t entry) const;
  void CheckCodes(size_t entry) const;
  void CheckFine(size_t entry) const;

  // Rows that were removed. Not while the segment is searched.
  void MarkRemoved(int64_t row);
  bool has_removed() const { return !removed_.empty(); }
  bool Removed(int64_t row) const {
    return !removed_.empty() && (removed_[static_cast<size_t>(row) / 64] >> (row % 64) & 1) != 0;
  }

 private:
  template <typename T>
  T Number(int64_t row) const {
    T number;
    std::memcpy(&number, ids_ + row * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return number;
  }
  // A list's part of an extent with `width` bytes a row; `bit` marks in checked_ what was looked at.
  void Check(const Extent& extent, uint64_t width, uint64_t checksum, const char* what, uint8_t bit,
             size_t entry) const;

  const IndexFile& file_;
  SegmentTable table_;
  RowBytes bytes_;
  std::vector<ListEntry> directory_;
  const std::byte* ids_;
  const uint8_t *codes_, *fine_;
  std::unique_ptr<std::atomic<uint8_t>[]> checked_;  // bits 1, 2, 4: ids, codes, fine
  std::vector<uint64_t> removed_;                    // a bit a row; empty when none is
};

}  // namespace lowbit
