// An index of vectors, opened for reading: search in the mapped file.
//
//   BuildIndex("base.index", "IVF256,TQ4", Metric::kL2, MatrixSource({x, n, 128}));     // index_writer.h
//   const VectorIndex index("base.index");
//   const Neighbors found = index.Search({q, m, 128}, {.k = 10, .nprobe = 16});
//
// An object shows the state that was committed when it was opened, whatever a writer does meanwhile. All
// methods may be called from several threads. Results do not depend on the number of threads: of equal
// distances the lower id is nearer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/index/id_set.h"
#include "lowbit/index/index_model.h"
#include "lowbit/index/segment.h"

namespace lowbit {

struct SearchOptions {
  int64_t k = 10;
  // Lists that a query visits: those of the nearest centroids, for kInnerProduct of the largest product.
  int64_t nprobe = 8;
  // With a refinement: this many times k candidates are ranked again by the finer code.
  int64_t refine = 4;
  const IdFilter* filter = nullptr;  // not owned
};

// Nearest first. Where fewer than k vectors were met, the rest have id -1.
struct Neighbors {
  int64_t queries = 0, k = 0;
  std::vector<int64_t> ids;   // (queries, k)
  std::vector<float> scores;  // (queries, k), metric.h
  int64_t pairs = 0;          // of a query and a code that were scored
};

// Neighbours of query i, nearest first, at first[i] ... first[i + 1] - 1.
struct RangeNeighbors {
  std::vector<int64_t> first;  // (queries + 1)
  std::vector<int64_t> ids;
  std::vector<float> scores;
};

class VectorIndex {
 public:
  // Reads the header, the table and what was learnt. Throws Error, naming the file, when it is none or
  // damaged.
  explicit VectorIndex(const std::filesystem::path& path);
  // Of bytes in memory, which must outlive the object.
  VectorIndex(std::span<const std::byte> bytes, const std::string& name);

  const IndexFile& file() const { return file_; }
  const IndexModel& model() const { return model_; }
  int64_t dim() const { return model_.dim(); }
  Metric metric() const { return model_.metric(); }
  int64_t size() const { return static_cast<int64_t>(file_.table().live); }

  // queries (n, d). Throws Error for other dimensions, values that are not finite, an empty index, k beyond
  // size() and options below 1.
  Neighbors Search(MatrixView<const float> queries, const SearchOptions& options = {},
                   ThreadPool& pool = ThreadPool::Global()) const;
  // All vectors met whose score is at most `radius` (L2) or at least `radius` (inner product, cosine). With a
  // refinement these are found by the first code's estimate and judged by the second. options.k and
  // options.refine are not looked at.
  RangeNeighbors RangeSearch(MatrixView<const float> queries, float radius, const SearchOptions& options = {},
                             ThreadPool& pool = ThreadPool::Global()) const;
  // The vector of an id as decoded from the finest code kept (a unit vector for the cosine). Throws Error for
  // an id that is not in the index.
  std::vector<float> Reconstruct(int64_t id) const;

  // The places (segment number times 2^32 plus row) of ids, ascending and without repetition; kNowhere for
  // those that are not in the index.
  static constexpr uint64_t kNowhere = std::numeric_limits<uint64_t>::max();
  std::vector<uint64_t> Locate(std::span<const int64_t> ids) const;

  // All ids, ascending.
  std::vector<int64_t> Ids() const;

  // Looks at every checksum and count. Throws Error at the first that does not hold. Returns remarks on what
  // is harmless: damaged copies of header slots.
  std::vector<std::string> Verify() const;

  // Directories of all segments and the marks of removed rows, read when first needed.
  const std::vector<Segment>& segments() const;

 private:
  friend class IndexSearch;
  void LoadSegments() const;
  // Project(c) of every centroid.
  const std::vector<float>& projected_centroids() const;

  IndexFile file_;
  IndexModel model_;
  mutable std::mutex mutex_;
  mutable bool loaded_ = false;
  mutable std::vector<Segment> segments_;
  mutable std::vector<float> projected_centroids_;
};

}  // namespace lowbit
