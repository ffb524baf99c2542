// Making and changing index files. Every call commits or leaves the file as it was, also when the process is
// killed; one writer at a time has a file, readers go on with the state that they opened.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "lowbit/index/vector_index.h"

namespace lowbit {

struct BuildOptions {
  TrainingOptions training;
  std::span<const int64_t> ids;  // one for each vector; empty: first_id, first_id + 1, ...
  int64_t first_id = 0;
  // Takes metric, codecs and centroids from another index instead of learning them, so that the two can be
  // merged; the spec is then that index's.
  const VectorIndex* like = nullptr;
  // This file's place among the parts of a larger index.
  uint32_t shard = 0, shards = 1;
};

// Writes an index of all vectors of the source under its final name at the end. Throws UsageError for a spec
// that does not parse or fit, Error for values that are not finite, vectors of zeros under the cosine, ids
// that are negative or repeated, and for a file that another program is writing to.
void BuildIndex(const std::filesystem::path& path, const std::string& spec, Metric metric,
                const PointSource& vectors, const BuildOptions& options = {},
                ThreadPool& pool = ThreadPool::Global());

class IndexWriter {
 public:
  // Locks the file. Throws Error when another writer has it.
  explicit IndexWriter(const std::filesystem::path& path);

  // The state after the last change.
  const VectorIndex& index() const { return *index_; }

  // Adds the vectors of a source; ids as in BuildOptions, by default from the lowest never used one on.
  // Throws Error, naming the id, when one is there already.
  void Add(const PointSource& vectors, std::span<const int64_t> ids = {},
           std::optional<int64_t> first_id = {}, ThreadPool& pool = ThreadPool::Global());
  // Removes vectors: marked, and gone with the next Compact. Throws Error when an id is not in the index.
  void Remove(std::span<const int64_t> ids);
  // Adds the vectors of another index with the same codecs and centroids, code by code.
  void Merge(const VectorIndex& other);
  // Writes the live vectors to a new file, which takes the place of this one.
  void Compact();

 private:
  // Adds `fill`'s segments and commits.
  void Extend(const std::function<void(IndexTable&)>& fill);
  void Reopen();

  std::filesystem::path path_;
  std::unique_ptr<IndexAppender> output_;
  std::unique_ptr<VectorIndex> index_;
};

}  // namespace lowbit
