// The table of an index file: what it holds and where, little-endian (docs/indexes.md gives the bytes). It is
// written last and named by a header slot, so that a reader sees one committed state or another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lowbit/index/metric.h"

namespace lowbit {

// A stretch of the file; sections start at multiples of kSectionAlignment.
struct Extent {
  uint64_t offset = 0, bytes = 0;
  bool operator==(const Extent&) const = default;
};
struct CheckedExtent {
  Extent extent;
  uint64_t checksum = 0;
  bool operator==(const CheckedExtent&) const = default;
};

// Rows added together, sorted by list and, in a list, by id.
struct SegmentTable {
  uint64_t rows = 0;
  // Ids are first_id + number, numbers of `id_bytes` bytes; with 0 bytes the number is the row itself.
  int64_t first_id = 0;
  uint32_t id_bytes = 0;    // 0, 4 or 8
  CheckedExtent directory;  // ListEntry (one for each list with rows, ascending)
  Extent ids, codes, fine;
  bool operator==(const SegmentTable&) const = default;
};

// Rows of one list in a segment, and the checksums of their ids, codes and refining codes.
struct ListEntry {
  uint32_t list, first;
  uint64_t ids_checksum, codes_checksum, fine_checksum;
};
static_assert(sizeof(ListEntry) == 32);

struct IndexTable {
  std::string spec;
  Metric metric = Metric::kL2;
  bool axial = false;  // of products and cosines: what lies along a list's axis is beside rotated codes
  uint32_t dim = 0;
  uint64_t seed = 0;
  // Which part of a larger index this file is: part `shard` of `shards`. One file: 0 of 1.
  uint32_t shard = 0, shards = 1;
  int64_t next_id = 0;                                   // greater than every id that was ever in the file
  uint64_t live = 0;                                     // vectors that are not removed
  CheckedExtent centroids, parameters, fine_parameters;  // f32
  std::vector<SegmentTable> segments;
  // Removed rows, segment number times 2^32 plus row, ascending in each extent.
  std::vector<CheckedExtent> removals;
  bool operator==(const IndexTable&) const = default;

  uint64_t rows() const;
};

inline constexpr uint64_t kSectionAlignment = 64;
inline constexpr uint64_t kLargestSegment = uint64_t{1} << 31;  // rows

std::string Serialize(const IndexTable& table);
// Throws Error, naming the file, for bytes that are no table and for extents that leave the first
// `file_bytes` bytes of the file.
IndexTable ParseIndexTable(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& name);

}  // namespace lowbit
