#include "lowbit/method/quantize_model.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/base/memory.h"
#include "lowbit/base/naming.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/version.h"
#include "lowbit/model/stored_form.h"
#include "lowbit/quantize/gram.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Seconds = std::chrono::duration<double>;

double Since(std::chrono::steady_clock::time_point start) {
  return Seconds(std::chrono::steady_clock::now() - start).count();
}

json ToJson(const LayerReport& r) {
  return {{"name", r.name},
          {"format", r.format},
          {"method", r.method},
          {"rows", r.rows},
          {"cols", r.cols},
          {"tokens", r.tokens},
          {"bits", r.bits},
          {"weight_error", r.weight_error},
          {"output_error", r.output_error},
          {"damping", r.damping},
          {"note", r.note},
          {"seconds", r.seconds}};
}

LayerReport FromJson(const json& j) {
  return {j.at("name"),         j.at("format"),  j.at("method"), j.at("rows"),
          j.at("cols"),         j.at("tokens"),  j.at("bits"),   j.at("weight_error"),
          j.at("output_error"), j.at("damping"), j.at("note"),   j.at("seconds")};
}

// The weight matrices of a graph: tensor name -> one node that uses it.
std::map<std::string, int> Matrices(const Graph& graph) {
  std::map<std::string, int> matrices;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op == Op::kLinear || node.op == Op::kEmbedding)
      matrices.try_emplace(graph.values[node.in[1]].name, static_cast<int>(i));
  }
  return matrices;
}

DType SourceType(const Weights& weights, const std::string& name) {
  const auto type = DTypeFromName(weights.StoredAs(name));
  return type && (*type == DType::kF16 || *type == DType::kBF16) ? *type : DType::kF32;
}

// What llama.cpp takes instead of a type with blocks of 256 where rows are no multiple of 256 (IQ4_NL, which
// has no integer grid, is replaced by Q4_0).
PackedFormat WithoutSuperBlocks(const PackedFormat& format) {
  if (format.scale != ScaleKind::kSuper) return format;
  switch (format.bits) {
    case 4:
      return {5, 32, ScaleKind::kF16, OffsetKind::kCentre};
    case 5:
      return {5, 32, ScaleKind::kF16, OffsetKind::kMinF16};
    case 6:
      return {8, 32, ScaleKind::kF16, OffsetKind::kCentre};
    default:
      return {4, 32, ScaleKind::kF16, OffsetKind::kCentre};
  }
}

StreamMemory StreamOf(const QuantizeOptions& options) {
  const bool by_stage = options.true_sequential && options.quantized_inputs;
  return by_stage ? StreamMemory::kTwoStreams : StreamMemory::kOneStream;
}

// Far past any use: a diagonal that grows a millionfold makes every column independent.
constexpr double kMostDamping = 1e6;

// What a finished block leaves behind, and where: files of our own in a folder beside the output. What else
// lies in that folder is left alone.
class Workplace {
 public:
  // `identity` says everything that the blocks depend on; those of another identity are removed.
  Workplace(const fs::path& output, const json& identity, int blocks)
      : folder_(WorkFolder(output)), stamp_(folder_ / "identity.json"), blocks_(blocks) {
    std::error_code error;
    if (fs::exists(folder_, error) && !fs::exists(stamp_, error) && !fs::is_empty(folder_, error)) {
      Fail("{}: finished blocks are kept there, and it holds something else; move it or choose another -o",
           folder_.string());
    }
    CreateFolders(folder_);
    if (fs::exists(stamp_, error) && json::parse(ReadFile(stamp_), nullptr, false) != identity) Clear();
    if (!fs::exists(stamp_, error)) {
      AtomicFile file(stamp_);
      file.Write(identity.dump());
      file.Commit();
    }
  }
  // After a failure the finished blocks stay for the next run; a folder without any is of no use.
  ~Workplace() {
    if (finished() == 0) Remove();
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  fs::path BlockFile(int block) const { return folder_ / fmt::format("block-{:05}.safetensors", block); }
  int finished() const {
    int count = 0;
    std::error_code error;
    for (int b = 0; b < blocks_; ++b) count += fs::exists(BlockFile(b), error) ? 1 : 0;
    return count;
  }
  void Remove() {
    Clear();
    std::error_code error;
    fs::remove(folder_, error);  // does nothing while it holds what is not ours
  }

 private:
  void Clear() {
    std::error_code error;
    std::vector<fs::path> ours = {stamp_};
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("block-") && name.find(".safetensors") != std::string::npos) ours.push_back(entry);
    }
    for (const fs::path& path : ours) fs::remove(path, error);
  }

  fs::path folder_, stamp_;
  int blocks_;
};

class Driver {
 public:
  Driver(const Model& model, const QuantizeOptions& options, ThreadPool& pool)
      : model_(model), options_(options), pool_(pool), plan_(MakePlan(model, options.plan)) {}

  QuantizeReport Run(const fs::path& output, std::vector<std::vector<int32_t>> calibration) {
    const auto start = std::chrono::steady_clock::now();
    const MemoryWatch memory;
    int64_t tokens = 0;
    for (const auto& sequence : calibration) tokens += static_cast<int64_t>(sequence.size());
    report_.memory_bound = MemoryBoundOf(model_, options_, tokens);
    needs_ = NeedsOf(options_.layer.method);
    if (options_.importance) CheckImportance(calibration);
    gathers_ = needs_ != StatisticsNeeded::kNone && !options_.importance;
    if (gathers_ && calibration.empty()) {
      FailUsage("{} needs calibration text: give --text FILE", NameOf(options_.layer.method));
    }
    if (!(options_.layer.damping >= 0 && options_.layer.damping <= kMostDamping)) {
      FailUsage("--damping {}: a share of the mean diagonal between 0 and {}", options_.layer.damping,
                kMostDamping);
    }
    for (const Value& value : model_.graph->values) {
      if (value.kind == ValueKind::kWeight) CheckShape(*model_.weights, value);
    }
    Workplace workplace(output, Identity(calibration), Blocks());
    if (!gathers_) calibration.clear();
    CheckOutside();
    RunBlocks(workplace, std::move(calibration));
    Assemble(workplace, output);
    workplace.Remove();
    report_.seconds_total = Since(start);
    report_.memory_peak = memory.Peak();
    return std::move(report_);
  }

 private:
  // The file must know every matrix of the blocks that is rounded.
  void CheckImportance(const std::vector<std::vector<int32_t>>& calibration) const {
    if (needs_ != StatisticsNeeded::kImportance) {
      FailUsage("an importance matrix weights the method imatrix; {} {}", NameOf(options_.layer.method),
                needs_ == StatisticsNeeded::kHessian ? "needs calibration text" : "uses none");
    }
    if (!calibration.empty()) FailUsage("give calibration text or an importance matrix, not both");
    std::vector<std::string> missing;
    size_t needed = 0;
    for (const auto& [name, node] : Matrices(*model_.graph)) {
      if (model_.graph->nodes[node].block < 0 || !std::holds_alternative<PackedFormat>(plan_.at(name)))
        continue;
      ++needed;
      if (!options_.importance->tensors.contains(name)) missing.push_back(name);
    }
    if (missing.empty()) return;
    constexpr size_t kShown = 8;
    const size_t shown = std::min(missing.size(), kShown);
    Fail(
        "{}: no entry with data for {} of {} matrices: {}{}; keep them with --tensor REGEX=skip, or make the "
        "file "
        "from more text",
        options_.importance->where, missing.size(), needed,
        fmt::join(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
        missing.size() > shown ? ", ..." : "");
  }

  json Identity(const std::vector<std::vector<int32_t>>& calibration) const {
    uint64_t hash = 1469598103934665603ull;  // FNV-1a over the calibration tokens or the importances
    const auto add = [&](uint32_t word) { hash = (hash ^ word) * 1099511628211ull; };
    for (const auto& sequence : calibration) {
      for (const int32_t token : sequence) add(static_cast<uint32_t>(token));
      add(0xffffffffu);
    }
    if (options_.importance) {
      for (const auto& [name, importance] : options_.importance->tensors) {
        for (const char c : name) add(static_cast<uint8_t>(c));
        for (const float x : importance.mean) add(std::bit_cast<uint32_t>(x));
      }
    }
    json formats;
    for (const auto& [name, format] : plan_) formats[name] = NameOf(format);
    json files = json::array();
    for (const fs::path& file : model_.weight_files) {
      files.push_back({fs::absolute(file).string(), fs::file_size(file),
                       fs::last_write_time(file).time_since_epoch().count()});
    }
    std::sort(files.begin(), files.end());
    return {{"version", Version()},
            {"files", files},
            {"formats", formats},
            {"method", NameOf(options_.layer.method)},
            {"order", static_cast<int>(options_.layer.order)},
            {"damping", options_.layer.damping},
            {"search", options_.layer.search},
            {"true_sequential", options_.true_sequential},
            {"quantized_inputs", options_.quantized_inputs},
            {"calibration", hash}};
  }

  int Blocks() const {
    int blocks = 0;
    for (const Cut& cut : Partition(*model_.graph)) blocks += cut.block >= 0 ? 1 : 0;
    return blocks;
  }

  // NaN and infinity among the weights outside the blocks: embedding, final norm, head.
  void CheckOutside() const {
    std::set<std::string> inside;
    for (const Node& node : model_.graph->nodes) {
      for (const int v : node.in) {
        if (node.block >= 0) inside.insert(model_.graph->values[v].name);
      }
    }
    for (const Value& value : model_.graph->values) {
      if (value.kind == ValueKind::kWeight && !inside.contains(value.name)) CheckValue(value);
    }
  }

  // The same in a block; `all` includes the matrices that are checked when they are quantized.
  void CheckBlock(const Cut& cut, bool all) const {
    for (int i = cut.first; i < cut.last; ++i) {
      for (const int v : model_.graph->nodes[i].in) {
        const Value& value = model_.graph->values[v];
        if (value.kind != ValueKind::kWeight) continue;
        const auto planned = plan_.find(value.name);
        if (all || planned == plan_.end() || !std::holds_alternative<PackedFormat>(planned->second))
          CheckValue(value);
      }
    }
  }

  void CheckValue(const Value& value) const {
    CheckInterrupt();
    CheckFinite(*model_.weights, value.name, model_.weights->Floats(value.name),
                value.shape.size() == 2 ? value.shape[1] : 0);
  }

  const std::string& WeightName(int node) const {
    const Graph& graph = *model_.graph;
    return graph.values[graph.nodes[node].in[1]].name;
  }

  void RunBlocks(Workplace& workplace, std::vector<std::vector<int32_t>> calibration) {
    const bool stream_data = !calibration.empty();
    const bool by_stage = StreamOf(options_) == StreamMemory::kTwoStreams;
    BlockStream stream(model_, std::move(calibration), StreamOf(options_), pool_);
    Progress progress("quantizing", stream.blocks(), "blocks");
    for (int b = 0; b < stream.blocks(); ++b) {
      progress.Update(b);
      const fs::path file = workplace.BlockFile(b);
      if (fs::exists(file)) {
        Reload(file, stream, b, stream_data);
        ++report_.resumed_blocks;
        continue;
      }
      stream.Load(b);
      CheckBlock(stream.block(b), false);
      std::map<std::string, QuantizedMatrix> done;
      std::vector<LayerReport> layers;
      const Cut& cut = stream.block(b);
      std::vector<std::vector<int>> stages = LinearStages(*model_.graph, cut.first, cut.last);
      if (!by_stage) {
        for (size_t i = 1; i < stages.size(); ++i)
          stages[0].insert(stages[0].end(), stages[i].begin(), stages[i].end());
        stages.resize(1);
      }
      std::map<int, Matrix> replaced;
      for (const std::vector<int>& stage : stages) SolveStage(stream, b, stage, done, layers, replaced);
      if (stream_data) {
        const auto start = std::chrono::steady_clock::now();
        if (options_.quantized_inputs) {
          for (auto& [node, matrix] : replaced) stream.executor().SetMatrix(node, std::move(matrix));
        }
        if (b + 1 < stream.blocks()) stream.Advance(b);
        report_.seconds_forward += Since(start);
      }
      stream.Unload(b);
      Save(file, done, layers);
      report_.layers.insert(report_.layers.end(), layers.begin(), layers.end());
    }
  }

  void SolveStage(BlockStream& stream, int b, const std::vector<int>& stage,
                  std::map<std::string, QuantizedMatrix>& done, std::vector<LayerReport>& layers,
                  std::map<int, Matrix>& replaced) {
    const Graph& graph = *model_.graph;
    // One accumulator for each activation that layers of this stage read.
    std::map<int, HessianAccumulator<float>> hessians;
    std::map<int, ImportanceAccumulator> importances;
    std::vector<int> first_readers;
    for (const int node : stage) {
      if (!std::holds_alternative<PackedFormat>(plan_.at(WeightName(node)))) continue;
      const int value = graph.nodes[node].in[0];
      const int64_t width = graph.values[value].shape.back();
      const bool seen = std::any_of(first_readers.begin(), first_readers.end(),
                                    [&](int reader) { return graph.nodes[reader].in[0] == value; });
      if (seen) continue;
      first_readers.push_back(node);
      if (!gathers_) continue;
      if (needs_ == StatisticsNeeded::kHessian) hessians.try_emplace(value, width, pool_);
      if (needs_ == StatisticsNeeded::kImportance) importances.try_emplace(value, width);
    }
    if (first_readers.empty()) return;
    std::sort(first_readers.begin(), first_readers.end());
    if (gathers_) {
      const auto start = std::chrono::steady_clock::now();
      double accumulating = 0;
      stream.Observe(b, first_readers, [&](int node, const float* x, int64_t rows, int64_t sequences) {
        const auto inside = std::chrono::steady_clock::now();
        const int value = graph.nodes[node].in[0];
        const MatrixView<const float> view(x, rows, graph.values[value].shape.back());
        try {
          if (needs_ == StatisticsNeeded::kHessian)
            hessians.at(value).Add(view, sequences);
          else
            importances.at(value).Add(view);
        } catch (const Error& error) {
          CheckBlock(stream.block(b), true);  // a bad weight is what it comes from, more often than not
          Fail("{}: inputs of {}: {}", model_.weights->Where(), graph.nodes[node].name, error.what());
        }
        accumulating += Since(inside);
      });
      report_.seconds_statistics += accumulating;
      report_.seconds_forward += Since(start) - accumulating;
    }
    std::map<int, Buffer<float>> finished;
    for (auto& [value, accumulator] : hessians) finished.emplace(value, accumulator.Finish());
    for (const int node : stage) {
      const std::string& name = WeightName(node);
      const auto* format = std::get_if<PackedFormat>(&plan_.at(name));
      if (format == nullptr) continue;
      const auto start = std::chrono::steady_clock::now();
      const int value = graph.nodes[node].in[0];
      LayerInputs inputs;
      if (gathers_) inputs.tokens = stream.tokens();
      if (options_.importance) inputs = FromFile(name);
      const std::vector<int64_t> shape = graph.values[graph.nodes[node].in[1]].shape;
      if (const auto found = finished.find(value); found != finished.end()) {
        inputs.hessian = MatrixView<const float>(found->second.data(), shape[1], shape[1]);
      }
      if (const auto found = importances.find(value); found != importances.end())
        inputs.importance = found->second.Mean();
      CheckInterrupt();
      const std::vector<float> w = model_.weights->Floats(name);
      CheckFinite(*model_.weights, name, w, shape[1]);
      LayerResult result = Naming(model_.weights->WhereIs(name), [&] {
        return QuantizeLayer(name, MatrixView<const float>(w.data(), shape[0], shape[1]), *format,
                             options_.layer, inputs, pool_);
      });
      report_.seconds_solve += Since(start);
      if (stream.tokens() > 0) {
        Matrix packed = OwnPacked(result.matrix);
        if (options_.quantized_inputs && options_.true_sequential) {
          stream.executor().SetMatrix(node, std::move(packed));
        } else {
          replaced.emplace(node, std::move(packed));
        }
      }
      layers.push_back(result.report);
      done.emplace(name, std::move(result.matrix));
    }
  }

  // What the importance matrix knows about a tensor.
  LayerInputs FromFile(const std::string& name) const {
    const Importance& known = options_.importance->tensors.at(name);
    return {.hessian = {}, .importance = known.mean, .tokens = known.tokens};
  }

  void Save(const fs::path& file, const std::map<std::string, QuantizedMatrix>& done,
            const std::vector<LayerReport>& layers) {
    BundleHeader header{.config = model_.config};
    for (const auto& [name, m] : done) header.packed[name] = {m.format, m.rows, m.cols, !m.order.empty()};
    json reports = json::array();
    for (const LayerReport& layer : layers) reports.push_back(ToJson(layer));
    header.history = reports.dump();
    BundleWriter writer(file, header);
    for (const auto& [name, m] : done) writer.Write(name, m);
    writer.Finish();
    for (const auto& [name, m] : done) ordered_[name] = !m.order.empty();
  }

  void Reload(const fs::path& file, BlockStream& stream, int b, bool stream_data) {
    const Bundle part(std::make_shared<SafetensorsFile>(file));
    for (const json& layer : json::parse(part.header().history)) report_.layers.push_back(FromJson(layer));
    for (const auto& [name, entry] : part.header().packed) ordered_[name] = entry.ordered;
    if (!stream_data) return;
    stream.Load(b);
    if (options_.quantized_inputs) {
      const Cut& cut = stream.block(b);
      for (int i = cut.first; i < cut.last; ++i) {
        if (model_.graph->nodes[i].op == Op::kLinear && part.Has(WeightName(i))) {
          stream.executor().SetMatrix(i, part.Load(WeightName(i)));
        }
      }
    }
    if (b + 1 < stream.blocks()) stream.Advance(b);
    stream.Unload(b);
  }

  // Blocks from their files, embedding and head rounded now, the rest as in the source.
  void Assemble(const Workplace& workplace, const fs::path& output) {
    const Graph& graph = *model_.graph;
    BundleHeader header{.config = model_.config, .tables = TablesOf(model_)};
    json history = {{"lowbit", Version()},
                    {"source", model_.path.filename().string()},
                    {"method", NameOf(options_.layer.method)}};
    if (!options_.command.empty()) history["command"] = options_.command;
    header.history = history.dump();
    std::map<std::string, int> matrices = Matrices(graph);
    for (const Value& value : graph.values) {
      if (value.kind != ValueKind::kWeight) continue;
      const auto planned = plan_.find(value.name);
      const auto* integer = planned == plan_.end() ? nullptr : std::get_if<PackedFormat>(&planned->second);
      if (integer != nullptr) {
        header.packed[value.name] = {*integer, value.shape[0], value.shape[1], ordered_[value.name]};
      } else {
        // Norms and biases are few; they keep the type they have.
        const DType type = planned == plan_.end() ? SourceType(*model_.weights, value.name)
                                                  : std::get<DType>(planned->second);
        header.plain[value.name] = {type, value.shape};
      }
    }
    BundleWriter writer(output, header);
    for (const auto& [name, entry] : header.plain) writer.Write(name, model_.weights->Floats(name));
    std::set<std::string> written;
    for (int b = 0; b < Blocks(); ++b) {
      const Bundle part(std::make_shared<SafetensorsFile>(workplace.BlockFile(b)));
      for (const auto& [name, entry] : part.header().packed) {
        writer.Write(name, part.Load(name));
        written.insert(name);
      }
    }
    for (const auto& declared : header.packed) {
      const auto& name = declared.first;  // lambdas cannot take structured bindings with every compiler
      const auto& entry = declared.second;
      if (written.contains(name)) continue;
      CheckInterrupt();
      const bool weighted = options_.importance && options_.importance->tensors.contains(name);
      LayerOptions rounding = options_.layer;
      if (!weighted) rounding.method = options_.layer.method == Method::kRtn ? Method::kRtn : Method::kMse;
      const std::vector<float> w = model_.weights->Floats(name);
      LayerResult result = Naming(model_.weights->WhereIs(name), [&] {
        return QuantizeLayer(name, MatrixView<const float>(w.data(), entry.rows, entry.cols), entry.format,
                             rounding, weighted ? FromFile(name) : LayerInputs{}, pool_);
      });
      writer.Write(name, result.matrix);
      report_.layers.push_back(result.report);
    }
    writer.Finish();
    report_.file_bytes = writer.file_bytes();
  }

  const Model& model_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  std::map<std::string, Format> plan_;
  std::map<std::string, bool> ordered_;
  StatisticsNeeded needs_ = StatisticsNeeded::kNone;
  bool gathers_ = false;  // statistics come from calibration text
  QuantizeReport report_;
};

}  // namespace

std::map<std::string, Format> MakePlan(const Model& model, const PlanOptions& options) {
  std::map<std::string, Format> plan;
  for (const auto& [name, node] : Matrices(*model.graph)) {
    plan[name] = model.graph->nodes[node].block >= 0 ? options.format : options.embedding;
  }
  for (const auto& [pattern, format] : options.overrides) {
    std::regex expression;
    try {
      expression = std::regex(pattern, std::regex::ECMAScript);
    } catch (const std::regex_error& error) {
      FailUsage("--tensor {}={}: not a regular expression: {}", pattern, format, error.what());
    }
    int matched = 0;
    for (auto& [name, chosen] : plan) {
      if (!std::regex_search(name, expression)) continue;
      ++matched;
      chosen = format == "skip" ? Format(SourceType(*model.weights, name)) : ParseFormat(format);
    }
    if (matched == 0)
      FailUsage("--tensor {}={}: matches no weight matrix, for example {}", pattern, format,
                plan.begin()->first);
  }
  for (auto& [name, chosen] : plan) {
    auto* format = std::get_if<PackedFormat>(&chosen);
    if (format != nullptr && model.weights->Shape(name)[1] % kSuperColumns != 0)
      *format = WithoutSuperBlocks(*format);
  }
  return plan;
}

MemoryBound MemoryBoundOf(const Model& model, const QuantizeOptions& options, int64_t calibration_tokens) {
  MemoryBound bound;
  const Graph& graph = *model.graph;
  const StatisticsNeeded needs = NeedsOf(options.layer.method);
  for (const Cut& cut : Partition(graph)) {
    if (cut.block < 0) continue;
    size_t weights = 0, statistics = 0;
    for (int i = cut.first; i < cut.last; ++i) {
      for (const int v : graph.nodes[i].in) {
        if (graph.values[v].kind == ValueKind::kWeight)
          weights += static_cast<size_t>(ElementsOf(graph.values[v]));
      }
    }
    for (const std::vector<int>& stage : LinearStages(graph, cut.first, cut.last)) {
      const auto width = static_cast<size_t>(graph.values[graph.nodes[stage[0]].in[0]].shape.back());
      if (needs == StatisticsNeeded::kHessian) statistics += width * width * sizeof(float);
      if (needs == StatisticsNeeded::kImportance) statistics += width * sizeof(double);
    }
    bound.block = std::max(bound.block, weights * sizeof(float));
    bound.hessians = std::max(bound.hessians, statistics);
  }
  if (needs != StatisticsNeeded::kNone) {
    bound.streams = BlockStream::KeptBytes(model, calibration_tokens, StreamOf(options));
  }
  return bound;
}

Ledger PlannedLedger(const Model& model, const QuantizeOptions& options) {
  Ledger ledger = LedgerOf(model);
  const std::map<std::string, Format> plan = MakePlan(model, options.plan);
  const LayerOptions& layer = options.layer;
  ledger.bytes = ledger.linear_bytes = ledger.file_bytes = 0;
  for (LedgerEntry& entry : ledger.entries) {
    const auto planned = plan.find(entry.name);
    const Format format =
        planned == plan.end() ? Format(SourceType(*model.weights, entry.name)) : planned->second;
    if (const auto* integer = std::get_if<PackedFormat>(&format)) {
      const bool ordered = entry.linear && layer.method == Method::kGptq &&
                           layer.order == ColumnOrder::kActivation && integer->group != 0;
      entry.stored_as = NameOf(*integer) + (ordered ? " (ordered)" : "");
      entry.bytes = StoredBytesOf(*integer, entry.shape[0], entry.shape[1]);
      if (ordered) entry.bytes += static_cast<size_t>(entry.shape[1]) * sizeof(int32_t);
    } else {
      const DType type = std::get<DType>(format);
      entry.stored_as = NameOf(type);
      entry.bytes = static_cast<size_t>(entry.weights) * SizeOf(type);
    }
    ledger.bytes += entry.bytes;
    if (entry.linear) ledger.linear_bytes += entry.bytes;
  }
  return ledger;
}

fs::path WorkFolder(const fs::path& output) {
  return output.string() + ".work";
}

QuantizeReport QuantizeModel(const Model& model, const fs::path& output, const QuantizeOptions& options,
                             std::vector<std::vector<int32_t>> calibration, ThreadPool& pool) {
  return Driver(model, options, pool).Run(output, std::move(calibration));
}

}  // namespace lowbit
