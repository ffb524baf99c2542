#include "lowbit/model/ledger.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

size_t FileBytes(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  size_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  }
  return bytes;
}

}  // namespace

Ledger LedgerOf(const Model& model) {
  Ledger ledger;
  const Graph& graph = *model.graph;
  std::vector<bool> linear(graph.values.size());
  for (const Node& node : graph.nodes) {
    if (node.op == Op::kLinear && node.block >= 0) linear[node.in[1]] = true;
  }
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    if (value.kind != ValueKind::kWeight) continue;
    LedgerEntry entry{.name = value.name,
                      .stored_as = model.weights->StoredAs(value.name),
                      .shape = value.shape,
                      .weights = ElementsOf(value),
                      .bytes = model.weights->StoredBytes(value.name),
                      .linear = linear[v]};
    ledger.weights += entry.weights;
    ledger.bytes += entry.bytes;
    if (entry.linear) {
      ledger.linear_weights += entry.weights;
      ledger.linear_bytes += entry.bytes;
    }
    ledger.entries.push_back(std::move(entry));
  }
  ledger.file_bytes = FileBytes(model.path);
  return ledger;
}

}  // namespace lowbit
