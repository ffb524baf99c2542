// A real model, SmolLM2-135M-Instruct in Q4_1: 98 MB that scripts/fetch_smollm2.sh downloads, so the tests
// skip where the file is not. What is expected was measured with Python packages
// (scripts/make_smollm2_fixtures.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "lowbit/io/file.h"
#include "lowbit/metric/score.h"
#include "lowbit/pipeline/generate.h"
#include "lowbit/text/chat_template.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

// LOWBIT_SMOLLM2, or where scripts/fetch_smollm2.sh puts it.
fs::path ModelFile() {
  if (const char* file = std::getenv("LOWBIT_SMOLLM2")) return file;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const fs::path folder = cache != nullptr && *cache != 0 ? fs::path(cache)
                          : home != nullptr               ? fs::path(home) / ".cache"
                                                          : fs::path();
  return folder / "lowbit" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

class SmolLm2 : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path file = ModelFile();
    if (!fs::exists(file)) {
      GTEST_SKIP() << "no " << file << ": run scripts/fetch_smollm2.sh, or name the file in LOWBIT_SMOLLM2";
    }
    model_ = OpenModel(file);
    expected_ = nlohmann::json::parse(ReadFile(fs::path(LOWBIT_SOURCE_DIR) / "tests/data/smollm2.json"));
  }

  // The text of the expected figures and its windows, one after the other.
  std::string Text() const {
    return ReadFile(fs::path(LOWBIT_SOURCE_DIR) / "models/gutenberg/heldout.txt")
        .substr(0, expected_["text_bytes"].get<size_t>());
  }
  // All logits of `tokens`, (tokens, vocab).
  static std::vector<float> Logits(LanguageModel& model, std::span<const int32_t> tokens,
                                   CacheType type = CacheType::kF32) {
    const auto count = static_cast<int64_t>(tokens.size());
    KvCache cache = model.MakeCache(count, type);
    const Segment segment{&cache, 0, count};
    const float* hidden = model.Forward({&segment, 1}, tokens);
    std::vector<float> logits(tokens.size() * static_cast<size_t>(model.vocab()));
    model.Logits(hidden, count, logits.data());
    return logits;
  }
  static int32_t Argmax(const float* row, int64_t n) {
    return static_cast<int32_t>(std::max_element(row, row + n) - row);
  }

  Model model_;
  nlohmann::json expected_;
  ThreadPool pool_{2};
};

TEST_F(SmolLm2, TokensAreThoseOfPython) {
  for (const auto& entry : expected_["texts"]) {
    const auto text = entry["text"].get<std::string>();
    const auto ids = entry["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(model_.tokenizer->Encode(text), ids) << text;
    EXPECT_EQ(model_.tokenizer->Decode(ids, {.skip_special = false}), text);
  }
  EXPECT_EQ(model_.tokenizer->Encode(Text()), expected_["tokens"].get<std::vector<int32_t>>());
}

TEST_F(SmolLm2, ItsChatTemplateIsTheOneThatRendersAsPython) {
  const fs::path folder = fs::path(LOWBIT_SOURCE_DIR) / "tests/text/data/chat";
  EXPECT_EQ(model_.chat_template, ReadFile(folder / "smollm2.jinja"));
  const nlohmann::ordered_json conversation = {{"messages", {{{"role", "user"}, {"content", "Hello!"}}}},
                                               {"add_generation_prompt", true}};
  const std::string text = RenderTemplate(ChatTemplate(model_.chat_template), conversation, std::tm{});
  EXPECT_TRUE(text.ends_with("<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n")) << text;
  const std::vector<int32_t> ids = model_.tokenizer->Encode(text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), model_.tokenizer->Find("<|im_start|>")), 3);
}

// Blocks 0 and 29 and the embedding: the packed codes stand for the bits that the file's blocks stand for.
TEST_F(SmolLm2, PackedMatricesDequantizeToTheBitsOfTheFile) {
  int compared = 0;
  for (const std::string& name : model_.weights->Names()) {
    if (name.starts_with("model.layers.") && !name.starts_with("model.layers.0.") &&
        !name.starts_with("model.layers.29."))
      continue;
    if (model_.weights->Shape(name).size() != 2) continue;
    const Matrix packed = model_.weights->Load(name);
    EXPECT_TRUE(packed.packed()) << name;
    const std::vector<float> values = ToFloats(packed), file = model_.weights->Floats(name);
    ASSERT_EQ(values.size(), file.size());
    EXPECT_EQ(std::memcmp(values.data(), file.data(), values.size() * sizeof(float)), 0) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 2 * 7 + 1);
}

// The model with every matrix expanded to f32.
class Expanded : public Weights {
 public:
  explicit Expanded(std::shared_ptr<const Weights> packed) : packed_(std::move(packed)) {}
  std::string Where() const override { return packed_->Where(); }
  std::vector<std::string> Names() const override { return packed_->Names(); }
  bool Has(const std::string& name) const override { return packed_->Has(name); }
  std::vector<int64_t> Shape(const std::string& name) const override { return packed_->Shape(name); }
  std::string StoredAs(const std::string&) const override { return "F32"; }
  size_t StoredBytes(const std::string& name) const override { return packed_->StoredBytes(name); }
  Matrix Load(const std::string& name) const override {
    const std::vector<int64_t> shape = Shape(name);
    return OwnFloats(Floats(name), shape[0], shape[1]);
  }
  std::vector<float> Floats(const std::string& name) const override { return packed_->Floats(name); }

 private:
  std::shared_ptr<const Weights> packed_;
};

TEST_F(SmolLm2, ThePackedProductIsTheExpandedOne) {
  const std::vector<int32_t> tokens = model_.tokenizer->Encode(Text().substr(0, 200));
  Model expanded = model_;
  expanded.weights = std::make_shared<const Expanded>(model_.weights);
  LanguageModel a(model_, pool_, Arithmetic::kFloat), b(expanded, pool_, Arithmetic::kFloat);
  const std::vector<float> packed = Logits(a, tokens), plain = Logits(b, tokens);
  double worst = 0;
  for (size_t i = 0; i < packed.size(); ++i) worst = std::max(worst, std::abs(double{packed[i]} - plain[i]));
  EXPECT_LT(worst, 2e-3);  // sums in another order, over 30 blocks
}

TEST_F(SmolLm2, ScoresAreThoseOfTransformers) {
  const auto tokens = expected_["tokens"].get<std::vector<int32_t>>();
  const auto nats = expected_["nats"].get<std::vector<double>>();
  const auto argmax = expected_["argmax"].get<std::vector<int32_t>>();
  const auto window = expected_["window"].get<size_t>();
  LanguageModel exact(model_, pool_, Arithmetic::kFloat), packed(model_, pool_);
  const auto vocab = static_cast<size_t>(exact.vocab());
  size_t scored = 0, same = 0;
  double reference = 0, exact_sum = 0, packed_sum = 0;
  for (size_t begin = 0; begin < tokens.size(); begin += window) {
    const auto part = std::span(tokens).subspan(begin, std::min(window, tokens.size() - begin));
    const std::vector<float> logits = Logits(exact, part), rounded = Logits(packed, part);
    for (size_t i = 0; i < part.size(); ++i) {
      const float* row = logits.data() + i * vocab;
      same += Argmax(row, exact.vocab()) == argmax[begin + i] ? 1 : 0;
      if (i + 1 == part.size()) break;
      const auto loss = [&](const float* r) {
        double sum = 0;
        for (size_t v = 0; v < vocab; ++v) sum += std::exp(double{r[v]} - r[part[i + 1]]);
        return std::log(sum);
      };
      const double mine = loss(row);
      EXPECT_NEAR(mine, nats[scored], 5e-3) << "token " << begin + i + 1;
      exact_sum += mine, packed_sum += loss(rounded.data() + i * vocab), reference += nats[scored];
      ++scored;
    }
  }
  ASSERT_EQ(scored, nats.size());
  const auto n = static_cast<double>(scored);
  EXPECT_NEAR(exact_sum / n, reference / n, 1e-4);
  EXPECT_NEAR(packed_sum / n, reference / n, 3e-3);  // activations rounded to int8: 0.3 % of perplexity
  EXPECT_GE(same + 1, tokens.size());  // a near tie may fall the other way
}

TEST_F(SmolLm2, GreedyTextIsTheArgmaxOfScoring) {
  LanguageModel running(model_, pool_);
  std::vector<int32_t> tokens = model_.tokenizer->Encode("The capital of France is");
  const size_t prompt = tokens.size();
  Generator generator(running, 128);
  const Generated generated = generator.Run(tokens, {.sampler = {}, .max_tokens = 32, .stop = {}});
  ASSERT_GE(generated.tokens.size(), 8u);
  EXPECT_NE(generated.text.find("Paris"), std::string::npos) << generated.text;
  tokens.insert(tokens.end(), generated.tokens.begin(), generated.tokens.end());
  const std::vector<float> logits = Logits(running, tokens, CacheType::kF16);
  for (size_t i = prompt; i < tokens.size(); ++i) {
    EXPECT_EQ(Argmax(logits.data() + (i - 1) * static_cast<size_t>(running.vocab()), running.vocab()),
              tokens[i]);
  }
}

}  // namespace
}  // namespace lowbit
