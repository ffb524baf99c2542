// Logits of tiny random models of every family beside those of the Python package transformers
// (scripts/make_family_fixtures.py), from the folder and from the GGUF file exported from it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "lowbit/io/file.h"
#include "lowbit/model/gguf_export.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(LOWBIT_SOURCE_DIR) / "tests/model/data/families";

std::vector<std::string> Cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Family : public testing::TestWithParam<std::string> {
 protected:
  fs::path folder_ = kFolder / GetParam();
  ThreadPool pool_{2};

  // Largest difference of any logit at any position. `piece` tokens are fed at a time.
  double Difference(const Model& model, int64_t piece) {
    const auto tokens = nlohmann::json::parse(ReadFile(folder_ / "tokens.json")).get<std::vector<int32_t>>();
    const std::string bytes = ReadFile(folder_ / "logits.f32");
    std::vector<float> expected(bytes.size() / 4);
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    const int64_t vocab = model.config.vocab, count = static_cast<int64_t>(tokens.size());
    EXPECT_EQ(static_cast<int64_t>(expected.size()), vocab * count);
    LanguageModel running(model, pool_, Arithmetic::kFloat);
    KvCache cache = running.MakeCache(count, CacheType::kF32);
    double worst = 0;
    std::vector<float> logits(static_cast<size_t>(piece * vocab));
    for (int64_t at = 0; at < count; at += piece) {
      const int64_t rows = std::min(piece, count - at);
      const Segment segment{&cache, at, rows, count};
      const float* hidden = running.Forward(
          {&segment, 1}, std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(rows)));
      running.Logits(hidden, rows, logits.data());
      cache.SetLength(at + rows);
      for (int64_t i = 0; i < rows * vocab; ++i)
        worst = std::max(worst, std::abs(double{logits[i]} - expected[at * vocab + i]));
    }
    return worst;
  }
};

TEST_P(Family, LogitsAgreeFromTheFolder) {
  const Model model = OpenModel(folder_);
  EXPECT_LT(Difference(model, 300), 1e-4);
  EXPECT_LT(Difference(model, 7), 1e-4);
}

TEST_P(Family, LogitsAgreeFromGguf) {
  if (GetParam() == "rope-dynamic") GTEST_SKIP() << "GGUF has no place for dynamic rope scaling";
  const fs::path file = fs::temp_directory_path() / ("lowbit-family-" + std::to_string(getpid()) + ".gguf");
  WriteGguf(OpenModel(folder_), file);
  EXPECT_LT(Difference(OpenModel(file), 300), 1e-4);
  fs::remove(file);
}

INSTANTIATE_TEST_SUITE_P(Families, Family, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<std::string>& family) {
                           std::string name = family.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace lowbit
