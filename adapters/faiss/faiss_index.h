// A lowbit index as a faiss::Index, so that a program that uses FAISS switches by the line that makes its
// index:
//
//   faiss::IndexIVFPQFastScan index(&quantizer, d, 256, d, 4);
//   lowbit::FaissIndex index(d, "IVF256,Trellis4");
//
// The specs are those of `lowbit list indexes` (docs/indexes.md). The index lives in a file: a temporary one
// that goes with the object, or one that is named, kept, and opened again by the same constructor. Errors are
// lowbit::Error. FAISS's rule for threads holds: any number may search, one at a time may change. Compiles
// with FAISS 1.7.3 and later.
#pragma once

#include <faiss/Index.h>

#include <filesystem>
#include <memory>
#include <string>

#include "lowbit/index/index_writer.h"

namespace lowbit {

class FaissIndex : public faiss::Index {
 public:
  // METRIC_L2 (squared distances) or METRIC_INNER_PRODUCT. With a `path`, opens the index that is there,
  // whose spec, dimension and metric must be these, or makes it when it is trained. Throws UsageError for a
  // spec that does not parse, Error for other metrics.
  FaissIndex(int d, std::string spec, faiss::MetricType metric = faiss::METRIC_L2,
             const std::filesystem::path& path = {});
  ~FaissIndex() override;
  FaissIndex(const FaissIndex&) = delete;
  FaissIndex& operator=(const FaissIndex&) = delete;

  // What SearchOptions has of the same name; a search's own faiss::SearchParametersIVF::nprobe goes before.
  int64_t nprobe = 8;
  int64_t refine = 4;

  // Learns what the spec has to learn. Forgets all vectors.
  void train(int64_t n, const float* x) override;
  // The first vectors train an index that is not trained. Ids go on from the greatest ever given: ntotal,
  // unless vectors were removed or had ids of their own.
  void add(int64_t n, const float* x) override;
  void add_with_ids(int64_t n, const float* x, const int64_t* ids) override;
  void search(int64_t n, const float* x, int64_t k, float* distances, int64_t* labels,
              const faiss::SearchParameters* parameters = nullptr) const override;
  // Distances below `radius`, inner products above it.
  void range_search(int64_t n, const float* x, float radius, faiss::RangeSearchResult* result,
                    const faiss::SearchParameters* parameters = nullptr) const override;
  void reconstruct(int64_t id, float* x) const override;
  // Removes all vectors, keeps what was learnt.
  void reset() override;
  // Other vectors keep their ids.
  size_t remove_ids(const faiss::IDSelector& selector) override;

  const std::filesystem::path& path() const { return path_; }
  // Throws Error before training.
  const VectorIndex& index() const;

 private:
  MatrixView<const float> View(int64_t n, const float* x) const { return {x, n, d}; }
  // Options of a search, and the filter they refer to.
  struct Request;
  void Refresh();

  std::string spec_;
  std::filesystem::path path_;
  bool temporary_ = false;
  int64_t next_id_ = 0;
  std::unique_ptr<IndexWriter> writer_;
};

}  // namespace lowbit
