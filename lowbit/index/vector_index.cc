#include "lowbit/index/vector_index.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"

namespace lowbit {

VectorIndex::VectorIndex(const std::filesystem::path& path) : file_(path), model_(IndexModel::Load(file_)) {}

VectorIndex::VectorIndex(std::span<const std::byte> bytes, const std::string& name)
    : file_(bytes, name), model_(IndexModel::Load(file_)) {}

const std::vector<Segment>& VectorIndex::segments() const {
  const std::lock_guard lock(mutex_);
  if (!loaded_) LoadSegments();
  return segments_;
}

void VectorIndex::LoadSegments() const {
  segments_.clear();
  const IndexTable& table = file_.table();
  for (const SegmentTable& segment : table.segments)
    segments_.emplace_back(file_, segment, model_.row_bytes(), model_.lists());
  uint64_t removed = 0;
  for (const CheckedExtent& extent : table.removals) {
    const auto bytes = file_.Checked(extent, "marks of removed vectors");
    for (size_t at = 0; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t), ++removed) {
      uint64_t place;
      std::memcpy(&place, bytes.data() + at, sizeof place);
      const uint64_t segment = place >> 32, row = place & 0xffffffff;
      if (segment >= segments_.size() || row >= table.segments[segment].rows ||
          segments_[segment].Removed(static_cast<int64_t>(row)))
        Fail("{}: a mark of a removed vector names row {} of segment {}: the file is damaged", file_.name(),
             row, segment);
      segments_[segment].MarkRemoved(static_cast<int64_t>(row));
    }
  }
  if (table.rows() - removed != table.live)
    Fail("{}: {} vectors, {} of them removed, but {} live: the file is damaged", file_.name(), table.rows(),
         removed, table.live);
  loaded_ = true;
}

const std::vector<float>& VectorIndex::projected_centroids() const {
  const std::lock_guard lock(mutex_);
  if (projected_centroids_.empty()) {
    const int64_t width = model_.codec().projected_dim();
    std::vector<float> projected(static_cast<size_t>(model_.lists() * width));
    for (int64_t l = 0; l < model_.lists(); ++l)
      model_.codec().Project(model_.centroids().Row(l), projected.data() + l * width);
    projected_centroids_ = std::move(projected);
  }
  return projected_centroids_;
}

std::vector<uint64_t> VectorIndex::Locate(std::span<const int64_t> ids) const {
  std::vector<uint64_t> places(ids.size(), kNowhere);
  if (ids.empty() || ids.front() >= file_.table().next_id) return places;
  const std::vector<Segment>& all = segments();
  for (size_t s = 0; s < all.size(); ++s) {
    const Segment& segment = all[s];
    for (size_t entry = 0; entry < segment.entries(); ++entry) {
      segment.CheckIds(entry);
      // Ids ascend in a list, and in `ids`: the two are walked side by side where they overlap.
      const auto [first, count, _] = segment.At(entry);
      const int64_t least = segment.Id(first), most = segment.Id(first + count - 1);
      auto wanted = static_cast<size_t>(std::lower_bound(ids.begin(), ids.end(), least) - ids.begin());
      for (int64_t row = first; wanted < ids.size() && ids[wanted] <= most; ++wanted) {
        int64_t end = first + count;
        while (row < end) {  // the first row with an id of at least the wanted one
          const int64_t middle = row + (end - row) / 2;
          if (segment.Id(middle) < ids[wanted]) {
            row = middle + 1;
          } else {
            end = middle;
          }
        }
        if (row < first + count && segment.Id(row) == ids[wanted] && !segment.Removed(row))
          places[wanted] = static_cast<uint64_t>(s) << 32 | static_cast<uint64_t>(row);
      }
    }
  }
  return places;
}

std::vector<float> VectorIndex::Reconstruct(int64_t id) const {
  const uint64_t place = Locate(std::span(&id, 1))[0];
  if (place == kNowhere) Fail("{}: there is no vector with id {}", file_.name(), id);
  std::vector<float> x(static_cast<size_t>(dim()));
  model_.Decode(segments()[place >> 32], static_cast<int64_t>(place & 0xffffffff), x.data());
  return x;
}

std::vector<int64_t> VectorIndex::Ids() const {
  std::vector<int64_t> ids;
  ids.reserve(static_cast<size_t>(size()));
  for (const Segment& segment : segments()) {
    for (size_t entry = 0; entry < segment.entries(); ++entry) segment.CheckIds(entry);
    for (int64_t row = 0; row < segment.rows(); ++row) {
      if (!segment.Removed(row)) ids.push_back(segment.Id(row));
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<std::string> VectorIndex::Verify() const {
  const std::vector<Segment>& all = segments();
  std::vector<int64_t> ids;
  ids.reserve(static_cast<size_t>(size()));
  for (const Segment& segment : all) {
    for (size_t entry = 0; entry < segment.entries(); ++entry) {
      segment.CheckCodes(entry);
      segment.CheckFine(entry);
      const auto [first, count, _] = segment.At(entry);
      for (int64_t row = first; row < first + count; ++row) {
        if (row > first && segment.Id(row) <= segment.Id(row - 1))
          Fail("{}: the ids of list {} are out of order: the file is damaged", file_.name(),
               segment.ListAt(entry));
        if (segment.Id(row) < 0 || segment.Id(row) >= file_.table().next_id)
          Fail("{}: id {} is not below {}: the file is damaged", file_.name(), segment.Id(row),
               file_.table().next_id);
        if (!segment.Removed(row)) ids.push_back(segment.Id(row));
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  const auto twice = std::adjacent_find(ids.begin(), ids.end());
  if (twice != ids.end()) Fail("{}: id {} is there twice: the file is damaged", file_.name(), *twice);
  std::vector<std::string> remarks;
  if (file_.damaged_slots() > 0)
    remarks.push_back(fmt::format("{} of 4 copies of the header are damaged; the others hold the index",
                                  file_.damaged_slots()));
  return remarks;
}

}  // namespace lowbit
