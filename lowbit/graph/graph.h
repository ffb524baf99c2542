// A network as a value: values (tensors with named axes), nodes (coarse operators), states (what survives
// between calls). The same graph is run by runtime/ (f32, packed) and differentiated by lab/autograd. Weights
// are names into a TensorSource; the graph holds no numbers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lowbit {

// Operators. In the shapes T is the number of rows (tokens of all sequences of a batch, one after the other).
enum class Op {
  kEmbedding,  // ids (T) x weight (vocab, width) -> (T, width); attribute scale multiplies the result
  kLinear,     // x (T, in), weight (out, in) [, bias (out)] -> (T, out): y = x W^T + b
  kRmsNorm,    // x (T, n), weight (w): each run of w columns alone (w < n: one norm a head):
               // y = x / sqrt(mean(x^2) + eps) * (weight + offset); attributes eps, offset (Gemma: 1)
  kAttention,  // q (T, heads*head_size), k, v (T, kv_heads*head_size) -> (T, heads*head_size); attributes
               // below
  kGlu,        // gate (T, n), up (T, n) -> act(gate) * up; attribute activation "silu" | "gelu_tanh"
  kAdd,        // (T, n) + (T, n)
};

std::string_view NameOf(Op op);

// Attributes of kAttention: heads, kv_heads, head_size (int64); scale (double: logits = scale * q k^T);
// window (int64; 0 = all: position i sees (i - window, i]); rope (int64: index into Graph::ropes, -1 = none).
// Attention is causal; its keys and values persist in the state of the same node.
using Attribute = std::variant<int64_t, double, std::string>;
using Attributes = std::map<std::string, Attribute>;

enum class ValueKind { kActivation, kWeight, kTokens };

struct Value {
  std::string name;  // weights: the tensor's name ("model.layers.0.mlp.up_proj.weight")
  ValueKind kind = ValueKind::kActivation;
  std::vector<int64_t> shape;     // -1: the axis is free
  std::vector<std::string> axes;  // "tokens", "width", "out", "in", "vocab" ...
};

// The number of entries of a weight.
int64_t ElementsOf(const Value& value);

struct Node {
  Op op{};
  std::string name;          // the module: "model.layers.0.mlp.up_proj"
  int block = -1;            // the repeated block it belongs to; -1: before or after all blocks
  std::vector<int> in, out;  // indices into Graph::values
  Attributes attributes;

  int64_t Int(const std::string& key, int64_t fallback = 0) const;
  double Real(const std::string& key, double fallback = 0) const;
  std::string Text(const std::string& key, const std::string& fallback = "") const;
};

// What survives between calls: the keys and values of one attention node, appended by every call.
struct State {
  int node;  // index of the kAttention node
};

// Rotary position embedding: angle of pair i at position p is p * inverse_frequency[i]; cos and sin are
// multiplied by `attention_factor`. Pairs are (i, i + rotary/2) within a head (Hugging Face order).
struct Rope {
  std::vector<double> inverse_frequency;       // rotary/2 entries; short-context frequencies
  std::vector<double> long_inverse_frequency;  // longrope: used when the context exceeds original_context
  double attention_factor = 1;
  int64_t original_context = 0;  // 0: no switch
  double dynamic_base = 0;       // "dynamic": theta grows with the context beyond original_context
  double dynamic_factor = 1;
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in topological order
  std::vector<State> states;
  std::vector<Rope> ropes;
  std::vector<int> inputs, outputs;  // token ids in, logits out

  // Builders: append and return the index.
  int AddValue(Value value);
  int AddWeight(const std::string& name, std::vector<int64_t> shape, std::vector<std::string> axes);
  // Adds a node with one output of shape (-1, width) and returns the output value.
  int AddNode(Op op, std::string name, int block, std::vector<int> in, int64_t width,
              Attributes attributes = {});

  int FindNode(const std::string& name) const;  // -1: none
};

// Throws Error naming the node when an index, an arity, a shape or an attribute is wrong.
void Validate(const Graph& graph);

// The activations (and token ids) that exist before node `position` and are read there or later: what has to
// be kept to go on from there. position = nodes.size() gives the outputs.
std::vector<int> LiveAt(const Graph& graph, int position);

// A run of nodes [first, last) with the activations that enter and leave it. A transformer block is the
// simple case: one value in, one out. The driver streams these, so memory is one block, never the model.
struct Cut {
  int block;  // -1 for the nodes before and after the blocks
  int first, last;
  std::vector<int> live_in, live_out;
};
std::vector<Cut> Partition(const Graph& graph);

// Linear nodes of [first, last) grouped by the activation they read, in order: the stages of true-sequential
// calibration ({q,k,v}, {o}, {gate,up}, {down} in a Llama block).
std::vector<std::vector<int>> LinearStages(const Graph& graph, int first, int last);

}  // namespace lowbit
