#include "lowbit/calibrate/imatrix.h"

#include <algorithm>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/calibrate/block_stream.h"
#include "lowbit/model/gguf_model.h"
#include "lowbit/quantize/gram.h"

namespace lowbit {
namespace {

const Value& WeightOf(const Graph& graph, int node) {
  return graph.values[graph.nodes[node].in[1]];
}

// One sum for each activation that matrices read, entries for each matrix.
class Gatherer {
 public:
  explicit Gatherer(const Model& model) : model_(model), graph_(*model.graph) {}

  void See(int node, const float* x, int64_t rows) {
    const int value = graph_.nodes[node].in[0];
    const int64_t columns = graph_.values[value].shape.back();
    const auto [found, fresh] = sums_.try_emplace(value, node, columns);
    Sum& sum = found->second;
    if (sum.node != node) {
      sum.others.insert(node);
      return;
    }
    try {
      sum.squares.Add(MatrixView<const float>(x, rows, columns));
    } catch (const Error& error) {
      Fail("inputs of {}: {}", graph_.nodes[node].name, error.what());
    }
  }

  // Turns what was seen into entries and forgets it.
  void Finish(Imatrix& imatrix) {
    for (const auto& [value, sum] : sums_) {
      const ImatrixEntry entry{sum.squares.Sum(), sum.squares.weight()};
      imatrix.entries[Name(sum.node)] = entry;
      for (const int node : sum.others) imatrix.entries[Name(node)] = entry;
    }
    sums_.clear();
  }

 private:
  struct Sum {
    Sum(int first, int64_t columns) : node(first), squares(columns) {}
    int node;  // the first that reads the value
    std::set<int> others;
    ImportanceAccumulator squares;
  };

  std::string Name(int node) const {
    const std::string& canonical = WeightOf(graph_, node).name;
    std::string name = GgufName(canonical, model_.config.family);
    if (name.empty()) Fail("{}: tensor {} has no name in GGUF", model_.path.string(), canonical);
    return name;
  }

  const Model& model_;
  const Graph& graph_;
  std::map<int, Sum> sums_;
};

}  // namespace

std::vector<std::vector<int32_t>> CutIntoChunks(std::span<const int32_t> tokens, int64_t length,
                                                int64_t limit, int32_t start, const std::string& where) {
  if (length < 2 || limit < 0)
    FailUsage("a chunk needs at least 2 tokens, and a limit of 0 means all chunks");
  const auto whole = static_cast<int64_t>(tokens.size()) / length;
  if (whole < 1) {
    Fail(
        "{}: the calibration text has {} tokens, one chunk needs {}; give a longer text or a smaller "
        "--length",
        where, tokens.size(), length);
  }
  std::vector<std::vector<int32_t>> chunks;
  for (int64_t i = 0; i < (limit > 0 ? std::min(limit, whole) : whole); ++i) {
    const auto piece = tokens.subspan(static_cast<size_t>(i * length), static_cast<size_t>(length));
    chunks.emplace_back(piece.begin(), piece.end());
    if (start >= 0) chunks.back()[0] = start;
  }
  return chunks;
}

Imatrix GatherImatrix(const Model& model, std::vector<std::vector<int32_t>> sequences, HeadInputs head,
                      ThreadPool& pool) {
  Imatrix imatrix;
  int64_t longest = 0;
  for (const auto& sequence : sequences) longest = std::max<int64_t>(longest, std::ssize(sequence));
  if (longest == 0) Fail("{}: there is no calibration text", model.path.string());
  imatrix.chunk_size = longest;
  BlockStream stream(model, std::move(sequences), StreamMemory::kOneStream, pool);
  Gatherer gatherer(model);
  const BlockStream::Observer see = [&](int node, const float* x, int64_t rows, int64_t) {
    gatherer.See(node, x, rows);
  };
  Progress progress("gathering", stream.blocks(), "blocks");
  for (int b = 0; b < stream.blocks(); ++b) {
    progress.Update(b);
    stream.Load(b);
    std::vector<int> products;
    for (const auto& stage : LinearStages(*model.graph, stream.block(b).first, stream.block(b).last))
      products.insert(products.end(), stage.begin(), stage.end());
    std::sort(products.begin(), products.end());
    stream.Advance(b, products, see);
    stream.Unload(b);
    gatherer.Finish(imatrix);
  }
  if (head == HeadInputs::kGather) {
    if (!stream.ObserveHead(see)) Fail("{}: the network has no head", model.path.string());
    gatherer.Finish(imatrix);
  }
  return imatrix;
}

ImportanceTable MatchImatrix(const Model& model, const Imatrix& imatrix, const std::string& where) {
  ImportanceTable table{.where = where, .tensors = {}};
  const Graph& graph = *model.graph;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    // The embedding looks rows up and multiplies nothing; an entry under its name is that of a tied head.
    if (graph.nodes[i].op != Op::kLinear) continue;
    const Value& weight = WeightOf(graph, static_cast<int>(i));
    const std::string name = GgufName(weight.name, model.config.family);
    const auto found = imatrix.entries.find(name);
    if (found == imatrix.entries.end()) continue;
    const ImatrixEntry& entry = found->second;
    if (std::ssize(entry.sum) != weight.shape[1]) {
      Fail("{}: entry {} has {} columns, {} has {}: it was made for another model", where, name,
           entry.sum.size(), weight.name, weight.shape[1]);
    }
    if (!(entry.tokens > 0)) continue;
    table.tensors[weight.name] = {entry.Mean(), static_cast<int64_t>(entry.tokens)};
  }
  if (table.tensors.empty()) {
    Fail("{}: no entry belongs to {}; it has {}, the model {}", where, model.path.string(),
         imatrix.entries.empty() ? "none" : imatrix.entries.begin()->first,
         GgufName("model.layers.0.self_attn.q_proj.weight", model.config.family));
  }
  return table;
}

}  // namespace lowbit
