#include "adapters/faiss/faiss_index.h"

#include <faiss/IndexIVF.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/IDSelector.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/index/index_spec.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

Metric MetricOf(faiss::MetricType metric) {
  if (metric == faiss::METRIC_L2) return Metric::kL2;
  if (metric == faiss::METRIC_INNER_PRODUCT) return Metric::kInnerProduct;
  Fail("metric {} of FAISS: an index has METRIC_L2 or METRIC_INNER_PRODUCT", static_cast<int>(metric));
}

fs::path TemporaryPath() {
  static std::atomic<int> made = 0;
  return fs::temp_directory_path() / fmt::format("lowbit-faiss-{}-{}.index", getpid(), made++);
}

}  // namespace

FaissIndex::FaissIndex(int dimension, std::string spec, faiss::MetricType metric, const fs::path& path)
    : faiss::Index(dimension, metric), spec_(std::move(spec)), path_(path), temporary_(path.empty()) {
  if (dimension < 1) Fail("an index of {} dimensions", dimension);
  const Metric wanted = MetricOf(metric);
  const std::string name = NameOf(ParseIndexSpec(spec_));
  if (temporary_) path_ = TemporaryPath();
  is_trained = false;
  if (temporary_ || !fs::exists(path_)) return;
  writer_ = std::make_unique<IndexWriter>(path_);
  const VectorIndex& there = writer_->index();
  const std::string stored = NameOf(there.model().spec());
  if (there.dim() != d || there.metric() != wanted || stored != name) {
    Fail("{}: holds {}, {}, of {} dimensions; asked for was {}, {}, of {}", path_.string(), stored,
         NameOf(there.metric()), there.dim(), name, NameOf(wanted), d);
  }
  if (there.size() > 0) next_id_ = there.Ids().back() + 1;
  Refresh();
}

FaissIndex::~FaissIndex() {
  writer_.reset();
  std::error_code ignored;
  if (temporary_) fs::remove(path_, ignored);
}

const VectorIndex& FaissIndex::index() const {
  if (writer_ == nullptr) Fail("{}: the index is not trained", path_.string());
  return writer_->index();
}

void FaissIndex::Refresh() {
  is_trained = writer_ != nullptr;
  ntotal = is_trained ? writer_->index().size() : 0;
}

void FaissIndex::train(int64_t n, const float* x) {
  // A new file, made of these vectors and emptied: what was there is replaced when all is learnt.
  writer_.reset();
  BuildIndex(path_, spec_, MetricOf(metric_type), MatrixSource(View(n, x)));
  writer_ = std::make_unique<IndexWriter>(path_);
  reset();
}

void FaissIndex::reset() {
  if (writer_ != nullptr && writer_->index().size() > 0) {
    writer_->Remove(writer_->index().Ids());
    writer_->Compact();
  }
  next_id_ = 0;
  Refresh();
}

void FaissIndex::add(int64_t n, const float* x) {
  if (n == 0) return;
  if (!is_trained) train(n, x);
  writer_->Add(MatrixSource(View(n, x)), {}, next_id_);
  next_id_ += n;
  Refresh();
}

void FaissIndex::add_with_ids(int64_t n, const float* x, const int64_t* ids) {
  if (n == 0) return;
  if (!is_trained) train(n, x);
  writer_->Add(MatrixSource(View(n, x)), {ids, static_cast<size_t>(n)});
  next_id_ = std::max(next_id_, *std::max_element(ids, ids + n) + 1);
  Refresh();
}

struct FaissIndex::Request final : IdFilter {
  Request(const FaissIndex& index, const faiss::SearchParameters* parameters)
      : options{.nprobe = index.nprobe, .refine = index.refine} {
    if (parameters == nullptr) return;
    if (const auto* ivf = dynamic_cast<const faiss::SearchParametersIVF*>(parameters))
      options.nprobe = static_cast<int64_t>(ivf->nprobe);
    selector = parameters->sel;
    if (selector != nullptr) options.filter = this;
  }
  Request(const Request&) = delete;
  bool Admits(int64_t id) const override { return selector->is_member(id); }

  SearchOptions options;
  const faiss::IDSelector* selector = nullptr;
};

void FaissIndex::search(int64_t n, const float* x, int64_t k, float* distances, int64_t* labels,
                        const faiss::SearchParameters* parameters) const {
  const bool nearer_is_less = metric_type == faiss::METRIC_L2;
  std::fill_n(labels, n * k, -1);
  std::fill_n(distances, n * k, (nearer_is_less ? 1 : -1) * std::numeric_limits<float>::max());
  if (n == 0 || ntotal == 0) return;
  Request request(*this, parameters);
  request.options.k = std::min(k, ntotal);
  const Neighbors found = index().Search(View(n, x), request.options);
  for (int64_t q = 0; q < n; ++q) {
    for (int64_t i = 0; i < found.k; ++i) {
      const auto at = static_cast<size_t>(q * found.k + i);
      if (found.ids[at] < 0) break;
      labels[q * k + i] = found.ids[at];
      distances[q * k + i] = found.scores[at];
    }
  }
}

void FaissIndex::range_search(int64_t n, const float* x, float radius, faiss::RangeSearchResult* result,
                              const faiss::SearchParameters* parameters) const {
  const bool nearer_is_less = metric_type == faiss::METRIC_L2;
  RangeNeighbors found{.first = std::vector<int64_t>(static_cast<size_t>(n) + 1), .ids = {}, .scores = {}};
  if (n > 0 && ntotal > 0) {
    const Request request(*this, parameters);
    found = index().RangeSearch(View(n, x), radius, request.options);
  }
  // FAISS leaves out what lies on the border.
  const auto inside = [&](float score) { return nearer_is_less ? score < radius : score > radius; };
  for (int64_t q = 0; q < n; ++q) {
    const auto begin = found.scores.begin() + found.first[q], end = found.scores.begin() + found.first[q + 1];
    result->lims[q] = static_cast<size_t>(std::count_if(begin, end, inside));
  }
  result->do_allocation();
  for (int64_t q = 0; q < n; ++q) {
    size_t to = result->lims[q];
    for (int64_t i = found.first[q]; i < found.first[q + 1]; ++i) {
      if (!inside(found.scores[i])) continue;
      result->labels[to] = found.ids[i];
      result->distances[to++] = found.scores[i];
    }
  }
}

void FaissIndex::reconstruct(int64_t id, float* x) const {
  const std::vector<float> vector = index().Reconstruct(id);
  std::copy(vector.begin(), vector.end(), x);
}

size_t FaissIndex::remove_ids(const faiss::IDSelector& selector) {
  if (ntotal == 0) return 0;
  std::vector<int64_t> ids = index().Ids();
  std::erase_if(ids, [&](int64_t id) { return !selector.is_member(id); });
  if (!ids.empty()) writer_->Remove(ids);
  Refresh();
  return ids.size();
}

}  // namespace lowbit
