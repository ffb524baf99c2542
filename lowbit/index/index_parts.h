// Several indexes searched as one: parts of a larger index, or any indexes of one metric and dimension that
// have no id in common.
//
//   const IndexParts parts = IndexParts::Open({"a.index", "b.index"});
//   const Neighbors found = parts.Search({q, m, 128}, {.k = 10, .nprobe = 16});
//
// A search visits every part and merges what they find: the nearest k of all, of equal distances the lower
// id. Parts with the same codecs and centroids (index build --like) give the result of the index that they
// would merge to, bit for bit. With a refinement each part ranks its own refine * k candidates again, among
// which are all that the merged index would: no neighbour is farther than there. Parts that learnt apart
// choose nprobe of their own lists each, and their distances are estimates of codes that differ.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lowbit/index/vector_index.h"

namespace lowbit {

class IndexParts {
 public:
  // At least one. Throws Error, naming two parts, when their metrics or dimensions differ or an id is in
  // both.
  explicit IndexParts(std::vector<std::shared_ptr<const VectorIndex>> parts);
  static IndexParts Open(const std::vector<std::filesystem::path>& paths);

  const std::vector<std::shared_ptr<const VectorIndex>>& parts() const { return parts_; }
  int64_t dim() const { return parts_[0]->dim(); }
  Metric metric() const { return parts_[0]->metric(); }
  // Vectors of all parts.
  int64_t size() const;
  // The names of the files, with commas.
  std::string name() const;

  // As those of VectorIndex; k may be as large as size().
  Neighbors Search(MatrixView<const float> queries, const SearchOptions& options = {},
                   ThreadPool& pool = ThreadPool::Global()) const;
  RangeNeighbors RangeSearch(MatrixView<const float> queries, float radius, const SearchOptions& options = {},
                             ThreadPool& pool = ThreadPool::Global()) const;

 private:
  void CheckAgreement() const;
  void CheckIdsDiffer() const;
  // Parts that hold a vector. Throws Error when there is none.
  std::vector<const VectorIndex*> Filled() const;

  std::vector<std::shared_ptr<const VectorIndex>> parts_;
};

}  // namespace lowbit
