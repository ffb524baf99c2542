#include "lowbit/model/ledger.h"

namespace lowbit {
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
  for (const auto& file : model.weight_files) ledger.file_bytes += std::filesystem::file_size(file);
  return ledger;
}

}  // namespace lowbit
