#include "lowbit/calibrate/imatrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/model/gguf_model.h"
#include "lowbit/model/random_weights.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {
namespace {

Model Tiny(const std::string& family = "llama", bool tied = true) {
  LlamaConfig c;
  c.family = family;
  c.vocab = 64, c.width = 32, c.layers = 3, c.heads = 4, c.kv_heads = 2, c.head_size = 8, c.ffn = 48,
  c.context = 64;
  c.tied = tied;
  return RandomModel(c, DType::kF32, DType::kF32, 5);
}

std::vector<std::vector<int32_t>> Sequences() {
  std::vector<std::vector<int32_t>> sequences(7);
  Random random(2);
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (size_t t = 0; t < 20 + i; ++t) sequences[i].push_back(static_cast<int32_t>(random.Below(64)));
  }
  return sequences;
}

std::string ErrorOf(const Model& model, const Imatrix& imatrix) {
  try {
    MatchImatrix(model, imatrix, "some.gguf");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ImatrixTest, SumsAreThoseOfTheWholeNetworkRunSequenceBySequence) {
  ThreadPool pool(2);
  for (const bool tied : {true, false}) {
    const Model model = Tiny("llama", tied);
    const Graph& graph = *model.graph;
    const int head = static_cast<int>(graph.nodes.size()) - 1;
    // Every Linear node's own sums, from runs through the whole graph with a cache.
    std::map<std::string, std::vector<double>> expected;
    int64_t tokens = 0;
    Executor executor(graph, pool, Arithmetic::kFloat);
    executor.LoadAll(*model.weights);
    const auto watch = [&](int node, const float* x, int64_t rows) {
      const Value& weight = graph.values[graph.nodes[node].in[1]];
      std::vector<double>& sum = expected[GgufName(weight.name, "llama")];
      sum.resize(static_cast<size_t>(weight.shape[1]));
      for (int64_t t = 0; t < rows; ++t) {
        for (size_t c = 0; c < sum.size(); ++c)
          sum[c] += std::pow(double{x[static_cast<size_t>(t) * sum.size() + c]}, 2);
      }
    };
    for (const auto& sequence : Sequences()) {
      KvCache cache(graph, 64, CacheType::kF32);
      const Segment segment{&cache, 0, std::ssize(sequence)};
      executor.Reserve(std::ssize(sequence));
      for (int node = 0, from = 0; node <= head; ++node) {
        if (graph.nodes[node].op != Op::kLinear) continue;
        executor.Run(from, node, {&segment, 1}, sequence);
        watch(node, executor.ValueData(graph.nodes[node].in[0]), std::ssize(sequence));
        from = node;
      }
      tokens += std::ssize(sequence);
    }
    const Imatrix imatrix = GatherImatrix(model, Sequences(), HeadInputs::kGather, pool);
    ASSERT_EQ(imatrix.entries.size(), expected.size());
    EXPECT_EQ(imatrix.entries.size(), 3u * 7 + 1);
    EXPECT_TRUE(imatrix.entries.contains(tied ? "token_embd.weight" : "output.weight"));
    EXPECT_EQ(imatrix.chunk_size, 26);
    for (const auto& [name, entry] : imatrix.entries) {
      EXPECT_EQ(entry.tokens, static_cast<double>(tokens)) << name;
      const std::vector<double>& sum = expected.at(name);
      ASSERT_EQ(entry.sum.size(), sum.size()) << name;
      for (size_t c = 0; c < sum.size(); ++c)
        EXPECT_NEAR(entry.sum[c], sum[c], 1e-5 * sum[c]) << name << " " << c;
    }
    // Matrices that read the same value share its sums; without the head it is left out.
    EXPECT_EQ(imatrix.entries.at("blk.1.attn_q.weight").sum, imatrix.entries.at("blk.1.attn_v.weight").sum);
    EXPECT_NE(imatrix.entries.at("blk.1.attn_q.weight").sum, imatrix.entries.at("blk.1.ffn_up.weight").sum);
    EXPECT_EQ(GatherImatrix(model, Sequences(), HeadInputs::kLeaveOut, pool).entries.size(), 3u * 7);
  }
}

TEST(ImatrixTest, TheSumsDoNotDependOnThreads) {
  ThreadPool one(1), seven(7);
  const Model model = Tiny("qwen2");
  const Imatrix a = GatherImatrix(model, Sequences(), HeadInputs::kGather, one);
  const Imatrix b = GatherImatrix(model, Sequences(), HeadInputs::kGather, seven);
  for (const auto& [name, entry] : a.entries) EXPECT_EQ(entry.sum, b.entries.at(name).sum) << name;
}

TEST(ImatrixTest, EntriesAreMatchedByTheNamesOfTheFamily) {
  ThreadPool pool(2);
  for (const bool tied : {true, false}) {
    const Model model = Tiny("llama", tied);
    const ImportanceTable table =
        MatchImatrix(model, GatherImatrix(model, Sequences(), HeadInputs::kGather, pool), "some.gguf");
    EXPECT_EQ(table.tensors.size(), 3u * 7 + 1);
    EXPECT_EQ(table.tensors.at("model.layers.2.mlp.down_proj.weight").mean.size(), 48u);
    EXPECT_TRUE(table.tensors.contains(tied ? "model.embed_tokens.weight" : "lm_head.weight"));
  }
}

TEST(ImatrixTest, AnotherModelsFileIsRefusedByName) {
  const Model model = Tiny();
  Imatrix imatrix;
  imatrix.entries["blk.0.ffn_down.weight"] = {std::vector<double>(32, 1.0), 10};
  EXPECT_NE(ErrorOf(model, imatrix)
                .find("some.gguf: entry blk.0.ffn_down.weight has 32 columns, "
                      "model.layers.0.mlp.down_proj.weight has 48"),
            std::string::npos)
      << ErrorOf(model, imatrix);
  imatrix.entries.clear();
  imatrix.entries["enc.blk.0.attn_q.weight"] = {{1}, 10};
  EXPECT_NE(ErrorOf(model, imatrix).find("it has enc.blk.0.attn_q.weight, the model blk.0.attn_q.weight"),
            std::string::npos)
      << ErrorOf(model, imatrix);
  // An entry that saw no token says nothing.
  imatrix.entries["blk.0.ffn_down.weight"] = {std::vector<double>(48, 0.0), 0};
  imatrix.entries["blk.1.ffn_down.weight"] = {std::vector<double>(48, 1.0), 10};
  EXPECT_EQ(MatchImatrix(model, imatrix, "some.gguf").tensors.size(), 1u);
}

TEST(ImatrixTest, ChunksFollowEachOtherAndBeginWithTheStartToken) {
  std::vector<int32_t> tokens(23);
  for (int i = 0; i < 23; ++i) tokens[i] = i;
  const auto chunks = CutIntoChunks(tokens, 5, 0, 99, "text");
  ASSERT_EQ(chunks.size(), 4u);
  EXPECT_EQ(chunks[0], (std::vector<int32_t>{99, 1, 2, 3, 4}));
  EXPECT_EQ(chunks[3], (std::vector<int32_t>{99, 16, 17, 18, 19}));
  EXPECT_EQ(CutIntoChunks(tokens, 5, 2, -1, "text")[1], (std::vector<int32_t>{5, 6, 7, 8, 9}));
  EXPECT_EQ(CutIntoChunks(tokens, 5, 2, -1, "text").size(), 2u);
  EXPECT_THROW(CutIntoChunks(tokens, 24, 0, -1, "text"), Error);
  EXPECT_THROW(CutIntoChunks(tokens, 1, 0, -1, "text"), UsageError);
}

}  // namespace
}  // namespace lowbit
