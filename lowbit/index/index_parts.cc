#include "lowbit/index/index_parts.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// A neighbour as it is ordered: of equal distances the lower id first.
using Found = std::pair<float, int64_t>;

// Bounds of an index's ids, removed ones included; first > last without any. Ids ascend in a list.
struct IdBounds {
  int64_t first = std::numeric_limits<int64_t>::max(), last = -1;
};
IdBounds BoundsOf(const VectorIndex& index) {
  IdBounds bounds;
  for (const Segment& segment : index.segments()) {
    for (size_t entry = 0; entry < segment.entries(); ++entry) {
      const auto [first, count, _] = segment.At(entry);
      bounds.first = std::min(bounds.first, segment.Id(first));
      bounds.last = std::max(bounds.last, segment.Id(first + count - 1));
    }
  }
  return bounds;
}

// Adds neighbours begin ... end - 1 of a part to `near`; ids of -1 are none.
template <typename Part>
void Gather(const Part& part, int64_t begin, int64_t end, Metric metric, std::vector<Found>& near) {
  for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end) && part.ids[i] >= 0; ++i)
    near.emplace_back(ScoreOfDistance(metric, part.scores[i]), part.ids[i]);
}

void CheckNoneInBoth(const VectorIndex& a, const VectorIndex& b) {
  const std::vector<int64_t> ids = a.Ids();
  const std::vector<uint64_t> places = b.Locate(ids);
  const auto both = std::find_if(places.begin(), places.end(),
                                 [](uint64_t place) { return place != VectorIndex::kNowhere; });
  if (both != places.end())
    Fail("id {} is both in {} and in {}: parts of one index must not share ids (index build --first-id)",
         ids[static_cast<size_t>(both - places.begin())], a.file().name(), b.file().name());
}

}  // namespace

IndexParts::IndexParts(std::vector<std::shared_ptr<const VectorIndex>> parts) : parts_(std::move(parts)) {
  if (parts_.empty()) FailUsage("no index to search: at least one part must be given");
  CheckAgreement();
  CheckIdsDiffer();
}

IndexParts IndexParts::Open(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::shared_ptr<const VectorIndex>> parts;
  for (const auto& path : paths) parts.push_back(std::make_shared<VectorIndex>(path));
  return IndexParts(std::move(parts));
}

void IndexParts::CheckAgreement() const {
  const VectorIndex& first = *parts_[0];
  for (const auto& part : parts_) {
    if (part->metric() != first.metric() || part->dim() != first.dim())
      Fail("{} is {}, {} dimensions; {} is {}, {}: only equal ones can be searched together",
           first.file().name(), NameOf(first.metric()), first.dim(), part->file().name(),
           NameOf(part->metric()), part->dim());
  }
}

void IndexParts::CheckIdsDiffer() const {
  if (parts_.size() == 1) return;
  std::vector<IdBounds> bounds;
  for (const auto& part : parts_) bounds.push_back(BoundsOf(*part));
  for (size_t a = 0; a < parts_.size(); ++a) {
    for (size_t b = a + 1; b < parts_.size(); ++b) {
      // All ids are read only where parts lie between each other.
      if (bounds[a].first > bounds[b].last || bounds[b].first > bounds[a].last) continue;
      CheckNoneInBoth(*parts_[a], *parts_[b]);
    }
  }
}

int64_t IndexParts::size() const {
  int64_t size = 0;
  for (const auto& part : parts_) size += part->size();
  return size;
}

std::string IndexParts::name() const {
  std::string name;
  for (const auto& part : parts_) name += (name.empty() ? "" : ", ") + part->file().name();
  return name;
}

std::vector<const VectorIndex*> IndexParts::Filled() const {
  std::vector<const VectorIndex*> filled;
  for (const auto& part : parts_) {
    if (part->size() > 0) filled.push_back(part.get());
  }
  if (filled.empty()) Fail("{}: the index is empty; add vectors first", name());
  return filled;
}

Neighbors IndexParts::Search(MatrixView<const float> queries, const SearchOptions& options,
                             ThreadPool& pool) const {
  const std::vector<const VectorIndex*> filled = Filled();
  if (options.k > size())
    Fail("k = {}: {} holds {} vectors, ask for at most as many", options.k, name(), size());
  std::vector<Neighbors> found;
  for (const VectorIndex* part : filled) {
    SearchOptions own = options;
    own.k = std::min(options.k, part->size());
    found.push_back(part->Search(queries, own, pool));
  }
  if (found.size() == 1) return std::move(found[0]);
  Neighbors all{queries.rows, options.k, {}, {}, 0};
  for (const Neighbors& part : found) all.pairs += part.pairs;
  const auto k = static_cast<size_t>(options.k);
  all.ids.assign(static_cast<size_t>(queries.rows) * k, -1);
  all.scores.assign(all.ids.size(), ScoreOfDistance(metric(), std::numeric_limits<float>::infinity()));
  pool.Run(queries.rows, [&](int64_t q, int) {
    std::vector<Found> near;
    for (const Neighbors& part : found) Gather(part, q * part.k, (q + 1) * part.k, metric(), near);
    std::sort(near.begin(), near.end());
    near.resize(std::min(near.size(), k));
    for (size_t i = 0; i < near.size(); ++i) {
      all.scores[static_cast<size_t>(q) * k + i] = ScoreOfDistance(metric(), near[i].first);
      all.ids[static_cast<size_t>(q) * k + i] = near[i].second;
    }
  });
  return all;
}

RangeNeighbors IndexParts::RangeSearch(MatrixView<const float> queries, float radius,
                                       const SearchOptions& options, ThreadPool& pool) const {
  std::vector<RangeNeighbors> found;
  for (const VectorIndex* part : Filled()) found.push_back(part->RangeSearch(queries, radius, options, pool));
  if (found.size() == 1) return std::move(found[0]);
  RangeNeighbors all{{0}, {}, {}};
  std::vector<Found> near;
  for (size_t q = 0; q < static_cast<size_t>(queries.rows); ++q) {
    near.clear();
    for (const RangeNeighbors& part : found) Gather(part, part.first[q], part.first[q + 1], metric(), near);
    std::sort(near.begin(), near.end());
    for (const auto& [distance, id] : near) {
      all.scores.push_back(ScoreOfDistance(metric(), distance));
      all.ids.push_back(id);
    }
    all.first.push_back(static_cast<int64_t>(all.ids.size()));
  }
  return all;
}

}  // namespace lowbit
