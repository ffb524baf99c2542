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

// Our reader, held against the library: pieces, special ids, and the tokens of 300 pieces of text.
void ExpectTheLibrarysTokens(const std::string& model) {
  sentencepiece::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.LoadFromSerializedProto(model).ok());
  const Tokenizer tokenizer = Tokenizer::FromSentencePiece(model);
  ASSERT_EQ(tokenizer.vocab_size(), processor.GetPieceSize());
  for (int id = 0; id < processor.GetPieceSize(); ++id)
    EXPECT_EQ(tokenizer.Piece(id), processor.IdToPiece(id));
  EXPECT_EQ(tokenizer.unknown(), processor.unk_id());
  EXPECT_EQ(tokenizer.bos(), processor.bos_id());
  EXPECT_EQ(tokenizer.eos().empty() ? -1 : tokenizer.eos()[0], processor.eos_id());
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

TEST(SentencePiece, OtherSpecialAndUserDefinedPieces) {
  ExpectTheLibrarysTokens(Train(
      "--model_type=bpe --vocab_size=500 --normalization_rule_name=identity --bos_id=3 --eos_id=1 --unk_id=0 "
      "--pad_id=2 --bos_piece=[BOS] --eos_piece=[EOS] --user_defined_symbols=the,ing "
      "--add_dummy_prefix=false "
      "--remove_extra_whitespaces=false"));
  ExpectTheLibrarysTokens(Train("--model_type=unigram --vocab_size=500 --bos_id=-1 --eos_id=-1"));
}

// The leading space comes once, before the whole text, also where a user-defined piece begins it.
TEST(SentencePiece, UserDefinedPiecesAndALeadingSpace) {
  for (const char* rest :
       {"bpe --normalization_rule_name=identity --remove_extra_whitespaces=false",
        "bpe --normalization_rule_name=identity", "unigram", "unigram --byte_fallback=true"}) {
    SCOPED_TRACE(rest);
    ExpectTheLibrarysTokens(Train(
        std::string("--vocab_size=700 --user_defined_symbols=the,ing,\xE2\x96\x81to,\xE2\x96\x81\xE2\x96\x81 "
                    "--model_type=") +
        rest));
  }
}

TEST(SentencePiece, TheEmbeddedModel) {
  ExpectTheLibrarysTokens(ReadFile(std::string(LOWBIT_SOURCE_DIR) + "/models/gutenberg/tokenizer.model"));
}

// What the library refuses, by the message that it is refused with here.
TEST(SentencePiece, RefusesModelsThatContradictThemselves) {
  const auto piece = [](const std::string& text, char type) {
    const std::string body = std::string("\x0A") + static_cast<char>(text.size()) + text + "\x18" + type;
    return std::string("\x0A") + static_cast<char>(body.size()) + body;
  };
  const std::string good = piece("<unk>", 2) + piece("<s>", 3) + piece("a", 1);
  const std::string bytes = "\x12\x03\x98\x02\x01";  // trainer_spec {byte_fallback: true}
  const auto refused = [](const std::string& model) -> std::string {
    EXPECT_FALSE(sentencepiece::SentencePieceProcessor().LoadFromSerializedProto(model).ok());
    try {
      Tokenizer::FromSentencePiece(model);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_EQ(Tokenizer::FromSentencePiece(good).vocab_size(), 3);
  EXPECT_NE(refused(piece("a", 1)).find("0 pieces are marked as the unknown one"), std::string::npos);
  EXPECT_NE(refused(good + piece("?", 2)).find("2 pieces are marked"), std::string::npos);
  EXPECT_NE(refused(good + piece("a", 1)).find("piece 3 is the same as piece 2: 'a'"), std::string::npos);
  EXPECT_NE(refused(good + piece("", 1)).find("piece 3 is empty"), std::string::npos);
  EXPECT_NE(refused(good + piece("<0x41>", 6)).find("1 pieces of single bytes"), std::string::npos);
  EXPECT_NE(refused(good + piece("<0x4a>", 6) + bytes).find("should be a byte such as <0x0A>"),
            std::string::npos);
  EXPECT_NE(refused(good + bytes).find("there should be 256"), std::string::npos);
}

TEST(SentencePiece, NamesWhatIsNotSupported) {
  const auto message = [](const std::string& model) -> std::string {
    try {
      Tokenizer::FromSentencePiece(model);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_NE(message("\x12\x02\x18\x03").find("algorithm 3 is not supported"), std::string::npos);
  EXPECT_NE(message("\x12\x03\xC0\x01\x01").find("treat_whitespace_as_suffix"), std::string::npos);
  EXPECT_NE(message(std::string("\x1A\x02\x28\x00", 4)).find("escape_whitespaces"), std::string::npos);
}

TEST(SentencePiece, RefusesDamagedModels) {
  const std::string model = Train("--model_type=bpe --vocab_size=450");
  for (size_t size : {size_t{0}, size_t{1}, size_t{100}, model.size() / 2, model.size() - 1}) {
    EXPECT_THROW(Tokenizer::FromSentencePiece(model.substr(0, size)), Error) << size;
  }
}

}  // namespace
}  // namespace lowbit
