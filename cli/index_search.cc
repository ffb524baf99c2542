// Searching an index, and measuring how well and how fast it is searched.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/index_command.h"
#include "cli/output_path.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/index/top_k.h"
#include "lowbit/index/vector_file_source.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/kernel/row_scores.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {
namespace {

using nlohmann::json;

IndexParts Open(const IndexArguments& a) {
  return IndexParts::Open({a.parts.begin(), a.parts.end()});
}

Vectors ReadQueries(const IndexArguments& a, const IndexParts& index) {
  Vectors queries = ReadVectors(a.queries, a.limit);
  if (queries.dim != index.dim())
    Fail("{}: queries have {} dimensions, the vectors of {} have {}", a.queries, queries.dim, index.name(),
         index.dim());
  return queries;
}

std::optional<IdSet> FilterOf(const IndexArguments& a) {
  if (!a.filter.empty() && !a.except.empty()) FailUsage("--only and --except exclude each other");
  if (!a.filter.empty()) return IdSet(ReadIdFile(a.filter), IdSet::Meaning::kOnly);
  if (!a.except.empty()) return IdSet(ReadIdFile(a.except), IdSet::Meaning::kAllBut);
  return std::nullopt;
}

void WriteIds(const std::string& path, const Neighbors& found) {
  std::string text;
  const auto put = [&](const auto& value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  if (std::filesystem::path(path).extension() == ".npy") {
    text = NpyHeader("i8", {found.queries, found.k});
    for (const int64_t id : found.ids) put(id);
  } else {
    for (int64_t q = 0; q < found.queries; ++q) {
      put(static_cast<int32_t>(found.k));
      for (int64_t i = 0; i < found.k; ++i) {
        const int64_t id = found.ids[static_cast<size_t>(q * found.k + i)];
        if (id > std::numeric_limits<int32_t>::max())
          Fail("-o {}: id {} does not fit the 32 bits of .ivecs; write .npy", path, id);
        put(static_cast<int32_t>(id));
      }
    }
  }
  WriteFile(path, text);
}

// Neighbours begin[q] ... begin[q + 1] - 1 of query q; ids of -1 are none.
void Show(const std::vector<int64_t>& begin, const std::vector<int64_t>& ids,
          const std::vector<float>& scores, const Common& common) {
  json queries = json::array();
  for (size_t q = 0; q + 1 < begin.size(); ++q) {
    json own_ids = json::array(), own_scores = json::array();
    std::string line = fmt::format("{}:", q);
    for (auto i = static_cast<size_t>(begin[q]); i < static_cast<size_t>(begin[q + 1]) && ids[i] >= 0; ++i) {
      if (common.json) {
        own_ids.push_back(ids[i]);
        own_scores.push_back(scores[i]);
      } else {
        line += fmt::format(" {} ({:.6g})", ids[i], scores[i]);
      }
    }
    if (common.json) {
      queries.push_back({{"ids", own_ids}, {"scores", own_scores}});
    } else {
      fmt::print("{}\n", line);
    }
  }
  if (common.json) fmt::print("{}\n", json{{"queries", queries}}.dump(2));
}

// The exact `k` nearest rows of a file of vectors, ids in file order.
IdLists ExactNeighbors(const std::string& path, Metric metric, const Vectors& queries, int64_t k) {
  const VectorFileSource file(path);
  const MetricSource source(file, metric);
  if (source.dimension() != queries.dim)
    Fail("{}: vectors of {} dimensions, the queries have {}", path, source.dimension(), queries.dim);
  std::vector<TopK> best(static_cast<size_t>(queries.count), TopK(k));
  Progress progress("exact search", source.count(), "vectors");
  PointScratch scratch;
  constexpr int64_t kRows = 4096;
  const ScoreKind kind = metric == Metric::kL2 ? ScoreKind::kSquaredDistance : ScoreKind::kNegativeProduct;
  for (int64_t first = 0; first < source.count(); first += kRows) {
    const int64_t rows = std::min(kRows, source.count() - first);
    const MatrixView<const float> x = source.Read(first, rows, scratch).points;
    constexpr int64_t kTile = 256, kQueries = 16;
    ThreadPool::Global().Run((queries.count + kQueries - 1) / kQueries, [&](int64_t task, int) {
      const int64_t begin = task * kQueries, count = std::min(kQueries, queries.count - begin);
      std::vector<float> scores(kTile * kQueries);
      for (int64_t at = 0; at < rows; at += kTile) {
        const int64_t n = std::min(kTile, rows - at);
        ScoreRows(kind, queries.data.data() + begin * queries.dim, count, x.Row(at), n, queries.dim,
                  scores.data());
        for (int64_t r = 0; r < count; ++r) {
          TopK& own = best[static_cast<size_t>(begin + r)];
          for (int64_t i = 0; i < n; ++i)
            own.Offer(scores[static_cast<size_t>(r * n + i)], static_cast<uint64_t>(first + at + i));
        }
      }
    });
    progress.Update(first + rows);
  }
  IdLists lists{queries.count, std::min(k, source.count()), {}};
  for (TopK& own : best) {
    for (const Candidate& candidate : std::move(own).Sorted())
      lists.ids.push_back(static_cast<int32_t>(candidate.id));
  }
  return lists;
}

// The share of the true r nearest that are among the first r found.
double Recall(const Neighbors& found, const IdLists& truth, int64_t r) {
  int64_t hits = 0;
  for (int64_t q = 0; q < found.queries; ++q) {
    const auto* nearest = truth.ids.data() + q * truth.length;
    for (int64_t i = 0; i < r; ++i)
      hits += std::find(nearest, nearest + r, found.ids[static_cast<size_t>(q * found.k + i)]) != nearest + r;
  }
  return static_cast<double>(hits) / static_cast<double>(found.queries * r);
}

struct Measured {
  int64_t nprobe;
  std::vector<double> recall;
  double queries_per_second, pairs_per_second;
};

// The best of several runs.
Measured Measure(const IndexParts& index, MatrixView<const float> queries, const SearchOptions& options,
                 const IdLists& truth, const std::vector<int64_t>& ranks) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity(), total = 0;
  Neighbors found;
  for (int run = 0; run < 3 || (run < 20 && total < 1); ++run) {
    CheckInterrupt();
    const auto start = Clock::now();
    found = index.Search(queries, options);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
    if (total > 10) break;
  }
  Measured measured{
      options.nprobe, {}, static_cast<double>(queries.rows) / best, static_cast<double>(found.pairs) / best};
  for (const int64_t r : ranks) measured.recall.push_back(Recall(found, truth, r));
  return measured;
}

// What the machine can do, and how much of it a search used.
struct Limits {
  double read = 0, dot = 0, clock = 0;  // bytes, operations, reference cycles a second
};
struct Shares {
  double cycles = 0;  // of one thread for a pair
  double read = 0;    // of the bandwidth: the codes of the whole index, once, over the time
  double dot = 0;     // of the byte-dot peak; 0 where codes are not multiplied as bytes
};

Limits MeasureLimits() {
  ThreadPool& pool = ThreadPool::Global();
  constexpr size_t kMemory = size_t{1} << 30;  // larger than any cache
  return {MeasureReadBandwidth(pool, kMemory), MeasureDotPeak(pool), MeasureReferenceClock()};
}

// What eval has measured.
struct Evaluation {
  int64_t queries, k;
  std::vector<int64_t> ranks;
  std::vector<Measured> sweep;
  std::optional<Limits> limits;
};

// The most that a part has.
int64_t ListsOf(const IndexParts& index) {
  int64_t lists = 1;
  for (const auto& part : index.parts()) lists = std::max(lists, part->model().lists());
  return lists;
}

std::vector<int64_t> ProbesOf(const IndexArguments& a, const IndexParts& index) {
  if (!a.nprobe.empty()) return a.nprobe;
  const int64_t lists = ListsOf(index);
  std::vector<int64_t> probes;
  for (int64_t p = 1; p < lists; p *= 2) probes.push_back(p);
  probes.push_back(lists);
  return probes;
}

std::vector<std::string> SpecsOf(const IndexParts& index) {
  std::vector<std::string> specs;
  for (const auto& part : index.parts()) specs.push_back(part->file().table().spec);
  return specs;
}

IndexBytes BytesOfAll(const IndexParts& index) {
  IndexBytes all;
  for (const auto& part : index.parts()) {
    const IndexBytes own = BytesOf(*part);
    all.codes += own.codes;
    all.fine += own.fine;
    all.file += own.file;
  }
  return all;
}

Shares SharesOf(const Measured& m, const IndexParts& index, const Evaluation& e) {
  Shares shares{.cycles = ThreadPool::Global().threads() * e.limits->clock / m.pairs_per_second};
  // How many pairs each part had is not known: parts of one spec have the same product.
  const std::vector<std::string> specs = SpecsOf(index);
  const bool alike = std::count(specs.begin(), specs.end(), specs[0]) == std::ssize(specs);
  const IndexCodec& codec = index.parts()[0]->model().codec();
  if (alike && codec.of_residuals())
    shares.dot = 2.0 * static_cast<double>(codec.projected_dim()) * m.pairs_per_second / e.limits->dot;
  if (m.nprobe >= ListsOf(index)) {
    const double seconds = static_cast<double>(e.queries) / m.queries_per_second;
    shares.read = static_cast<double>(BytesOfAll(index).codes) / seconds / e.limits->read;
  }
  return shares;
}

void ShowJson(const Evaluation& e, const IndexArguments& a, const IndexParts& index) {
  json rows = json::array();
  for (const Measured& m : e.sweep) {
    json row = {
        {"nprobe", m.nprobe}, {"queries_per_s", m.queries_per_second}, {"pairs_per_s", m.pairs_per_second}};
    for (size_t i = 0; i < e.ranks.size(); ++i) row[fmt::format("recall_{}", e.ranks[i])] = m.recall[i];
    if (e.limits) {
      const Shares shares = SharesOf(m, index, e);
      row["cycles_per_pair"] = shares.cycles;
      if (shares.dot > 0) row["dot_share"] = shares.dot;
      if (shares.read > 0) row["bandwidth_share"] = shares.read;
    }
    rows.push_back(row);
  }
  const IndexBytes bytes = BytesOfAll(index);
  const auto specs = SpecsOf(index);
  const bool one = specs.size() == 1;
  fmt::print("{}\n", json{{"index", one ? json(a.parts[0]) : json(a.parts)},
                          {"spec", one ? json(specs[0]) : json(specs)},
                          {"metric", NameOf(index.metric())},
                          {"vectors", index.size()},
                          {"dimensions", index.dim()},
                          {"queries", e.queries},
                          {"k", e.k},
                          {"threads", ThreadPool::Global().threads()},
                          {"kernels", KernelTargetName()},
                          {"bytes", bytes.file},
                          {"bits_per_dimension", BitsPerDimension(index, bytes.file)},
                          {"code_bits_per_dimension", BitsPerDimension(index, bytes.codes + bytes.fine)},
                          {"sweep", rows}}
                         .dump(2));
}

void ShowTable(const Evaluation& e, const IndexParts& index) {
  std::vector<report::Column> columns = {{"nprobe", report::Align::kRight}};
  for (const int64_t r : e.ranks) columns.push_back({fmt::format("recall@{}", r), report::Align::kRight});
  columns.push_back({"queries/s", report::Align::kRight});
  columns.push_back({"Mpairs/s", report::Align::kRight});
  if (e.limits) {
    for (const char* name : {"cycles/pair", "of byte dots", "of reading"})
      columns.push_back({name, report::Align::kRight});
  }
  report::Table table(columns);
  for (const Measured& m : e.sweep) {
    std::vector<report::Cell> cells = {m.nprobe};
    for (const double recall : m.recall) cells.push_back(report::Cell(recall, 4));
    cells.push_back(report::Cell(m.queries_per_second, 0));
    cells.push_back(report::Cell(m.pairs_per_second * 1e-6, 1));
    if (e.limits) {
      const Shares shares = SharesOf(m, index, e);
      const auto percent = [](double share) { return share > 0 ? fmt::format("{:.1f} %", 100 * share) : ""; };
      cells.push_back(report::Cell(shares.cycles, 2));
      cells.push_back(percent(shares.dot));
      cells.push_back(percent(shares.read));
    }
    table.AddRow(cells);
  }
  std::vector<std::string> specs = SpecsOf(index);
  specs.erase(std::unique(specs.begin(), specs.end()), specs.end());
  const IndexBytes bytes = BytesOfAll(index);
  fmt::print("{}: {}, {}, {} vectors of {} dimensions; {} queries, k = {}, {} threads, {}\n", index.name(),
             fmt::join(specs, " and "), NameOf(index.metric()), index.size(), index.dim(), e.queries, e.k,
             ThreadPool::Global().threads(), KernelTargetName());
  fmt::print("{:.3f} bits a dimension in the file{}, {:.3f} of codes\n\n{}",
             BitsPerDimension(index, bytes.file), index.parts().size() == 1 ? "" : "s",
             BitsPerDimension(index, bytes.codes + bytes.fine), table.ToText());
  if (e.limits) {
    fmt::print("\nLimits in this run: {:.1f} GB/s read from memory, {:.0f} Gop/s byte dot products.\n",
               e.limits->read * 1e-9, e.limits->dot * 1e-9);
    fmt::print("Cycles are of one thread at {:.2f} GHz; of reading: the codes of the whole index, once.\n",
               e.limits->clock * 1e-9);
  }
}

}  // namespace

int RunIndexSearch(const IndexArguments& a, const Common& common) {
  if (!a.output.empty()) {
    const auto extension = std::filesystem::path(a.output).extension();
    if (a.in_range) FailUsage("-o is for -k: with --radius every query has another number of neighbours");
    if (extension != ".ivecs" && extension != ".npy") FailUsage("-o {}: .ivecs or .npy is written", a.output);
    std::vector<std::filesystem::path> inputs(a.parts.begin(), a.parts.end());
    inputs.emplace_back(a.queries);
    CheckOutputFile(a.output, inputs);
  }
  const std::optional<IdSet> filter = FilterOf(a);
  const IndexParts index = Open(a);
  const Vectors queries = ReadQueries(a, index);
  const MatrixView<const float> view(queries.data.data(), queries.count, queries.dim);
  SearchOptions options{.k = a.k, .refine = a.refine, .filter = filter ? &*filter : nullptr};
  if (!a.nprobe.empty()) options.nprobe = a.nprobe[0];
  NamingVectors(a.queries, [&] {
    if (a.in_range) {
      const RangeNeighbors found = index.RangeSearch(view, static_cast<float>(a.radius), options);
      return Show(found.first, found.ids, found.scores, common);
    }
    const Neighbors found = index.Search(view, options);
    if (!a.output.empty()) return WriteIds(a.output, found);
    std::vector<int64_t> begin;
    for (int64_t q = 0; q <= found.queries; ++q) begin.push_back(q * found.k);
    Show(begin, found.ids, found.scores, common);
  });
  return 0;
}

int RunIndexEval(const IndexArguments& a, const Common& common) {
  if (a.truth.empty() == a.base.empty())
    FailUsage("the true neighbours: give --truth FILE.ivecs, or --base FILE to find them");
  const IndexParts index = Open(a);
  const Vectors queries = ReadQueries(a, index);
  const MatrixView<const float> view(queries.data.data(), queries.count, queries.dim);
  if (index.size() == 0) Fail("{}: the index is empty; add vectors first", index.name());
  const IdLists truth =
      a.truth.empty() ? ExactNeighbors(a.base, index.metric(), queries, std::min<int64_t>(100, index.size()))
                      : ReadIds(a.truth, a.limit);
  if (truth.count != queries.count)
    Fail("{}: neighbours of {} queries, {} has {}", a.truth, truth.count, a.queries, queries.count);
  Evaluation e{
      queries.count, std::min({a.eval_k, static_cast<int64_t>(truth.length), index.size()}), {}, {}, {}};
  for (const int64_t r : {1, 10, 100}) {
    if (r <= e.k) e.ranks.push_back(r);
  }
  NamingVectors(a.queries, [&] {
    for (const int64_t nprobe : ProbesOf(a, index))
      e.sweep.push_back(
          Measure(index, view, {.k = e.k, .nprobe = nprobe, .refine = a.refine}, truth, e.ranks));
  });
  if (a.limits) e.limits = MeasureLimits();
  if (common.json) {
    ShowJson(e, a, index);
  } else {
    ShowTable(e, index);
  }
  return 0;
}

}  // namespace lowbit::cli
