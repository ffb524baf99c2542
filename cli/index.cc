// Indexes of vectors: build, add, remove, merge, compact, info, verify; search and eval are in
// index_search.cc.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/index_command.h"
#include "cli/output_path.h"
#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/index/index_writer.h"
#include "lowbit/index/vector_file_source.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {

using nlohmann::json;

std::vector<int64_t> ReadIdFile(const std::string& path) {
  if (std::filesystem::path(path).extension() == ".npy") {
    const MappedFile file(path);
    return ReadNpyIntegers(ParseNpy(file.bytes(), path), path);
  }
  const std::string text = ReadFile(path);
  std::vector<int64_t> ids;
  int64_t line = 1;
  for (size_t begin = 0; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view one(text.data() + begin, end - begin);
    begin = end + 1;
    while (!one.empty() && (one.back() == '\r' || one.back() == ' ')) one.remove_suffix(1);
    if (one.empty()) continue;
    int64_t value = 0;
    const auto [after, error] = std::from_chars(one.data(), one.data() + one.size(), value);
    if (error != std::errc() || after != one.data() + one.size() || value < 0)
      Fail("{}: line {}: \"{}\" is no id; one whole number from 0 on a line is meant", path, line, one);
    ids.push_back(value);
  }
  if (ids.empty()) Fail("{}: holds no id", path);
  return ids;
}

IndexBytes BytesOf(const VectorIndex& index) {
  const IndexTable& table = index.file().table();
  IndexBytes bytes;
  for (const SegmentTable& segment : table.segments) {
    bytes.codes += segment.codes.bytes;
    bytes.fine += segment.fine.bytes;
    bytes.ids += segment.ids.bytes;
  }
  for (const CheckedExtent& part : {table.centroids, table.parameters, table.fine_parameters})
    bytes.learnt += part.extent.bytes;
  bytes.file = index.file().committed_bytes();
  bytes.other = bytes.file - bytes.codes - bytes.fine - bytes.ids - bytes.learnt;
  return bytes;
}

void NamingVectors(const std::string& path, const std::function<void()>& body) {
  try {
    body();
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    const std::string what = error.what();
    for (const char* start : {"vector ", "row ", "query ", "vectors of ", "queries have "}) {
      if (what.starts_with(start)) throw Error(path + ": " + what);
    }
    throw;
  }
}

namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<int64_t> IdsOf(const IndexArguments& a) {
  if (!a.ids.empty() && a.first_id >= 0) FailUsage("--ids and --first-id exclude each other");
  return a.ids.empty() ? std::vector<int64_t>() : ReadIdFile(a.ids);
}

int Changed(const VectorIndex& index, const char* what, int64_t count, double seconds, const Common& common) {
  if (common.json) {
    fmt::print("{}\n", json{{"index", index.file().name()},
                            {what, count},
                            {"vectors", index.size()},
                            {"bytes", index.file().committed_bytes()},
                            {"seconds", seconds}}
                           .dump(2));
  } else {
    fmt::print("{}: {} {}, {} vectors now, {} bytes, {:.2f} s\n", index.file().name(), count, what,
               index.size(), index.file().committed_bytes(), seconds);
  }
  return 0;
}

int RunBuild(const IndexArguments& a, const CLI::App& app, const Common& common) {
  const auto start = std::chrono::steady_clock::now();
  if (!a.like.empty() && (app.count("--spec") > 0 || app.count("--metric") > 0))
    FailUsage("--like takes spec and metric from {}; leave --spec and --metric out", a.like);
  const Metric metric = ParseMetric(a.metric);
  if (a.like.empty()) ParseIndexSpec(a.spec);
  std::vector<std::filesystem::path> inputs = {a.base};
  for (const std::string& file : {a.ids, a.like}) {
    if (!file.empty()) inputs.emplace_back(file);
  }
  CheckOutputFile(a.output, inputs);
  std::unique_ptr<VectorIndex> like;
  if (!a.like.empty()) like = std::make_unique<VectorIndex>(a.like);
  const std::vector<int64_t> ids = IdsOf(a);
  const VectorFileSource source(a.base, a.limit);
  NamingVectors(a.base, [&] {
    BuildIndex(a.output, a.spec, metric, source,
               {.training = {.seed = a.seed, .sample = a.sample},
                .ids = ids,
                .first_id = std::max<int64_t>(a.first_id, 0),
                .like = like.get(),
                .shard = a.part[0],
                .shards = a.part[1]});
  });
  const VectorIndex index(a.output);
  const double seconds = SecondsSince(start);
  if (common.json) return Changed(index, "added", index.size(), seconds, common);
  fmt::print("{}: {}, {}, {} vectors of {} dimensions in {} bytes ({:.3f} bits a dimension), {:.2f} s\n",
             a.output, index.file().table().spec, NameOf(index.metric()), index.size(), index.dim(),
             index.file().committed_bytes(), BitsPerDimension(index, index.file().committed_bytes()),
             seconds);
  return 0;
}

int RunAdd(const IndexArguments& a, const Common& common) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int64_t> ids = IdsOf(a);
  const VectorFileSource source(a.base, a.limit);
  IndexWriter writer(a.index);
  NamingVectors(a.base, [&] {
    writer.Add(source, ids, a.first_id >= 0 ? std::optional<int64_t>(a.first_id) : std::nullopt);
  });
  return Changed(writer.index(), "added", source.count(), SecondsSince(start), common);
}

int RunRemove(const IndexArguments& a, const Common& common) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<int64_t> ids = a.id;
  if (!a.ids.empty()) {
    const std::vector<int64_t> more = ReadIdFile(a.ids);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (ids.empty()) FailUsage("nothing to remove: give --id NUMBER or --ids FILE");
  IndexWriter writer(a.index);
  const int64_t before = writer.index().size();
  writer.Remove(ids);
  return Changed(writer.index(), "removed", before - writer.index().size(), SecondsSince(start), common);
}

int RunMerge(const IndexArguments& a, const Common& common) {
  const auto start = std::chrono::steady_clock::now();
  IndexWriter writer(a.index);
  const int64_t before = writer.index().size();
  for (const std::string& other : a.others) writer.Merge(VectorIndex(other));
  return Changed(writer.index(), "added", writer.index().size() - before, SecondsSince(start), common);
}

int RunCompact(const IndexArguments& a, const Common& common) {
  const auto start = std::chrono::steady_clock::now();
  IndexWriter writer(a.index);
  const auto before = static_cast<int64_t>(writer.index().file().committed_bytes());
  writer.Compact();
  const auto after = static_cast<int64_t>(writer.index().file().committed_bytes());
  if (common.json) return Changed(writer.index(), "freed_bytes", before - after, SecondsSince(start), common);
  fmt::print("{}: {} vectors, {} bytes before, {} now, {:.2f} s\n", a.index, writer.index().size(), before,
             after, SecondsSince(start));
  return 0;
}

int RunVerify(const IndexArguments& a, const Common& common) {
  const VectorIndex index(a.index);
  const std::vector<std::string> remarks = index.Verify();
  if (common.json) {
    fmt::print(
        "{}\n",
        json{{"index", a.index}, {"sound", true}, {"vectors", index.size()}, {"remarks", remarks}}.dump(2));
    return 0;
  }
  fmt::print("{}: sound, {} vectors, every checksum holds\n", a.index, index.size());
  for (const std::string& remark : remarks) fmt::print("{}: {}\n", a.index, remark);
  return 0;
}

int RunInfo(const IndexArguments& a, const Common& common) {
  const VectorIndex index(a.index);
  const IndexTable& table = index.file().table();
  const IndexBytes bytes = BytesOf(index);
  if (common.json) {
    json parts = {{"codes", bytes.codes},
                  {"refinement", bytes.fine},
                  {"ids", bytes.ids},
                  {"learnt", bytes.learnt},
                  {"other", bytes.other}};
    fmt::print("{}\n", json{{"index", a.index},
                            {"spec", table.spec},
                            {"metric", NameOf(table.metric)},
                            {"dimensions", table.dim},
                            {"vectors", table.live},
                            {"removed", table.rows() - table.live},
                            {"lists", index.model().lists()},
                            {"segments", table.segments.size()},
                            {"part", table.shard},
                            {"parts", table.shards},
                            {"next_id", table.next_id},
                            {"generation", index.file().generation()},
                            {"bytes", bytes.file},
                            {"bytes_by_part", parts},
                            {"bits_per_dimension",
                             index.size() > 0 ? json(BitsPerDimension(index, bytes.file)) : json()}}
                           .dump(2));
    return 0;
  }
  report::Table about({{"index"}, {a.index}});
  about.AddRow({"spec", table.spec});
  about.AddRow({"metric", NameOf(table.metric)});
  about.AddRow({"dimensions", std::to_string(table.dim)});
  about.AddRow({"vectors", std::to_string(table.live)});
  about.AddRow({"removed, still in the file", std::to_string(table.rows() - table.live)});
  about.AddRow({"lists", std::to_string(index.model().lists())});
  about.AddRow({"segments", std::to_string(table.segments.size())});
  about.AddRow({"part", fmt::format("{} of {}", table.shard + 1, table.shards)});
  about.AddRow({"next id", std::to_string(table.next_id)});
  about.AddRow({"generation", std::to_string(index.file().generation())});
  fmt::print("{}\n", about.ToText());
  report::Table sizes(
      {{"holds"}, {"bytes", report::Align::kRight}, {"a dimension", report::Align::kRight, "bits"}});
  const auto add = [&](const char* name, uint64_t part) {
    sizes.AddRow(
        {name, part, index.size() > 0 ? report::Cell(BitsPerDimension(index, part)) : report::Cell("–")});
  };
  add("codes", bytes.codes);
  if (bytes.fine > 0) add("refining codes", bytes.fine);
  add("ids", bytes.ids);
  add("centroids and codebooks", bytes.learnt);
  add("header, tables, gaps, old states", bytes.other);
  add("file", bytes.file);
  fmt::print("{}", sizes.ToText());
  return 0;
}

}  // namespace

Action AddIndex(CLI::App& app, Common& common) {
  auto a = std::make_shared<IndexArguments>();
  auto chosen = std::make_shared<Action>();
  const auto add = [&](const char* name, const char* about, std::function<int(const CLI::App&)> run) {
    CLI::App* command = app.add_subcommand(name, about);
    command->fallthrough();
    command->callback([=] { *chosen = [=] { return run(*command); }; });
    return command;
  };
  const auto wants_index = [a](CLI::App* command) {
    command->add_option("INDEX", a->index, "Index file")->required();
  };
  const auto wants_vectors = [a](CLI::App* command) {
    command->add_option("--base", a->base, "Vectors: .fvecs, .bvecs or .npy (n, d)")->required();
    command->add_option("--limit", a->limit, "Only the first vectors of the file (0: all)");
    command->add_option("--ids", a->ids, "Their ids: a text file, one a line, or an integer .npy");
    command->add_option("--first-id", a->first_id, "Ids count from here (default: the lowest never used)")
        ->check(CLI::NonNegativeNumber);
  };

  CLI::App* build = add("build", "Make an index of a file of vectors",
                        [a, &common](const CLI::App& self) { return RunBuild(*a, self, common); });
  build->add_option("-o,--output", a->output, "Index file to write")->required();
  wants_vectors(build);
  build
      ->add_option("--spec", a->spec,
                   "What to store: [IVF<lists>,]CODEC[,Refine(CODEC)] (lowbit list indexes)")
      ->capture_default_str();
  build->add_option("--metric", a->metric, "l2, ip (inner product) or cosine")->capture_default_str();
  build->add_option("--like", a->like,
                    "Take codecs and centroids from this index, to be merged with it later");
  build->add_option("--sample", a->sample, "Vectors to learn from (0: 256 for each list, at least 65536)");
  build->add_option("--seed", a->seed, "Of rotations and samples")->capture_default_str();
  build->add_option("--part", a->part, "N OF: this file is part N, from 0, of OF parts of an index")
      ->expected(2);

  CLI::App* plus = add("add", "Add vectors", [a, &common](const CLI::App&) { return RunAdd(*a, common); });
  wants_index(plus);
  wants_vectors(plus);
  CLI::App* minus =
      add("remove", "Remove vectors by id", [a, &common](const CLI::App&) { return RunRemove(*a, common); });
  wants_index(minus);
  minus->add_option("--id", a->id, "Id to remove; may be repeated");
  minus->add_option("--ids", a->ids, "Ids to remove: a text file, one a line, or an integer .npy");
  CLI::App* merge = add("merge", "Add all vectors of other indexes, code by code",
                        [a, &common](const CLI::App&) { return RunMerge(*a, common); });
  wants_index(merge);
  merge->add_option("OTHER", a->others, "Indexes built with --like INDEX")->required();
  wants_index(add("compact", "Write the file anew without removed vectors and old states",
                  [a, &common](const CLI::App&) { return RunCompact(*a, common); }));
  wants_index(add("info", "What an index holds, in bytes and bits",
                  [a, &common](const CLI::App&) { return RunInfo(*a, common); }));
  wants_index(add("verify", "Look at every checksum",
                  [a, &common](const CLI::App&) { return RunVerify(*a, common); }));

  const auto wants_queries = [a](CLI::App* command) {
    command->add_option("INDEX", a->parts, "Index file, or several of one metric that are searched as one")
        ->required();
    command->add_option("--queries", a->queries, "Queries: .fvecs, .bvecs or .npy (n, d)")->required();
    command->add_option("--limit", a->limit, "Only the first queries of the file (0: all)");
    command->add_option("--refine", a->refine, "Candidates for each neighbour that a refinement ranks again")
        ->capture_default_str();
  };
  CLI::App* search = add("search", "Nearest neighbours of queries", [a, &common](const CLI::App& self) {
    a->in_range = self.count("--radius") > 0;
    if (a->in_range && self.count("-k") > 0)
      FailUsage("-k and --radius exclude each other: the nearest k, or all within the radius");
    return RunIndexSearch(*a, common);
  });
  wants_queries(search);
  search->add_option("-k", a->k, "Neighbours of each query")->capture_default_str();
  search->add_option("--nprobe", a->nprobe, "Lists that a query visits, of every part (default: 8)")
      ->expected(1);
  search->add_option(
      "--radius", a->radius,
      "Instead of -k: all with a squared distance up to (l2) or a product from (ip, cosine) this");
  search->add_option("--only", a->filter, "Search among these ids only: a text file, one a line, or .npy");
  search->add_option("--except", a->except, "Leave these ids out: a text file, one a line, or .npy");
  search->add_option("-o,--output", a->output,
                     "Write ids to .ivecs or .npy (with -k) instead of showing them");
  CLI::App* eval = add("eval", "Recall and speed over a sweep of nprobe",
                       [a, &common](const CLI::App&) { return RunIndexEval(*a, common); });
  wants_queries(eval);
  eval->add_flag("--limits", a->limits,
                 "Measure the machine's limits too (takes 1 GiB of memory) and print what share was reached");
  eval->add_option("-k", a->eval_k, "Neighbours of each query, at most as many as the truth has")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  eval->add_option("--truth", a->truth, "True neighbours of the queries: .ivecs, nearest first");
  eval->add_option("--base", a->base,
                   "Or the vectors themselves, ids in file order: they are searched exactly");
  eval->add_option("--nprobe", a->nprobe, "Values to try (default: 1, 2, 4 ... all lists)");
  app.require_subcommand(0, 1);
  app.allow_extras();  // what fell through: refused below, with a suggestion where no subcommand was named
  return [chosen, &app] {
    const std::vector<std::string> unknown = app.remaining();
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
    if (!*chosen && !unknown.empty())
      FailUsage("no command \"index {}\"; did you mean \"index {}\"?", unknown[0],
                NearestName(names, unknown[0]));
    if (!*chosen) FailUsage("index: a command must follow: {}", fmt::join(names, ", "));
    if (!unknown.empty()) FailUsage("\"{}\" was not expected (--help shows what is)", unknown[0]);
    return (*chosen)();
  };
}

}  // namespace lowbit::cli
