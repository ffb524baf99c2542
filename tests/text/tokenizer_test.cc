#include "lowbit/text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "lowbit/io/file.h"

namespace lowbit {
namespace {

std::filesystem::path DataFolder() {
  const char* folder = std::getenv("LOWBIT_DATA");
  return folder ? folder : "";
}

TEST(Tokenizer, TinyStories) {
  const auto folder = DataFolder() / "lm-tinystories-656k";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "LOWBIT_DATA has no lm-tinystories-656k";
  const Tokenizer json = Tokenizer::FromHuggingFace(ReadFile(folder / "tokenizer.json"));
  const Tokenizer bin = Tokenizer::FromLlama2c(ReadFile(folder / "tok2048.bin"));
  const std::string text = "Once upon a time, there was a little boy named Tim. Tim ";
  EXPECT_EQ(json.Encode(text), bin.Encode(text));
  EXPECT_EQ(json.Decode(json.Encode(text)), text);
}

}  // namespace
}  // namespace lowbit
