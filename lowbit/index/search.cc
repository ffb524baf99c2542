// Exhaustive search of the lists that each query visits. Threads take lists; the queries that visit a list
// are scored together, a few hundred codes at a time, and what passes a query's limit is offered to its
// nearest-so-far, which all threads share. The scores of a pair depend on nothing but the pair, and the
// nearest k are one set whatever the order, so that results do not depend on the number of threads.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
#include "lowbit/index/top_k.h"
#include "lowbit/index/vector_index.h"
#include "lowbit/kernel/nearest.h"
#include "lowbit/kernel/row_scores.h"

namespace lowbit {
namespace {

constexpr int64_t kTileRows = 256;       // codes scored at a time: until queries' limits are looked at again
constexpr int64_t kFirstRows = 64;       // the same while a query has no limit and all that it meets passes
constexpr int64_t kGroupQueries = 512;   // queries scored together: codes are decoded once for them
constexpr int64_t kFewQueries = 128;     // a group of fewer spends much of its time on decoding
constexpr int64_t kBlockQueries = 8192;  // queries that share the walk over their lists
constexpr int64_t kUnitRows = 4096;      // the smallest share of a list that is split off for another thread

int64_t CeilDivide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// What a query has found, shared by the threads that scan lists for it.
class Found {
 public:
  void Start(int64_t k, float limit, const PlaceIds* ids) {
    best_ = TopK(k, limit, ids);
    limit_.store(limit, std::memory_order_relaxed);
  }
  // At most what it was a moment ago: another thread may have found nearer ones.
  float limit() const { return limit_.load(std::memory_order_relaxed); }
  // Calls offer(TopK&) while no other thread does, which is for sure where the query is one thread's `own`.
  template <class Offer>
  void Take(bool own, Offer offer) {
    std::unique_lock lock(mutex_, std::defer_lock);
    if (!own) lock.lock();
    offer(best_);
    limit_.store(best_.limit(), std::memory_order_relaxed);
  }
  std::vector<Candidate> Sorted() && { return std::move(best_).Sorted(); }

 private:
  std::atomic<float> limit_{0};
  std::mutex mutex_;
  TopK best_{0};
};

}  // namespace

// One call of Search or RangeSearch.
class IndexSearch final : public PlaceIds {
 public:
  IndexSearch(const VectorIndex& index, MatrixView<const float> queries, const SearchOptions& options,
              ThreadPool& pool)
      : index_(index),
        model_(index.model()),
        segments_(index.segments()),
        options_(options),
        pool_(pool),
        nprobe_(std::min(options.nprobe, model_.lists())) {
    if (queries.cols != index.dim())
      Fail("queries have {} dimensions, the vectors of {} have {}", queries.cols, index.file().name(),
           index.dim());
    if (options.nprobe < 1) FailUsage("nprobe = {}: at least one list must be visited", options.nprobe);
    count_ = queries.rows;
    queries_.resize(static_cast<size_t>(count_ * queries.cols));
    for (int64_t i = 0; i < count_; ++i) {
      const float* q = queries.Row(i);
      if (!AllFinite({q, static_cast<size_t>(queries.cols)}))
        Fail("query {} holds a NaN or an infinity; queries must be finite", i);
      std::copy(q, q + queries.cols, queries_.begin() + i * queries.cols);
    }
    const MatrixView<float> own(queries_.data(), count_, queries.cols);
    if (index.metric() == Metric::kCosine) Normalize(own, 0, "query");
    own_ = own;
    Project();
    ChooseLists();
  }

  // For each query the nearest k within `limit` (a distance), or all of them when k < 0.
  std::vector<std::vector<Candidate>> Run(int64_t k, float limit) const {
    std::vector<std::vector<Candidate>> results(static_cast<size_t>(count_));
    for (int64_t begin = 0; begin < count_; begin += kBlockQueries) {
      const int64_t end = std::min(count_, begin + kBlockQueries);
      std::vector<Found> found(static_cast<size_t>(end - begin));
      for (Found& one : found) one.Start(k, limit, this);
      ScanBlock(begin, end, found.data());
      pool_.Run(end - begin, [&](int64_t q, int) {
        results[static_cast<size_t>(begin + q)] = std::move(found[static_cast<size_t>(q)]).Sorted();
      });
    }
    return results;
  }

  int64_t IdOf(uint64_t place) const override {
    return segments_[place >> 32].Id(static_cast<int64_t>(place & 0xffffffff));
  }

  // Scored by Run.
  int64_t pairs() const { return pairs_; }

  // Ranks candidates by the refining code: the nearest k within `limit`.
  void Refine(std::vector<std::vector<Candidate>>& results, int64_t k, float limit) const {
    const IndexCodec& fine = *model_.fine();
    pool_.Run(count_, [&](int64_t q, int) {
      auto& candidates = results[static_cast<size_t>(q)];
      std::vector<uint8_t> codes(candidates.size() * static_cast<size_t>(fine.bytes()));
      std::vector<const uint8_t*> places;  // all over the file: asked for before they are read
      for (const Candidate& candidate : candidates) {
        const Segment& segment = segments_[candidate.place >> 32];
        const auto row = static_cast<int64_t>(candidate.place & 0xffffffff);
        segment.CheckFine(segment.EntryOf(row));
        places.push_back(segment.Fine(row));
        __builtin_prefetch(places.back());
      }
      for (size_t i = 0; i < places.size(); ++i)
        std::copy(places[i], places[i] + fine.bytes(),
                  codes.begin() + static_cast<int64_t>(i) * fine.bytes());
      std::vector<float> projected(static_cast<size_t>(fine.projected_dim())), scores(candidates.size());
      fine.Project(own_.Row(q), projected.data());
      const float constant = 0;
      const auto batch = fine.PrepareBatch({{projected.data(), 1, fine.projected_dim()}, &constant}, kind());
      batch->Scores(codes.data(), static_cast<int64_t>(candidates.size()), scores.data());
      TopK best(k, limit, this);
      for (size_t i = 0; i < candidates.size(); ++i) best.Offer(scores[i], candidates[i].place);
      candidates = std::move(best).Sorted();
    });
  }

 private:
  ScoreKind kind() const {
    return index_.metric() == Metric::kL2 ? ScoreKind::kSquaredDistance : ScoreKind::kNegativeProduct;
  }
  // Whether codes are of x - c and of products, so that <q, c> is missing from their scores.
  bool lacks_centroid() const {
    return model_.codec().of_residuals() && kind() == ScoreKind::kNegativeProduct;
  }
  // Whether a query is less by a share of its list's centroid c: by c for distances, for products of axial
  // codes by <q, a> a, a = c / ||c||.
  bool shifts() const {
    return model_.codec().axial() || (model_.codec().of_residuals() && !lacks_centroid());
  }

  void Project() {
    width_ = model_.codec().projected_dim();
    projected_.resize(static_cast<size_t>(count_ * width_));
    pool_.Run(CeilDivide(count_, 16), [&](int64_t task, int) {
      for (int64_t i = 16 * task; i < std::min(count_, 16 * task + 16); ++i)
        model_.codec().Project(own_.Row(i), projected_.data() + i * width_);
    });
    if (shifts()) shift_ = index_.projected_centroids().data();
  }

  void ChooseLists() {
    probes_.assign(static_cast<size_t>(count_ * nprobe_), 0);
    if (model_.lists() == 1) return;
    // Without the norms the nearest centroids are those of the largest inner product.
    const std::vector<float> zeros(model_.half_norms().size());
    const float* half_norms =
        index_.metric() == Metric::kInnerProduct ? zeros.data() : model_.half_norms().data();
    NearestCentroids(own_, model_.centroids(), half_norms, nprobe_, probes_.data(), nullptr, pool_);
  }

  // A query of a block meets a list.
  struct Visit {
    bool later;  // not the query's nearest list
    uint32_t list, query;
  };
  // Those of queries [begin, end), list after list: every query's nearest list first, so that its limit is
  // low when the others come. Sorted by counting.
  std::vector<Visit> VisitsOf(int64_t begin, int64_t end) const {
    const auto lists = static_cast<size_t>(model_.lists());
    std::vector<size_t> place(2 * lists + 1);  // where the next visit of a (later, list) goes
    const auto each = [&](const auto& f) {
      for (int64_t q = begin; q < end; ++q) {
        for (int64_t p = 0; p < nprobe_; ++p) {
          const uint32_t list = probes_[static_cast<size_t>(q * nprobe_ + p)];
          f((p > 0 ? lists : 0) + list, Visit{p > 0, list, static_cast<uint32_t>(q - begin)});
        }
      }
    };
    each([&](size_t key, const Visit&) { ++place[key + 1]; });
    for (size_t i = 1; i < place.size(); ++i) place[i] += place[i - 1];
    std::vector<Visit> visits(static_cast<size_t>((end - begin) * nprobe_));
    each([&](size_t key, const Visit& visit) { visits[place[key]++] = visit; });
    return visits;
  }
  // A share of a list in a segment, and some of the queries that visit the list.
  struct Unit {
    uint32_t list;
    uint32_t segment;
    int64_t first, rows;
    size_t entry;
    size_t group_begin, group_end;  // in the block's visits
  };

  // How many groups the queries of an index of one list form, all of which meet all codes. Where they are
  // enough for all threads, a thread has groups of its own, so that threads have no candidates in common.
  int64_t GroupsOf(int64_t queries) const {
    const int64_t threads = pool_.threads(), largest = CeilDivide(queries, kGroupQueries);
    const int64_t each =
        std::max(CeilDivide(largest, threads), std::min<int64_t>(2, queries / (kFewQueries * threads)));
    return threads == 1 || queries < kFewQueries * threads ? largest : threads * each;
  }

  std::vector<Unit> UnitsOf(const std::vector<Visit>& visits, size_t group_queries) const {
    std::vector<Unit> units;
    for (size_t begin = 0; begin < visits.size();) {
      const uint32_t list = visits[begin].list;
      size_t end = begin;
      while (end < visits.size() && visits[end].list == list && visits[end].later == visits[begin].later)
        ++end;
      for (size_t group = begin; group < end; group += group_queries) {
        for (size_t s = 0; s < segments_.size(); ++s) {
          const auto [first, count, entry] = segments_[s].Find(list);
          for (int64_t at = 0; at < count; at += kUnitRows)
            units.push_back({list, static_cast<uint32_t>(s), first + at, std::min(kUnitRows, count - at),
                             entry, group, std::min(end, group + group_queries)});
        }
      }
      begin = end;
    }
    return units;
  }

  void ScanBlock(int64_t begin, int64_t end, Found* found) const {
    const std::vector<Visit> visits = VisitsOf(begin, end);
    const bool lists = model_.lists() > 1;
    const int64_t queries = end - begin;
    const int64_t size = lists ? kGroupQueries : CeilDivide(queries, GroupsOf(queries));
    const std::vector<Unit> units = UnitsOf(visits, static_cast<size_t>(size));
    const int64_t groups = CeilDivide(queries, size);
    const bool own_queries = !lists && groups >= pool_.threads();
    std::vector<Scratch> scratch(static_cast<size_t>(pool_.threads()));
    const auto scan = [&](int64_t task, int worker) {
      const Unit& unit = units[static_cast<size_t>(task)];
      ScanUnit(begin, std::span(visits).subspan(unit.group_begin, unit.group_end - unit.group_begin), unit,
               own_queries, scratch[static_cast<size_t>(worker)], found);
    };
    const auto count = static_cast<int64_t>(units.size());
    if (lists) return pool_.Run(count, scan);  // in their order
    if (own_queries) {
      const int64_t each = count / groups;
      return pool_.Run(groups, [&](int64_t group, int worker) {
        for (int64_t task = group * each; task < (group + 1) * each; ++task) scan(task, worker);
      });
    }
    // A scan asks for the codes that come next: they should be the same thread's.
    pool_.RunRanges(count, [&](int64_t from, int64_t to, int worker) {
      for (int64_t task = from; task < to; ++task) scan(task, worker);
    });
  }

  // Of a worker.
  struct Scratch {
    Buffer<float> projected, constant, weight, limits, scores;
    Buffer<int32_t> passed;
    Buffer<int64_t> hits;

    void Reserve(size_t queries, size_t width) {
      projected.Reserve(queries * width);
      constant.Reserve(queries);
      weight.Reserve(queries);
      limits.Reserve(queries);
      hits.Reserve(queries);
      // Room for all, of which little is touched.
      scores.Reserve(queries * kTileRows);
      passed.Reserve(queries * kTileRows);
    }
  };

  float CentroidProduct(int64_t query, uint32_t list) const {
    double product = 0;
    const float *x = own_.Row(query), *c = model_.centroids().Row(list);
    for (int64_t j = 0; j < own_.cols; ++j) product += double{x[j]} * c[j];
    return static_cast<float>(product);
  }

  // Keeps, of n rows after `first` and their scores, those that may be found.
  int64_t Admit(const Segment& segment, int64_t first, int64_t n, int32_t* rows, float* scores) const {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = first + rows[i];
      if (segment.Removed(row)) continue;
      if (options_.filter != nullptr && !options_.filter->Admits(segment.Id(row))) continue;
      rows[kept] = rows[i], scores[kept] = scores[i], ++kept;
    }
    return kept;
  }

  // Scores the rows of a unit against its group of queries.
  void ScanUnit(int64_t begin, std::span<const Visit> group, const Unit& unit, bool own_queries,
                Scratch& scratch, Found* found) const {
    const auto count = static_cast<int64_t>(group.size());
    const uint32_t list = unit.list;
    scratch.Reserve(group.size(), static_cast<size_t>(width_));
    float *projected = scratch.projected.data(), *constant = scratch.constant.data(),
          *weight = scratch.weight.data(), *limits = scratch.limits.data(), *scores = scratch.scores.data();
    const bool axial = model_.codec().axial();
    const float inverse = axial ? model_.InverseNorm(list) : 0.0f;
    for (size_t r = 0; r < group.size(); ++r) {
      const int64_t q = begin + group[r].query;
      const float* from = projected_.data() + q * width_;
      float* to = projected + static_cast<int64_t>(r) * width_;
      const float product = lacks_centroid() ? CentroidProduct(q, list) : 0.0f;
      constant[r] = -product;
      weight[r] = product * inverse;
      if (shift_ != nullptr) {
        const float *c = shift_ + int64_t{list} * width_, share = axial ? weight[r] * inverse : 1.0f;
        for (int64_t j = 0; j < width_; ++j) to[j] = from[j] - share * c[j];
      } else {
        std::copy(from, from + width_, to);
      }
    }
    const auto batch =
        model_.codec().PrepareBatch({{projected, count, width_}, constant, axial ? weight : nullptr}, kind());
    int32_t* passed = scratch.passed.data();
    int64_t* hits = scratch.hits.data();
    const PassedRows to{count, limits, hits, passed, scores};
    const Segment& segment = segments_[unit.segment];
    const uint64_t place = uint64_t{unit.segment} << 32;
    const bool chooses = segment.has_removed() || options_.filter != nullptr;
    segment.CheckCodes(unit.entry);
    pairs_ += count * unit.rows;
    for (int64_t at = 0; at < unit.rows;) {
      float loosest = -std::numeric_limits<float>::infinity();
      for (size_t r = 0; r < group.size(); ++r) {
        limits[r] = found[group[r].query].limit();
        loosest = std::max(loosest, limits[r]);
      }
      const int64_t most = loosest == std::numeric_limits<float>::infinity() ? kFirstRows : kTileRows;
      const int64_t rows = std::min(most, unit.rows - at), first = unit.first + at;
      batch->ScoresWithin(segment.Codes(first), rows, to);
      for (size_t r = 0; r < group.size(); ++r) {
        if (hits[r] == 0) continue;
        const size_t own = r * static_cast<size_t>(rows);
        if (chooses) hits[r] = Admit(segment, first, hits[r], passed + own, scores + own);
        found[group[r].query].Take(own_queries, [&](TopK& best) {
          best.OfferAll(scores + own, passed + own, hits[r], place + static_cast<uint64_t>(first));
        });
      }
      at += rows;
    }
  }

  const VectorIndex& index_;
  const IndexModel& model_;
  const std::vector<Segment>& segments_;
  const SearchOptions& options_;
  ThreadPool& pool_;
  int64_t nprobe_, count_ = 0, width_ = 0;
  std::vector<float> queries_, projected_;
  MatrixView<const float> own_;   // queries as the metric has them
  const float* shift_ = nullptr;  // projected centroids, where queries are q - c
  std::vector<uint32_t> probes_;  // (queries, nprobe)
  mutable std::atomic<int64_t> pairs_{0};
};

Neighbors VectorIndex::Search(MatrixView<const float> queries, const SearchOptions& options,
                              ThreadPool& pool) const {
  if (size() == 0) Fail("{}: the index is empty; add vectors first", file_.name());
  if (options.k < 1) FailUsage("k = {}: at least one neighbour must be asked for", options.k);
  if (options.k > size())
    Fail("k = {}: {} holds {} vectors, ask for at most as many", options.k, file_.name(), size());
  if (options.refine < 1)
    FailUsage("refine = {}: at least 1 candidate for each neighbour is needed", options.refine);
  const IndexSearch search(*this, queries, options, pool);
  constexpr float kNone = std::numeric_limits<float>::infinity();
  const bool refines = model_.fine() != nullptr;
  const int64_t candidates =
      refines ? options.k * std::min(options.refine, CeilDivide(size(), options.k)) : options.k;
  auto found = search.Run(candidates, kNone);
  if (refines) search.Refine(found, options.k, kNone);
  Neighbors neighbors{queries.rows, options.k, {}, {}, search.pairs()};
  neighbors.ids.assign(static_cast<size_t>(queries.rows * options.k), -1);
  neighbors.scores.assign(neighbors.ids.size(), ScoreOfDistance(metric(), kNone));
  for (size_t q = 0; q < found.size(); ++q) {
    for (size_t i = 0; i < found[q].size(); ++i) {
      const size_t at = q * static_cast<size_t>(options.k) + i;
      neighbors.ids[at] = found[q][i].id;
      neighbors.scores[at] = ScoreOfDistance(metric(), found[q][i].distance);
    }
  }
  return neighbors;
}

RangeNeighbors VectorIndex::RangeSearch(MatrixView<const float> queries, float radius,
                                        const SearchOptions& options, ThreadPool& pool) const {
  if (size() == 0) Fail("{}: the index is empty; add vectors first", file_.name());
  if (std::isnan(radius)) FailUsage("a radius of NaN: give a number");
  const float limit = ScoreOfDistance(metric(), radius);  // its own inverse
  const IndexSearch search(*this, queries, options, pool);
  auto found = search.Run(-1, limit);
  if (model_.fine() != nullptr) search.Refine(found, -1, limit);
  RangeNeighbors neighbors;
  neighbors.first.push_back(0);
  for (const auto& candidates : found) {
    for (const Candidate& candidate : candidates) {
      neighbors.ids.push_back(candidate.id);
      neighbors.scores.push_back(ScoreOfDistance(metric(), candidate.distance));
    }
    neighbors.first.push_back(static_cast<int64_t>(neighbors.ids.size()));
  }
  return neighbors;
}

}  // namespace lowbit
