#include "lowbit/calibrate/block_stream.h"

#include <gtest/gtest.h>

#include <map>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/model/random_weights.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {
namespace {

constexpr int64_t kVocabulary = 80;

// `head_size` times `heads` need not be the width.
Model SmallModel(int64_t head_size) {
  LlamaConfig c;
  c.vocab = kVocabulary, c.width = 64, c.layers = 3, c.heads = 4, c.kv_heads = 2, c.head_size = head_size,
  c.ffn = 96, c.context = 2048;
  return RandomModel(c, DType::kF32, DType::kF32, 3);
}

// More tokens than one batch, of unequal lengths.
std::vector<std::vector<int32_t>> Sequences() {
  std::vector<std::vector<int32_t>> sequences;
  Random random(5);
  for (const int length : {700, 1, 300, 40, 900, 500}) {
    sequences.emplace_back();
    for (int i = 0; i < length; ++i)
      sequences.back().push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(kVocabulary))));
  }
  return sequences;
}

// Every observed input, with a matrix of every stage replaced before the next stage is observed.
std::map<int, std::vector<float>> ObserveAll(const Model& model, StreamMemory memory, ThreadPool& pool) {
  std::map<int, std::vector<float>> seen;
  BlockStream stream(model, Sequences(), memory, pool);
  for (int b = 0; b < stream.blocks(); ++b) {
    stream.Load(b);
    for (const std::vector<int>& stage :
         LinearStages(*model.graph, stream.block(b).first, stream.block(b).last)) {
      const int64_t width = model.graph->values[model.graph->nodes[stage[0]].in[0]].shape.back();
      int64_t sequences = 0;
      stream.Observe(b, {stage.data(), 1}, [&](int node, const float* x, int64_t rows, int64_t count) {
        EXPECT_EQ(node, stage[0]);
        seen[node].insert(seen[node].end(), x, x + rows * width);
        sequences += count;
      });
      EXPECT_EQ(sequences, stream.sequences());
      for (const int node : stage) {
        const Matrix& old = stream.executor().GetMatrix(node);
        auto owner = std::make_shared<std::vector<float>>(ToFloats(old));
        for (float& w : *owner) w *= 1.25f;
        stream.executor().SetMatrix(node, {.format = DType::kF32,
                                           .rows = old.rows,
                                           .cols = old.cols,
                                           .bytes = reinterpret_cast<const uint8_t*>(owner->data()),
                                           .size = owner->size() * sizeof(float),
                                           .owner = owner});
      }
    }
    if (b + 1 < stream.blocks()) stream.Advance(b);
    stream.Unload(b);
  }
  return seen;
}

TEST(BlockStream, WhatIsKeptBetweenStagesChangesNothing) {
  ThreadPool pool(2);
  for (const int64_t head_size : {16, 32}) {
    const Model model = SmallModel(head_size);
    const auto one = ObserveAll(model, StreamMemory::kOneStream, pool);
    const auto two = ObserveAll(model, StreamMemory::kTwoStreams, pool);
    ASSERT_EQ(one.size(), 3u * 4);
    EXPECT_EQ(one, two) << "head size " << head_size;
  }
}

TEST(BlockStream, InputsAreThoseOfTheWholeNetwork) {
  ThreadPool pool(2);
  const Model model = SmallModel(16);
  const std::vector<std::vector<int32_t>> sequences = Sequences();
  const int last_block = model.config.layers - 1;
  BlockStream stream(model, sequences, StreamMemory::kTwoStreams, pool);
  std::vector<float> streamed;
  int down = -1;
  for (int b = 0; b <= last_block; ++b) {
    stream.Load(b);
    if (b == last_block) {
      down = LinearStages(*model.graph, stream.block(b).first, stream.block(b).last).back()[0];
      stream.Observe(b, {&down, 1}, [&](int, const float* x, int64_t rows, int64_t) {
        streamed.insert(streamed.end(), x, x + rows * model.config.ffn);
      });
    } else {
      stream.Advance(b);
    }
    stream.Unload(b);
  }
  Executor whole(*model.graph, pool, Arithmetic::kFloat);
  whole.LoadAll(*model.weights);
  std::vector<float> expected;
  for (const auto& sequence : sequences) {
    const auto rows = static_cast<int64_t>(sequence.size());
    KvCache cache(*model.graph, rows, CacheType::kF32);
    const Segment segment{&cache, 0, rows};
    whole.Run(0, down, {&segment, 1}, sequence);
    const float* x = whole.ValueData(model.graph->nodes[down].in[0]);
    expected.insert(expected.end(), x, x + rows * model.config.ffn);
  }
  EXPECT_EQ(streamed, expected);
}

TEST(BlockStream, KeepsAtMostTwoValuesOfTheWidthOfAToken) {
  const Model model = SmallModel(16);
  EXPECT_EQ(BlockStream::KeptBytes(model, 1000, StreamMemory::kOneStream), 1000u * 64 * 4);
  EXPECT_EQ(BlockStream::KeptBytes(model, 1000, StreamMemory::kTwoStreams), 2 * 1000u * 64 * 4);
}

TEST(DrawSamples, AreRunsOfTheTextThatDependOnTheSeedAlone) {
  std::vector<int32_t> tokens(500);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  const SampleOptions options{.samples = 20, .length = 64, .seed = 9};
  const auto a = DrawSamples(tokens, options, "t"), b = DrawSamples(tokens, options, "t");
  EXPECT_EQ(a, b);
  ASSERT_EQ(a.size(), 20u);
  for (const auto& sample : a) {
    ASSERT_EQ(sample.size(), 64u);
    for (size_t i = 1; i < sample.size(); ++i) EXPECT_EQ(sample[i], sample[i - 1] + 1);
  }
  EXPECT_NE(a, DrawSamples(tokens, {.samples = 20, .length = 64, .seed = 10}, "t"));
  // The first sample is the same whatever their number.
  EXPECT_EQ(a[0], DrawSamples(tokens, {.samples = 1, .length = 64, .seed = 9}, "t")[0]);
  EXPECT_THROW(DrawSamples(tokens, {.samples = 1, .length = 501}, "t"), Error);
  EXPECT_THROW(DrawSamples(tokens, {.samples = 0, .length = 5}, "t"), UsageError);
}

}  // namespace
}  // namespace lowbit
