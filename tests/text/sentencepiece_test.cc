#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/file.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit {
namespace {

// A model trained by the library on the texts of the fixtures.
std::string Train(const std::string& options) {
  const std::string folder = std::string(LOWBIT_SOURCE_DIR) + "/tests/text/data/";
  const std::string prefix = testing::TempDir() + "/lowbit_sentencepiece";
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--input=" + folder + "mixed.txt --minloglevel=2 --hard_vocab_limit=false --model_prefix=" + prefix +
      " " + options);
  EXPECT_TRUE(status.ok()) << status.ToString();
  std::string model = ReadFile(prefix + ".model");
  std::filesystem::remove(prefix + ".model");
  std::filesystem::remove(prefix + ".vocab");
  return model;
}

void ExpectTheLibrarysTokens(const std::string& model) {
  sentencepiece::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.LoadFromSerializedProto(model).ok());
  const Tokenizer tokenizer = Tokenizer::FromSentencePiece(model);
  const Tokenizer json = [&] {
    const HuggingFaceTokenizer written = tokenizer.ToHuggingFace();
    return Tokenizer::FromHuggingFace(written.tokenizer_json, written.beside);
  }();
  const std::string text = ReadFile(std::string(LOWBIT_SOURCE_DIR) + "/tests/text/data/mixed.txt");
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    // Pieces of the text without the spellings of control tokens, which only lowbit looks for in texts.
    size_t begin = random.Below(static_cast<uint32_t>(text.size()));
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    std::string part = text.substr(begin, 1 + random.Below(80));
    while (!part.empty() && (static_cast<uint8_t>(part.back()) & 0x80)) part.pop_back();
    for (char& c : part) c = c == '<' || c == '\0' ? '(' : c;
    std::vector<int> expected;
    ASSERT_TRUE(processor.Encode(part, &expected).ok());
    EXPECT_EQ(tokenizer.Encode(part, {.add_special = false}), expected) << "'" << part << "'";
    EXPECT_EQ(json.Encode(part, {.add_special = false}), expected) << "'" << part << "'";
  }
}

TEST(SentencePiece, BpeLikeLlama) {
  ExpectTheLibrarysTokens(
      Train("--model_type=bpe --vocab_size=600 --byte_fallback=true --normalization_rule_name=identity "
            "--remove_extra_whitespaces=false --character_coverage=0.995 --split_digits=true"));
}

TEST(SentencePiece, BpeWithoutBytesOrPrefix) {
  ExpectTheLibrarysTokens(Train(
      "--model_type=bpe --vocab_size=500 --normalization_rule_name=identity --add_dummy_prefix=false "
      "--character_coverage=0.98 --allow_whitespace_only_pieces=true --remove_extra_whitespaces=false"));
}

TEST(SentencePiece, UnigramWithRules) {
  ExpectTheLibrarysTokens(Train("--model_type=unigram --vocab_size=500 --character_coverage=0.98"));
}

TEST(SentencePiece, UnigramWithBytes) {
  ExpectTheLibrarysTokens(
      Train("--model_type=unigram --vocab_size=700 --byte_fallback=true --character_coverage=0.98"));
}

TEST(SentencePiece, RefusesDamagedModels) {
  const std::string model = Train("--model_type=bpe --vocab_size=450");
  for (size_t size : {size_t{0}, size_t{1}, size_t{100}, model.size() / 2, model.size() - 1}) {
    EXPECT_THROW(Tokenizer::FromSentencePiece(model.substr(0, size)), Error) << size;
  }
}

}  // namespace
}  // namespace lowbit
