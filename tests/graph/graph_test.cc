#include "lowbit/graph/graph.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/network/llama.h"

namespace lowbit {
namespace {

Graph SmallLlama() {
  LlamaConfig c;
  c.vocab = 32, c.width = 8, c.layers = 2, c.heads = 2, c.kv_heads = 1, c.head_size = 4, c.ffn = 12,
  c.context = 16;
  return BuildLlama(c);
}

std::vector<std::string> Names(const Graph& graph, const std::vector<int>& nodes) {
  std::vector<std::string> names;
  for (const int node : nodes) names.push_back(graph.nodes[node].name);
  return names;
}

TEST(Graph, PartitionCutsALlamaIntoBlocksWithOneValueBetweenThem) {
  const Graph graph = SmallLlama();
  const std::vector<Cut> cuts = Partition(graph);
  ASSERT_EQ(cuts.size(), 4u);  // embedding, two blocks, norm and head
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    EXPECT_EQ(cuts[i].last, cuts[i + 1].first);
    EXPECT_EQ(cuts[i].live_out, cuts[i + 1].live_in);
    EXPECT_EQ(cuts[i].live_out.size(), 1u);
  }
  EXPECT_EQ(cuts[0].block, -1);
  EXPECT_EQ(cuts[1].block, 0);
  EXPECT_EQ(cuts[0].live_in, graph.inputs);
  EXPECT_EQ(cuts.back().live_out, graph.outputs);
}

TEST(Graph, StagesAreTheProductsThatReadOneActivation) {
  const Graph graph = SmallLlama();
  const Cut block = Partition(graph)[1];
  const auto stages = LinearStages(graph, block.first, block.last);
  ASSERT_EQ(stages.size(), 4u);
  const std::string p = "model.layers.0.";
  EXPECT_EQ(Names(graph, stages[0]), (std::vector<std::string>{p + "self_attn.q_proj", p + "self_attn.k_proj",
                                                               p + "self_attn.v_proj"}));
  EXPECT_EQ(Names(graph, stages[1]), (std::vector<std::string>{p + "self_attn.o_proj"}));
  EXPECT_EQ(Names(graph, stages[2]), (std::vector<std::string>{p + "mlp.gate_proj", p + "mlp.up_proj"}));
  EXPECT_EQ(Names(graph, stages[3]), (std::vector<std::string>{p + "mlp.down_proj"}));
}

TEST(Graph, LiveValuesAreThoseThatAreStillRead) {
  const Graph graph = SmallLlama();
  EXPECT_EQ(LiveAt(graph, 0), graph.inputs);
  EXPECT_EQ(LiveAt(graph, static_cast<int>(graph.nodes.size())), graph.outputs);
  // Before the output projection: the residual and what attention gave.
  const int o = graph.FindNode("model.layers.1.self_attn.o_proj");
  ASSERT_GE(o, 0);
  const std::vector<int> live = LiveAt(graph, o);
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(live[1], graph.nodes[o].in[0]);
  EXPECT_EQ(live[0], Partition(graph)[2].live_in[0]);
}

TEST(Graph, AWrongNodeIsNamed) {
  Graph graph = SmallLlama();
  const int up = graph.FindNode("model.layers.0.mlp.up_proj");
  graph.values[graph.nodes[up].in[1]].shape[1] += 1;
  try {
    Validate(graph);
    FAIL() << "the graph was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model.layers.0.mlp.up_proj"), std::string::npos);
  }
}

}  // namespace
}  // namespace lowbit
