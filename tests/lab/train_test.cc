#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "lab/command/write_model.h"
#include "lab/data/text.h"
#include "lab/data/tokenizer.h"
#include "lab/objective/next_token.h"
#include "lab/train/schedule.h"
#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/network/llama.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit::lab {
namespace {

namespace fs = std::filesystem;

class TrainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("lowbit_train_{}_{}", getpid(), ::testing::UnitTest::GetInstance()->random_seed());
    fs::create_directories(folder_);
    torch::set_num_threads(1);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  fs::path folder_;
};

LlamaConfig Tiny() {
  LlamaConfig config;
  config.vocab = 10, config.width = 16, config.layers = 1, config.heads = 2, config.kv_heads = 1,
  config.head_size = 8;
  config.ffn = 32, config.context = 16;
  return config;
}

// Counting modulo 7: the next token follows from the last one.
std::vector<int32_t> Counting() {
  std::vector<int32_t> tokens(600);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(3 + i % 7);
  return tokens;
}

WindowOptions SmallWindows() {
  WindowOptions options;
  options.block = 16, options.blocks = 4, options.short_length = 8, options.short_until = 0.5,
  options.seed = 5;
  return options;
}

NextToken Learner(Rule rule, double average = 0) {
  const Graph graph = BuildLlama(Tiny());
  NextTokenOptions options;
  options.rate = {0.02, 0.1, 0.5, 0.1, Shape::kLinear};
  options.rule = rule, options.average = average, options.context = 16, options.micro_tokens = 32;
  return NextToken(graph, InitialWeights(graph, 7), options, {{{3, 4, 5, 6, 7, 8, 9, 3, 4}, 18}});
}

TEST_F(TrainTest, LossFallsOnAnEasyTask) {
  for (Rule rule : {Rule::kAdamW, Rule::kMuon}) {
    NextToken objective = Learner(rule);
    Windows data(Counting(), SmallWindows());
    double first = 0, last = 0;
    for (int64_t step = 0; step < 60; ++step) {
      const double loss = objective.Step(data.At({step, 60}), {step, 60}).at("loss");
      if (step == 0) first = loss;
      last = loss;
    }
    EXPECT_NEAR(first, std::log(10.0), 0.3);
    EXPECT_LT(last, 0.35) << "only the first token of a window (ln 7 / 16 nats a token) cannot be known";
  }
}

TEST_F(TrainTest, ResumedRunEqualsUninterruptedRun) {
  LoopOptions options;
  options.steps = 14, options.log_every = 4, options.evaluate_every = 4;
  const auto run = [&](const std::string& name, std::vector<int64_t> stops) {
    options.checkpoint = folder_ / (name + ".pt");
    options.log = folder_ / (name + ".jsonl");
    options.resume = false;
    stops.push_back(0);
    for (int64_t stop : stops) {
      options.stop_after = stop;
      NextToken objective = Learner(Rule::kMuon, 0.9);  // a new process knows nothing but the checkpoint
      Windows data(Counting(), SmallWindows());
      try {
        Loop(objective, data, options);
        EXPECT_EQ(stop, 0);
      } catch (const Interrupted&) {
        EXPECT_NE(stop, 0);
      }
      options.resume = true;
    }
    return ReadCheckpoint(options.checkpoint);
  };
  const State whole = run("whole", {}), pieces = run("pieces", {3, 9});
  ASSERT_EQ(whole.size(), pieces.size());
  for (const auto& [name, tensor] : whole) EXPECT_TRUE(torch::equal(tensor, pieces.at(name))) << name;
  EXPECT_EQ(ReadFile(folder_ / "whole.jsonl"), ReadFile(folder_ / "pieces.jsonl"));
  EXPECT_NE(ReadFile(folder_ / "whole.jsonl").find("heldout_bits_per_byte"), std::string::npos);
}

TEST_F(TrainTest, DamagedCheckpointIsNamed) {
  Write("bad.pt", "not an archive");
  EXPECT_THROW(ReadCheckpoint(folder_ / "bad.pt"), Error);
  NextToken objective = Learner(Rule::kAdamW);
  EXPECT_THROW(objective.Load({}), Error);
}

TEST_F(TrainTest, OrthogonalizedMatrixHasSingularValuesNearOne) {
  torch::manual_seed(1);
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{24, 8}, {8, 24}, {16, 16}}) {
    const torch::Tensor matrix = torch::randn({rows, columns});
    const auto [u, s, v] = torch::linalg_svd(Orthogonalized(matrix), false);
    EXPECT_GT(s.min().item<float>(),
              rows == columns ? 0.1F : 0.6F);  // a square random matrix is nearly singular
    EXPECT_LT(s.max().item<float>(), 1.3F);
    // It is the nearest one: it correlates with the matrix as the sum of its singular values does.
    const auto [a, sigma, b] = torch::linalg_svd(matrix, false);
    EXPECT_GT((Orthogonalized(matrix) * matrix).sum().item<float>(), 0.75F * sigma.sum().item<float>());
  }
}

TEST_F(TrainTest, FirstStepOfAdamWIsTheSignOfTheGradient) {
  const torch::Tensor weight = torch::zeros({3}).set_requires_grad(true);
  OptimizerOptions options;
  options.clip = 0;
  Optimizer optimizer({{"w", weight}}, options);
  weight.mutable_grad() = torch::tensor({2.0F, -0.5F, 0.0F});
  optimizer.Step(0.1);
  EXPECT_TRUE(torch::allclose(weight.detach(), torch::tensor({-0.1F, 0.1F, 0.0F})));
  weight.mutable_grad() = torch::tensor({NAN, 0.0F, 0.0F});
  EXPECT_THROW(optimizer.Step(0.1), Error);
}

TEST_F(TrainTest, ScheduleRisesHoldsAndFalls) {
  const Schedule linear = {2, 0.1, 0.5, 0.25, Shape::kLinear}, cosine = {2, 0.1, 0.5, 0.25, Shape::kCosine};
  for (const Schedule& schedule : {linear, cosine}) {
    EXPECT_DOUBLE_EQ(schedule(0.05), 1);
    EXPECT_DOUBLE_EQ(schedule(0.5), 2);
    EXPECT_NEAR(schedule(0.75), 1.25, 1e-12);
    EXPECT_NEAR(schedule(1), 0.5, 1e-12);
    for (double p = 0.5; p < 1; p += 0.01) EXPECT_GE(schedule(p), schedule(p + 0.01) - 1e-12);
  }
  EXPECT_THROW(ShapeFromName("square"), UsageError);
}

TEST_F(TrainTest, AnEpochVisitsEveryBlockOnce) {
  std::vector<int32_t> tokens(16 * 13 + 5);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  WindowOptions options = SmallWindows();
  options.short_length = 0;
  Windows data(tokens, options);
  ASSERT_EQ(data.blocks_per_epoch(), 12);
  std::set<int64_t> seen;
  for (int64_t step = 0; step < 3; ++step) {
    const Batch batch = data.At({step, 100});
    ASSERT_EQ(batch.input.sizes().vec(), (std::vector<int64_t>{4, 16}));
    for (int64_t row = 0; row < 4; ++row) {
      const int64_t start = batch.target[row][0].item<int64_t>();
      EXPECT_TRUE(seen.insert(start).second);
      EXPECT_EQ(batch.input[row][0].item<int64_t>(), options.start_token);
      for (int64_t i = 1; i < 16; ++i) {
        EXPECT_EQ(batch.target[row][i].item<int64_t>(), start + i);
        EXPECT_EQ(batch.input[row][i].item<int64_t>(), start + i - 1);
      }
    }
  }
  EXPECT_EQ(*seen.rbegin() - *seen.begin(), 16 * 11);
  EXPECT_TRUE(torch::equal(data.At({1, 100}).target, Windows(tokens, options).At({1, 100}).target));
}

TEST_F(TrainTest, HeldOutPassagesAreCutOut) {
  Write("a.txt", "one\r\nCHAPTER I\r\ntwo\r\nCHAPTER II\r\nthree\r\n");
  Write("b.txt", "four\nfive\n");
  Write("c.json", "[]");
  fs::create_directories(folder_ / "inner");
  Write("inner/d.txt", "six\n");
  CorpusOptions options;
  options.folder = folder_;
  options.heldout = {{"CHAPTER I", "CHAPTER II"}};
  EXPECT_THROW(LoadCorpus(options), Error) << "'CHAPTER I' begins two lines";
  options.heldout = {{"CHAPTER I\n", "CHAPTER II"}};
  const Corpus corpus = LoadCorpus(options);
  ASSERT_EQ(corpus.heldout.size(), 1U);
  EXPECT_EQ(corpus.heldout[0].text, "CHAPTER I\ntwo\n");
  ASSERT_EQ(corpus.train.size(), 3U);
  EXPECT_EQ(corpus.train[0].text + corpus.train[1].text + corpus.train[2].text,
            "one\nCHAPTER II\nthree\nfour\nfive\n");
  options.heldout.push_back({"CHAPTER IX", "CHAPTER X"});
  EXPECT_THROW(LoadCorpus(options), Error) << "some are found and some are not";
  options.heldout = {{"CHAPTER IX", "CHAPTER X"}};
  options.heldout_share = 0.3;
  EXPECT_EQ(LoadCorpus(options).heldout[0].text, "three\n") << "another text: the end of each file";
  Write("b.txt", "caf\xe9\n");
  EXPECT_THROW(LoadCorpus(options), Error);
}

TEST_F(TrainTest, TrainedTokenizerRoundTripsAndIsDeterministic) {
  std::string text;
  for (int i = 0; i < 400; ++i)
    text += fmt::format("the cat {} sat on\nthe mat, the caf\u00e9 and the hat\n\n", i);
  const std::vector<Document> documents = {{"text", text}};
  TokenizerOptions options;
  options.vocab = 320;
  const std::string model = TrainTokenizer(documents, options);
  EXPECT_EQ(model, TrainTokenizer(documents, options));
  const auto ids = Tokenize(model, documents);
  EXPECT_LT(ids[0].size(), text.size() / 2);

  const LlamaConfig config = Tiny();
  const Weights weights = InitialWeights(BuildLlama(config), 1);
  WriteModel(folder_ / "model", config, weights, model);
  const auto tokenizer = Tokenizer::FromHuggingFace(ReadFile(folder_ / "model" / "tokenizer.json"));
  EncodeOptions plain;
  plain.add_special = false;
  EXPECT_EQ(tokenizer.Encode(text, plain), ids[0]);
  EXPECT_EQ(tokenizer.Decode(ids[0]), text);
  const SafetensorsFile file(folder_ / "model" / "model.safetensors");
  for (const auto& [name, tensor] : weights) EXPECT_EQ(file.Get(name).shape, tensor.sizes().vec());
}

}  // namespace
}  // namespace lowbit::lab
