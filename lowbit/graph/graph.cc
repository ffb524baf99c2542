#include "lowbit/graph/graph.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "lowbit/base/error.h"

namespace lowbit {

std::string_view NameOf(Op op) {
  switch (op) {
    case Op::kEmbedding:
      return "Embedding";
    case Op::kLinear:
      return "Linear";
    case Op::kRmsNorm:
      return "RmsNorm";
    case Op::kAttention:
      return "Attention";
    case Op::kGlu:
      return "Glu";
    case Op::kAdd:
      return "Add";
  }
  return "?";
}

int64_t Node::Int(const std::string& key, int64_t fallback) const {
  const auto found = attributes.find(key);
  return found == attributes.end() ? fallback : std::get<int64_t>(found->second);
}

double Node::Real(const std::string& key, double fallback) const {
  const auto found = attributes.find(key);
  return found == attributes.end() ? fallback : std::get<double>(found->second);
}

std::string Node::Text(const std::string& key, const std::string& fallback) const {
  const auto found = attributes.find(key);
  return found == attributes.end() ? fallback : std::get<std::string>(found->second);
}

int Graph::AddValue(Value value) {
  values.push_back(std::move(value));
  return static_cast<int>(values.size()) - 1;
}

int Graph::AddWeight(const std::string& name, std::vector<int64_t> shape, std::vector<std::string> axes) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].kind == ValueKind::kWeight && values[i].name == name) return static_cast<int>(i);  // tied
  }
  return AddValue({name, ValueKind::kWeight, std::move(shape), std::move(axes)});
}

int Graph::AddNode(Op op, std::string name, int block, std::vector<int> in, int64_t width,
                   Attributes attributes) {
  const int out = AddValue({name, ValueKind::kActivation, {-1, width}, {"tokens", "width"}});
  nodes.push_back({op, std::move(name), block, std::move(in), {out}, std::move(attributes)});
  if (op == Op::kAttention) states.push_back({static_cast<int>(nodes.size()) - 1});
  return out;
}

int64_t ElementsOf(const Value& value) {
  return std::accumulate(value.shape.begin(), value.shape.end(), int64_t{1}, std::multiplies<>());
}

int Graph::FindNode(const std::string& name) const {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

namespace {

void Require(bool condition, const Node& node, const char* what) {
  if (!condition) Fail("graph: node {} ({}): {}", node.name, NameOf(node.op), what);
}

int64_t Width(const Graph& graph, int value) {
  return graph.values[value].shape.back();
}

void ValidateNode(const Graph& graph, const Node& node) {
  const auto shape = [&](size_t i) -> const std::vector<int64_t>& { return graph.values[node.in[i]].shape; };
  const int64_t out = Width(graph, node.out[0]);
  switch (node.op) {
    case Op::kEmbedding:
      Require(node.in.size() == 2, node, "needs tokens and a weight");
      Require(shape(1).size() == 2 && shape(1)[1] == out, node, "the weight must be (vocab, width)");
      break;
    case Op::kLinear:
      Require(node.in.size() == 2 || node.in.size() == 3, node, "needs x, a weight and perhaps a bias");
      Require(shape(1).size() == 2 && shape(1)[0] == out && shape(1)[1] == Width(graph, node.in[0]), node,
              "the weight must be (out, in)");
      if (node.in.size() == 3) Require(shape(2) == std::vector<int64_t>{out}, node, "the bias must be (out)");
      break;
    case Op::kRmsNorm:
      Require(node.in.size() == 2 && shape(1).size() == 1, node, "needs x and a weight vector");
      Require(shape(1)[0] > 0 && out % shape(1)[0] == 0 && out == Width(graph, node.in[0]), node,
              "the weight's length must divide the width");
      break;
    case Op::kAttention: {
      Require(node.in.size() == 3, node, "needs q, k, v");
      const int64_t heads = node.Int("heads"), kv = node.Int("kv_heads"), size = node.Int("head_size");
      Require(heads > 0 && kv > 0 && size > 0 && heads % kv == 0, node, "kv_heads must divide heads");
      Require(Width(graph, node.in[0]) == heads * size && out == heads * size, node,
              "q must be heads * head_size wide");
      Require(Width(graph, node.in[1]) == kv * size && Width(graph, node.in[2]) == kv * size, node,
              "k and v must be kv_heads * head_size wide");
      const int64_t rope = node.Int("rope", -1);
      Require(rope >= -1 && rope < static_cast<int64_t>(graph.ropes.size()), node,
              "names no rope of the graph");
      if (rope >= 0) {
        Require(2 * static_cast<int64_t>(graph.ropes[rope].inverse_frequency.size()) <= size, node,
                "rope turns more than a head's width");
      }
      break;
    }
    case Op::kGlu:
      Require(node.in.size() == 2 && Width(graph, node.in[0]) == out && Width(graph, node.in[1]) == out, node,
              "gate, up and output must have one width");
      Require(node.Text("activation") == "silu" || node.Text("activation") == "gelu_tanh", node,
              "activation must be silu or gelu_tanh");
      break;
    case Op::kAdd:
      Require(node.in.size() == 2 && Width(graph, node.in[0]) == out && Width(graph, node.in[1]) == out, node,
              "both terms and the sum must have one width");
      break;
  }
}

}  // namespace

void Validate(const Graph& graph) {
  const int count = static_cast<int>(graph.values.size());
  std::set<int> known(graph.inputs.begin(), graph.inputs.end());
  for (const Node& node : graph.nodes) {
    Require(node.out.size() == 1, node, "must have one output");
    for (int v : node.in) {
      Require(v >= 0 && v < count, node, "reads a value that does not exist");
      Require(!graph.values[v].shape.empty(), node, "reads a value without a shape");
      Require(graph.values[v].kind == ValueKind::kWeight || known.contains(v), node,
              "reads a value before it is made");
    }
    Require(node.out[0] >= 0 && node.out[0] < count && known.insert(node.out[0]).second, node,
            "must make a new value");
    ValidateNode(graph, node);
  }
  for (int v : graph.outputs) {
    if (!known.contains(v)) Fail("graph: output value {} is never made", v);
  }
}

std::vector<int> LiveAt(const Graph& graph, int position) {
  std::set<int> made(graph.inputs.begin(), graph.inputs.end());
  for (int i = 0; i < position; ++i) made.insert(graph.nodes[i].out.begin(), graph.nodes[i].out.end());
  std::set<int> live;  // in the order of the values
  const auto read = [&](int v) {
    if (made.contains(v)) live.insert(v);
  };
  for (size_t i = static_cast<size_t>(position); i < graph.nodes.size(); ++i) {
    for (const int v : graph.nodes[i].in) read(v);
  }
  for (const int v : graph.outputs) read(v);
  return {live.begin(), live.end()};
}

std::vector<Cut> Partition(const Graph& graph) {
  std::vector<Cut> cuts;
  const int n = static_cast<int>(graph.nodes.size());
  for (int i = 0; i < n;) {
    int j = i;
    while (j < n && graph.nodes[j].block == graph.nodes[i].block) ++j;
    cuts.push_back({graph.nodes[i].block, i, j, {}, {}});
    i = j;
  }
  for (Cut& cut : cuts) {
    cut.live_in = LiveAt(graph, cut.first);
    cut.live_out = LiveAt(graph, cut.last);
  }
  return cuts;
}

std::vector<std::vector<int>> LinearStages(const Graph& graph, int first, int last) {
  std::vector<std::vector<int>> stages;
  std::map<int, size_t> stage_of_input;
  for (int i = first; i < last; ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != Op::kLinear) continue;
    const auto [found, fresh] = stage_of_input.try_emplace(node.in[0], stages.size());
    if (fresh) stages.emplace_back();
    stages[found->second].push_back(i);
  }
  return stages;
}

}  // namespace lowbit
