#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "lowbit/base/error.h"
#include "lowbit/io/gguf.h"
#include "lowbit/text/pre_tokenizer_names.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

// The keys that the two files have.
GgufVocabulary Read(const GgufFile& file) {
  GgufVocabulary out;
  out.model = file.GetString("tokenizer.ggml.model");
  out.pre = file.GetString("tokenizer.ggml.pre");
  out.tokens = file.GetStrings("tokenizer.ggml.tokens");
  for (const int64_t type : file.GetIntegers("tokenizer.ggml.token_type"))
    out.types.push_back(static_cast<int32_t>(type));
  if (const auto scores = file.FindNumbers("tokenizer.ggml.scores"))
    out.scores.assign(scores->begin(), scores->end());
  out.merges = file.FindStrings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  out.bos = static_cast<int32_t>(file.GetInteger("tokenizer.ggml.bos_token_id"));
  out.eos = static_cast<int32_t>(file.GetInteger("tokenizer.ggml.eos_token_id"));
  return out;
}

class InteropVocabulary : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Gguf, InteropVocabulary,
                         testing::Values("ggml-vocab-gpt-2.gguf", "ggml-vocab-phi-3.gguf"));

// Strings and token ids published with llama.cpp.
TEST_P(InteropVocabulary, GivesThePublishedTokens) {
  const char* data = std::getenv("LOWBIT_DATA");
  const fs::path path = fs::path(data ? data : "") / "interop" / GetParam();
  if (!fs::exists(path)) GTEST_SKIP() << "LOWBIT_DATA has no " << path.filename();
  const Tokenizer tokenizer = Tokenizer::FromGguf(Read(GgufFile(path)));
  const std::string inputs = ReadFile(path.string() + ".inp"), separator = "\n__ggml_vocab_test__\n";
  std::istringstream outputs(ReadFile(path.string() + ".out"));
  size_t begin = 0, cases = 0;
  for (std::string line; std::getline(outputs, line); ++cases) {
    const size_t end = inputs.find(separator, begin);
    const std::string input = inputs.substr(begin, end == std::string::npos ? end : end - begin);
    std::istringstream numbers(line);
    std::vector<int32_t> expected;
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer.Encode(input, {.add_special = false}), expected) << "'" << input << "'";
    if (end == std::string::npos) break;
    begin = end + separator.size();
  }
  EXPECT_GE(cases, 40u);
}

TEST(GgufVocabulary, ScoredMergesOverText) {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "ab", "\u2581ab"};
  vocabulary.scores = {0, 0, 0, -5, -6, -7, -1, -2};
  vocabulary.types = {2, 3, 3, 1, 1, 1, 1, 1};
  vocabulary.add_bos = true;
  vocabulary.add_space_prefix = false;
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  const Tokenizer tokenizer = Tokenizer::FromGguf(vocabulary);
  EXPECT_EQ(tokenizer.Encode("ab ab<s>"), (std::vector<int32_t>{1, 6, 7, 1}));
  EXPECT_EQ(tokenizer.Encode("a<s>", {.parse_special = ParseSpecial::kNo}), (std::vector<int32_t>{1, 4, 0}));
}

TEST(GgufVocabulary, RefusesWhatItDoesNotKnow) {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.tokens = {"a"};
  vocabulary.pre = "no-such-name";
  try {
    Tokenizer::FromGguf(vocabulary);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("llama-bpe"), std::string::npos) << error.what();
  }
  vocabulary.pre = "gpt-2";
  vocabulary.bos = 1;
  EXPECT_THROW(Tokenizer::FromGguf(vocabulary), Error);
  vocabulary.model = "wpm";
  EXPECT_THROW(Tokenizer::FromGguf(vocabulary), Error);
}

TEST(GgufVocabulary, NamesFindTheirPreTokenizers) {
  for (const char* name :
       {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "default", "deepseek-v3", "falcon"}) {
    const NamedPreTokenizer pre = FindPreTokenizer(name);
    EXPECT_FALSE(NameOfPreTokenizer(pre.steps, pre.ignore_merges).empty()) << name;
    const Words words = ApplyPreTokenizer(pre.steps, "It's 2024,  ok?\n", {});
    std::string joined;
    for (size_t i = 0; i < words.ranges.size(); ++i) joined += UnmapBytes(words.word(i));
    EXPECT_EQ(joined, "It's 2024,  ok?\n") << name;
  }
}

}  // namespace
}  // namespace lowbit
