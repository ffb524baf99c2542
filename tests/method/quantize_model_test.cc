#include "lowbit/method/quantize_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/model/hf_config.h"
#include "lowbit/model/ledger.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

// A folder with a small random Llama, removed at the end.
class QuantizeModelTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("lowbit-quantize-test-" + std::to_string(getpid()));
    fs::create_directories(folder_ / "model");
    LlamaConfig c;
    c.vocab = 96, c.width = 64, c.layers = 3, c.heads = 4, c.kv_heads = 2, c.head_size = 16, c.ffn = 96,
    c.context = 64;
    MemoryTensors tensors;
    Random random(1);
    for (const Value& value : BuildLlama(c).values) {
      if (value.kind != ValueKind::kWeight) continue;
      int64_t n = 1;
      for (const int64_t d : value.shape) n *= d;
      std::vector<float> data(static_cast<size_t>(n));
      for (float& x : data)
        x = value.shape.size() == 1 ? 1 + 0.1f * random.Normal() : 0.15f * random.Normal();
      tensors.Add(value.name, value.shape, data);
    }
    WriteSafetensors(folder_ / "model" / "model.safetensors", tensors);
    WriteFile(folder_ / "model" / "config.json", ToHfConfig(c).dump());
    model_ = OpenModel(folder_ / "model");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<std::vector<int32_t>> Calibration() const {
    std::vector<std::vector<int32_t>> samples(12);
    Random random(2);
    for (auto& sample : samples) {
      for (int i = 0; i < 40; ++i) sample.push_back(static_cast<int32_t>(random.Below(96)));
    }
    return samples;
  }
  static QuantizeOptions Options(Method method, const char* format,
                                 ColumnOrder order = ColumnOrder::kGroupAware) {
    QuantizeOptions options;
    options.plan.format = ParseFormat(format);
    options.plan.embedding = ParseFormat("int8-g32");
    options.layer.method = method;
    options.layer.order = order;
    return options;
  }
  std::string File(const std::string& name) const { return ReadFile(folder_ / name); }

  fs::path folder_;
  Model model_;
};

TEST_F(QuantizeModelTest, TheFileDoesNotDependOnThreads) {
  for (const auto& [method, format, order] : {std::tuple{Method::kGptq, "int4-g32", ColumnOrder::kGroupAware},
                                              {Method::kGptq, "int3-g32-asym", ColumnOrder::kActivation},
                                              {Method::kImatrix, "int3-g32", ColumnOrder::kNone},
                                              {Method::kRtn, "int5", ColumnOrder::kNone},
                                              {Method::kRtn, "ternary-g32", ColumnOrder::kNone}}) {
    for (const int threads : {1, 2, 7}) {
      ThreadPool pool(threads);
      QuantizeModel(model_, folder_ / std::to_string(threads), Options(method, format, order), Calibration(),
                    pool);
    }
    EXPECT_EQ(File("1"), File("2")) << format;
    EXPECT_EQ(File("1"), File("7")) << format;
  }
}

TEST_F(QuantizeModelTest, AResumedRunMakesTheSameFile) {
  ThreadPool pool(2);
  for (const Method method : {Method::kGptq, Method::kMse}) {
    const QuantizeOptions options = Options(method, "int4-g32");
    QuantizeModel(model_, folder_ / "whole", options, Calibration(), pool);
    // The final name is taken by a folder: the run fails after all blocks. Then the last block is lost, as if
    // the run had been interrupted in it.
    const fs::path output = folder_ / "resumed";
    fs::create_directories(output / "in-the-way");
    EXPECT_THROW(QuantizeModel(model_, output, options, Calibration(), pool), Error);
    fs::remove_all(output);
    ASSERT_TRUE(fs::remove(output.string() + ".work/block-00002.safetensors"));
    const QuantizeReport report = QuantizeModel(model_, output, options, Calibration(), pool);
    EXPECT_EQ(report.resumed_blocks, 2);
    EXPECT_EQ(report.layers.size(), 3 * 7 + 1);
    EXPECT_EQ(File("resumed"), File("whole"));
    EXPECT_FALSE(fs::exists(output.string() + ".work"));
    fs::remove(output);
  }
}

TEST_F(QuantizeModelTest, OtherOptionsDoNotResumeFinishedBlocks) {
  ThreadPool pool(2);
  const fs::path output = folder_ / "out";
  fs::create_directories(output / "in-the-way");
  EXPECT_THROW(QuantizeModel(model_, output, Options(Method::kGptq, "int4-g32"), Calibration(), pool), Error);
  fs::remove_all(output);
  EXPECT_EQ(
      QuantizeModel(model_, output, Options(Method::kGptq, "int3-g32"), Calibration(), pool).resumed_blocks,
      0);
}

// The importances of a float model, from memory: what a run with calibration text on float inputs gathers
// too.
TEST_F(QuantizeModelTest, AnImportanceMatrixStandsForTheTextItWasMadeFrom) {
  ThreadPool pool(2);
  const Imatrix imatrix = GatherImatrix(model_, Calibration(), HeadInputs::kLeaveOut, pool);
  for (const char* format : {"int3-g32", "q4_1"}) {
    QuantizeOptions text = Options(Method::kImatrix, format), table = text;
    text.quantized_inputs = false;
    QuantizeModel(model_, folder_ / "text", text, Calibration(), pool);
    table.quantized_inputs = false;
    table.importance = MatchImatrix(model_, imatrix, "memory");
    const QuantizeReport report = QuantizeModel(model_, folder_ / "table", table, {}, pool);
    EXPECT_EQ(File("table"), File("text")) << format;
    EXPECT_EQ(report.layers[0].tokens, 12 * 40);
    QuantizeModel(model_, folder_ / "plain", Options(Method::kMse, format), {}, pool);
    EXPECT_NE(File("plain"), File("table")) << format;
  }
}

TEST_F(QuantizeModelTest, TheHeadIsWeightedWhereTheImportanceMatrixKnowsIt) {
  ThreadPool pool(2);
  QuantizeOptions options = Options(Method::kImatrix, "int3-g32");
  options.plan.embedding = ParseFormat("int3-g32");
  const std::string head = model_.config.tied ? "model.embed_tokens.weight" : "lm_head.weight";
  Imatrix imatrix = GatherImatrix(model_, Calibration(), HeadInputs::kGather, pool);
  options.importance = MatchImatrix(model_, imatrix, "memory");
  const std::vector<float> importance = options.importance->tensors.at(head).mean;
  const std::vector<float> w = model_.weights->Floats(head);
  const auto weighted_error = [&](const char* name) {
    QuantizeModel(model_, folder_ / name, options, {}, pool);
    const std::vector<float> q = OpenModel(folder_ / name).weights->Floats(head);
    double sum = 0;
    for (size_t i = 0; i < w.size(); ++i) sum += importance[i % 64] * (w[i] - q[i]) * (w[i] - q[i]);
    return sum;
  };
  const double with = weighted_error("with");
  options.importance->tensors.erase(head);
  EXPECT_LT(with, weighted_error("without"));
}

TEST_F(QuantizeModelTest, AnImportanceMatrixThatDoesNotSufficeIsRefused) {
  ThreadPool pool(1);
  const auto error_of = [&](const QuantizeOptions& options, std::vector<std::vector<int32_t>> calibration) {
    try {
      QuantizeModel(model_, folder_ / "q", options, std::move(calibration), pool);
    } catch (const UsageError& error) {
      return "usage: " + std::string(error.what());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  QuantizeOptions options = Options(Method::kImatrix, "int4-g32");
  options.importance =
      MatchImatrix(model_, GatherImatrix(model_, Calibration(), HeadInputs::kLeaveOut, pool), "some.gguf");
  EXPECT_NE(error_of(options, Calibration()).find("usage: give calibration text or an importance matrix"),
            std::string::npos);
  options.importance->tensors.erase("model.layers.1.self_attn.o_proj.weight");
  EXPECT_NE(
      error_of(options, {})
          .find(
              "some.gguf: no entry with data for 1 of 21 matrices: model.layers.1.self_attn.o_proj.weight;"),
      std::string::npos)
      << error_of(options, {});
  // A matrix that is not rounded needs none.
  options.plan.overrides = {{"layers\\.1\\.self_attn\\.o_proj", "skip"}};
  EXPECT_EQ(error_of(options, {}), "");
  options.layer.method = Method::kGptq;
  EXPECT_NE(error_of(options, {}).find("usage: an importance matrix weights the method imatrix; gptq needs"),
            std::string::npos);
  options.layer.method = Method::kRtn;
  EXPECT_NE(error_of(options, {}).find("rtn uses none"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "q.work"));
}

TEST_F(QuantizeModelTest, BitsAgreeWithTheFile) {
  ThreadPool pool(1);
  QuantizeModel(model_, folder_ / "q", Options(Method::kRtn, "int4-g32"), {}, pool);
  const Ledger ledger = LedgerOf(OpenModel(folder_ / "q"));
  EXPECT_DOUBLE_EQ(ledger.bits_per_weight_linear(), 4.5);
  EXPECT_GE(ledger.file_bytes, ledger.bytes);
  // What is not weights is the header and padding: small even beside this tiny model.
  EXPECT_LT(ledger.file_bytes - ledger.bytes, 8192u);
}

TEST_F(QuantizeModelTest, ThePlannedBitsAreThoseOfTheFile) {
  ThreadPool pool(2);
  for (const auto& [method, format, order] :
       {std::tuple{Method::kGptq, "int3-g32-asym", ColumnOrder::kActivation},
        {Method::kGptq, "q4_k", ColumnOrder::kGroupAware},
        {Method::kRtn, "int5", ColumnOrder::kNone},
        {Method::kRtn, "ternary-g32", ColumnOrder::kNone}}) {
    QuantizeOptions options = Options(method, format, order);
    options.plan.overrides = {{"o_proj", "skip"}};
    QuantizeModel(model_, folder_ / "q", options, Calibration(), pool);
    const Ledger planned = PlannedLedger(model_, options), made = LedgerOf(OpenModel(folder_ / "q"));
    EXPECT_EQ(planned.bytes, made.bytes) << format;
    EXPECT_EQ(planned.linear_bytes, made.linear_bytes) << format;
    ASSERT_EQ(planned.entries.size(), made.entries.size());
    for (size_t i = 0; i < made.entries.size(); ++i)
      EXPECT_EQ(planned.entries[i].stored_as, made.entries[i].stored_as) << made.entries[i].name;
  }
}

TEST_F(QuantizeModelTest, TablesAreQuantizedStoredAndRun) {
  ThreadPool pool(2);
  for (const char* format : {"nvfp4", "mxfp4", "apot4-g32", "nf4-g64", "ternary-g32-median", "mxfp8-e4m3"}) {
    for (const Method method : {Method::kRtn, Method::kMse, Method::kGptq}) {
      const QuantizeOptions options = Options(method, format);
      QuantizeModel(model_, folder_ / "q", options, Calibration(), pool);
      const Model made = OpenModel(folder_ / "q");
      const std::string stored = made.weights->StoredAs("model.layers.1.mlp.up_proj.weight");
      EXPECT_EQ(stored, NameOf(ParseFormat(format)));
      // Bytes and floats agree as far as rounded activations (and levels, in bytes) let them.
      const auto logits = [&](Arithmetic arithmetic) {
        LanguageModel m(made, pool, arithmetic);
        KvCache cache = m.MakeCache(64, CacheType::kF32);
        std::vector<float> out(96);
        m.Feed(cache, Calibration()[0], out.data());
        return out;
      };
      const std::vector<float> exact = logits(Arithmetic::kFloat), bytes = logits(Arithmetic::kInt8);
      double error = 0, energy = 0;
      for (size_t i = 0; i < exact.size(); ++i) {
        error += (exact[i] - bytes[i]) * (exact[i] - bytes[i]);
        energy += exact[i] * exact[i];
      }
      EXPECT_LT(error, 3e-3 * energy) << format;
      EXPECT_GT(energy, 0);
    }
  }
}

TEST_F(QuantizeModelTest, MemoryStaysBelowItsBound) {
  ThreadPool pool(2);
  const QuantizeReport report =
      QuantizeModel(model_, folder_ / "q", Options(Method::kGptq, "int4-g32"), Calibration(), pool);
  const MemoryBound& bound = report.memory_bound;
  const size_t block = 4 * (2 * 64 + (64 + 32 + 32 + 64) * 64 + 3 * 64 * 96);
  EXPECT_EQ(bound.block, block);
  EXPECT_EQ(bound.hessians, 4u * (3 * 64 * 64 + 96 * 96));
  EXPECT_EQ(bound.streams, 4u * 2 * 64 * 12 * 40);
  EXPECT_GT(report.memory_peak, 0u);
  EXPECT_LT(report.memory_peak, bound.total());
  EXPECT_EQ(MemoryBoundOf(model_, Options(Method::kRtn, "int4-g32"), 0).streams, 0u);
}

TEST_F(QuantizeModelTest, OverridesChooseSingleTensors) {
  ThreadPool pool(1);
  QuantizeOptions options = Options(Method::kRtn, "int4-g32");
  options.plan.overrides = {{"down_proj", "int8-g32"}, {"layers\\.0\\..*q_proj", "skip"}};
  QuantizeModel(model_, folder_ / "q", options, {}, pool);
  const Model made = OpenModel(folder_ / "q");
  EXPECT_EQ(made.weights->StoredAs("model.layers.1.mlp.down_proj.weight"), "int8-g32");
  EXPECT_EQ(made.weights->StoredAs("model.layers.0.self_attn.q_proj.weight"), "F32");
  EXPECT_EQ(made.weights->StoredAs("model.layers.1.self_attn.q_proj.weight"), "int4-g32");
  options.plan.overrides = {{"no_such_layer", "skip"}};
  EXPECT_THROW(MakePlan(model_, options.plan), UsageError);
  options.plan.overrides = {{"(", "skip"}};
  EXPECT_THROW(MakePlan(model_, options.plan), UsageError);
}

TEST_F(QuantizeModelTest, GptqLeavesLessOutputErrorThanRounding) {
  ThreadPool pool(2);
  QuantizeOptions gptq = Options(Method::kGptq, "int3-g32", ColumnOrder::kNone);
  const QuantizeReport report = QuantizeModel(model_, folder_ / "q", gptq, Calibration(), pool);
  LanguageModel exact(model_, pool, Arithmetic::kFloat);
  const auto logits = [&](LanguageModel& m) {
    KvCache cache = m.MakeCache(64, CacheType::kF32);
    std::vector<float> out(96);
    m.Feed(cache, Calibration()[0], out.data());
    return out;
  };
  const auto distance = [&](const char* name) {
    LanguageModel m(OpenModel(folder_ / name), pool, Arithmetic::kFloat);
    const std::vector<float> a = logits(exact), b = logits(m);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
  };
  QuantizeModel(model_, folder_ / "r", Options(Method::kRtn, "int3-g32"), {}, pool);
  EXPECT_LT(distance("q"), distance("r"));
  for (const LayerReport& layer : report.layers) {
    if (layer.output_error >= 0) {
      EXPECT_LT(layer.output_error, 0.2) << layer.name;
    }
  }
}

TEST_F(QuantizeModelTest, GreedyOutputIsTheArgmaxOfScoringInOnePass) {
  ThreadPool pool(2);
  QuantizeModel(model_, folder_ / "q", Options(Method::kRtn, "int4-g32"), {}, pool);
  LanguageModel m(OpenModel(folder_ / "q"), pool);
  std::vector<int32_t> tokens = {5, 9, 60};
  KvCache cache = m.MakeCache(64);
  std::vector<float> row(96);
  m.Feed(cache, tokens, row.data());
  for (int i = 0; i < 40; ++i) {
    const auto next = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    tokens.push_back(next);
    m.Feed(cache, {&next, 1}, row.data());
  }
  KvCache fresh = m.MakeCache(64);
  const Segment segment{&fresh, 0, static_cast<int64_t>(tokens.size())};
  const float* hidden = m.Forward({&segment, 1}, tokens);
  std::vector<float> all(tokens.size() * 96);
  m.Logits(hidden, static_cast<int64_t>(tokens.size()), all.data());
  for (size_t i = 2; i + 1 < tokens.size(); ++i) {
    EXPECT_EQ(std::max_element(all.begin() + static_cast<std::ptrdiff_t>(i * 96),
                               all.begin() + static_cast<std::ptrdiff_t>((i + 1) * 96)) -
                  (all.begin() + static_cast<std::ptrdiff_t>(i * 96)),
              tokens[i + 1]);
  }
  // The last row is the last decode, bit for bit.
  EXPECT_TRUE(std::equal(row.begin(), row.end(), all.end() - 96));
}

}  // namespace
}  // namespace lowbit
