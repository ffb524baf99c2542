#include "lowbit/index/index_writer.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"

namespace lowbit {
namespace {

constexpr int64_t kSegmentBytes = int64_t{512} << 20;  // gathered in memory before a segment is written
// Leaves room for a 32-bit number after the first id of a segment.
constexpr int64_t kLargestId = std::numeric_limits<int64_t>::max() - (int64_t{1} << 32);

int64_t RowsOfSegment(const RowBytes& bytes) {
  const int64_t row = bytes.codes + bytes.fine + static_cast<int64_t>(sizeof(int64_t) + sizeof(uint32_t));
  return std::clamp<int64_t>(kSegmentBytes / row, 4096, int64_t{kLargestSegment});
}

// Ids of `count` vectors, checked: not negative, none twice.
std::vector<int64_t> IdsOf(int64_t count, std::span<const int64_t> given, int64_t first) {
  std::vector<int64_t> ids(given.begin(), given.end());
  if (given.empty()) {
    if (first < 0 || first > kLargestId - count)
      Fail("a first id of {}: ids of {} vectors from it on must lie between 0 and {}", first, count,
           kLargestId);
    ids.resize(static_cast<size_t>(count));
    std::iota(ids.begin(), ids.end(), first);
    return ids;
  }
  if (static_cast<int64_t>(ids.size()) != count) Fail("{} ids for {} vectors", ids.size(), count);
  std::vector<int64_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front() < 0 || sorted.back() > kLargestId)
    Fail("id {}: ids must lie between 0 and {}", sorted.front() < 0 ? sorted.front() : sorted.back(),
         kLargestId);
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) Fail("id {} is given to two vectors", *twice);
  return ids;
}

void Count(IndexTable& table, const SegmentRows& rows) {
  table.live += static_cast<uint64_t>(rows.size());
  table.next_id = std::max(table.next_id, *std::max_element(rows.ids.begin(), rows.ids.end()) + 1);
}

// Gathers rows into segments of bounded size.
class SegmentStream {
 public:
  SegmentStream(IndexOutput& output, IndexTable& table, const RowBytes& bytes)
      : output_(output), table_(table), bytes_(bytes), limit_(RowsOfSegment(bytes)) {}
  SegmentRows& rows() { return rows_; }
  // To be called after rows() has grown, and with `last` at the end.
  void Flush(bool last) {
    if (rows_.size() == 0 || (!last && rows_.size() < limit_)) return;
    Count(table_, rows_);
    table_.segments.push_back(WriteSegment(output_, rows_, bytes_));
    rows_.Clear();
  }

 private:
  IndexOutput& output_;
  IndexTable& table_;
  RowBytes bytes_;
  int64_t limit_;
  SegmentRows rows_;
};

void EncodeAll(const IndexModel& model, const PointSource& vectors, std::span<const int64_t> ids,
               IndexOutput& output, IndexTable& table, ThreadPool& pool) {
  const MetricSource source(vectors, model.metric());
  SegmentStream stream(output, table, model.row_bytes());
  Progress progress("encoding", source.count(), "vectors");
  const int64_t step = std::min<int64_t>(BlockRows(source.dimension()), 8192);
  PointScratch scratch;
  for (int64_t first = 0; first < source.count(); first += step) {
    const PointBlock block = source.Read(first, std::min(step, source.count() - first), scratch);
    model.Encode(block.points, first, ids.data() + first, stream.rows(), pool);
    stream.Flush(false);
    progress.Update(first + block.points.rows);
  }
  stream.Flush(true);
}

// The live rows of an index, code by code.
void CopyRows(const VectorIndex& from, IndexOutput& output, IndexTable& table) {
  const RowBytes bytes = from.model().row_bytes();
  SegmentStream stream(output, table, bytes);
  Progress progress("copying", from.size(), "vectors");
  int64_t done = 0;
  const std::vector<Segment>& segments = from.segments();
  for (size_t s = 0; s < segments.size(); ++s) {
    const Segment& segment = segments[s];
    for (size_t entry = 0; entry < segment.entries(); ++entry) {
      segment.CheckCodes(entry);
      segment.CheckFine(entry);
      const auto [first, count, _] = segment.At(entry);
      SegmentRows& rows = stream.rows();
      for (int64_t row = first; row < first + count; ++row) {
        if (segment.Removed(row)) continue;
        rows.lists.push_back(segment.ListAt(entry));
        rows.ids.push_back(segment.Id(row));
        rows.codes.insert(rows.codes.end(), segment.Codes(row), segment.Codes(row) + bytes.codes);
        rows.fine.insert(rows.fine.end(), segment.Fine(row), segment.Fine(row) + bytes.fine);
        ++done;
      }
      stream.Flush(false);
      progress.Update(done);
    }
  }
  stream.Flush(true);
}

// The part of a table that says what was learnt, its sections copied to another file.
IndexTable CopyModel(const IndexFile& from, IndexOutput& output) {
  IndexTable table = from.table();
  table.segments.clear();
  table.removals.clear();
  table.live = 0;
  for (CheckedExtent* section : {&table.centroids, &table.parameters, &table.fine_parameters})
    *section = output.AppendSection(from.Checked(*section, "centroids and parameters"));
  return table;
}

void CheckSource(const PointSource& vectors, int64_t dim, const std::string& name) {
  if (vectors.dimension() != dim)
    Fail("vectors of {} dimensions; those of {} have {}", vectors.dimension(), name, dim);
  if (vectors.count() < 1) Fail("there are no vectors to add to {}", name);
}

}  // namespace

void BuildIndex(const std::filesystem::path& path, const std::string& spec, Metric metric,
                const PointSource& vectors, const BuildOptions& options, ThreadPool& pool) {
  if (options.shard >= options.shards)
    FailUsage("part {} of {}: parts are numbered from 0", options.shard, options.shards);
  const std::vector<int64_t> ids = IdsOf(vectors.count(), options.ids, options.first_id);
  NewIndexFile output(path);
  IndexTable table;
  if (options.like != nullptr) {
    CheckSource(vectors, options.like->dim(), options.like->file().name());
    table = CopyModel(options.like->file(), output);
    table.next_id = 0;
    table.shard = options.shard, table.shards = options.shards;
    EncodeAll(options.like->model(), vectors, ids, output, table, pool);
  } else {
    const MetricSource source(vectors, metric);
    const IndexModel model = IndexModel::Train(ParseIndexSpec(spec), metric, source, options.training, pool);
    model.Store(output, table);
    table.shard = options.shard, table.shards = options.shards;
    EncodeAll(model, vectors, ids, output, table, pool);
  }
  output.Commit(table);
}

IndexWriter::IndexWriter(const std::filesystem::path& path) : path_(path) {
  Reopen();
}

void IndexWriter::Reopen() {
  output_.reset();  // its lock first
  output_ = std::make_unique<IndexAppender>(path_);
  index_ = std::make_unique<VectorIndex>(path_);
}

void IndexWriter::Extend(const std::function<void(IndexTable&)>& fill) {
  IndexTable table = index_->file().table();
  try {
    fill(table);
    output_->Commit(table);
  } catch (...) {
    Reopen();  // cuts off what was appended
    throw;
  }
  index_ = std::make_unique<VectorIndex>(path_);
}

void IndexWriter::Add(const PointSource& vectors, std::span<const int64_t> given,
                      std::optional<int64_t> first_id, ThreadPool& pool) {
  CheckSource(vectors, index_->dim(), path_.string());
  const std::vector<int64_t> ids =
      IdsOf(vectors.count(), given, first_id.value_or(index_->file().table().next_id));
  std::vector<int64_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  const std::vector<uint64_t> places = index_->Locate(sorted);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] != VectorIndex::kNowhere)
      Fail("{}: id {} is in the index already; remove it first or choose other ids", path_.string(),
           sorted[i]);
  }
  Extend([&](IndexTable& table) { EncodeAll(index_->model(), vectors, ids, *output_, table, pool); });
}

void IndexWriter::Remove(std::span<const int64_t> ids) {
  std::vector<int64_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  if (sorted.empty()) return;
  std::vector<uint64_t> places = index_->Locate(sorted);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] == VectorIndex::kNowhere)
      Fail("{}: id {} is not in the index; nothing was removed", path_.string(), sorted[i]);
  }
  std::sort(places.begin(), places.end());
  Extend([&](IndexTable& table) {
    table.removals.push_back(output_->AppendSection(std::as_bytes(std::span(places))));
    table.live -= places.size();
  });
}

void IndexWriter::Merge(const VectorIndex& other) {
  const IndexTable &own = index_->file().table(), &theirs = other.file().table();
  const std::string name = other.file().name();
  if (own.spec != theirs.spec || own.metric != theirs.metric || own.dim != theirs.dim)
    Fail("{} is {}, {}, {} dimensions; {} is {}, {}, {}: only equal ones can be merged", path_.string(),
         own.spec, NameOf(own.metric), own.dim, name, theirs.spec, NameOf(theirs.metric), theirs.dim);
  if (own.axial != theirs.axial)
    Fail("{} keeps {} beside its codes, {} {}: build one of them with the other's codes (index build --like)",
         path_.string(), own.axial ? "components along its centroids" : "no components along its centroids",
         name, theirs.axial ? "does" : "does not");
  const auto same = [](const CheckedExtent& a, const CheckedExtent& b) {
    return a.extent.bytes == b.extent.bytes && a.checksum == b.checksum;
  };
  if (own.seed != theirs.seed || !same(own.centroids, theirs.centroids) ||
      !same(own.parameters, theirs.parameters) || !same(own.fine_parameters, theirs.fine_parameters))
    Fail("{} and {} learnt their codes apart; build one of them with the other's (index build --like)",
         path_.string(), name);
  const std::vector<int64_t> ids = other.Ids();
  if (ids.empty()) return;
  const std::vector<uint64_t> places = index_->Locate(ids);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] != VectorIndex::kNowhere)
      Fail("id {} is both in {} and in {}; build one of them with other ids (index build --first-id)", ids[i],
           path_.string(), name);
  }
  Extend([&](IndexTable& table) { CopyRows(other, *output_, table); });
}

void IndexWriter::Compact() {
  NewIndexFile output(path_, output_.get());
  IndexTable table = CopyModel(index_->file(), output);
  CopyRows(*index_, output, table);
  output.Commit(table);
  Reopen();
}

}  // namespace lowbit
