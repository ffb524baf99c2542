// From files to batches.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "lab/data/text.h"
#include "lab/data/tokenizer.h"
#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/text/tokenizer.h"
#include "tests/io/scratch.h"
#include "tests/lab/tiny_corpus.h"

namespace lowbit::lab {
namespace {

template <typename Body>
std::string MessageOf(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(Corpus, KeepsHeldOutPassagesApart) {
  const ScratchFolder folder;
  WriteFile(folder / "b.txt", "one\r\nCHAPTER 2\ntwo\nCHAPTER 3\nthree\n");
  WriteFile(folder / "a.txt", "zero\n");
  WriteFile(folder / "c.md", "no text\n");
  const Corpus corpus = LoadCorpus({.folder = folder.path(), .heldout = {{"CHAPTER 2", "CHAPTER 3"}}});
  ASSERT_EQ(corpus.train.size(), 3u);
  EXPECT_EQ(corpus.train[0].text, "zero\n");
  EXPECT_EQ(corpus.train[1].text, "one\n");
  EXPECT_EQ(corpus.train[2].text, "CHAPTER 3\nthree\n");
  ASSERT_EQ(corpus.heldout.size(), 1u);
  EXPECT_EQ(corpus.heldout[0].text, "CHAPTER 2\ntwo\n");
  EXPECT_EQ(corpus.heldout[0].name, "b.txt: CHAPTER 2");
}

TEST(Corpus, WithoutPassagesTheEndOfEachFileIsHeldOut) {
  const ScratchFolder folder;
  const std::string text = TinyText(200, 1);
  WriteFile(folder / "a.txt", text);
  const Corpus corpus = LoadCorpus({.folder = folder.path(), .heldout_share = 0.1});
  ASSERT_EQ(corpus.train.size(), 1u);
  ASSERT_EQ(corpus.heldout.size(), 1u);
  EXPECT_EQ(corpus.train[0].text + corpus.heldout[0].text, text);
  EXPECT_NEAR(static_cast<double>(corpus.heldout[0].text.size()) / static_cast<double>(text.size()), 0.1,
              0.02);
  EXPECT_EQ(corpus.train[0].text.back(), '\n');
}

TEST(Corpus, SaysWhatIsMissingOrBroken) {
  const ScratchFolder folder;
  const auto load = [&](std::vector<Passage> heldout) {
    return MessageOf([&] { LoadCorpus({.folder = folder.path(), .heldout = std::move(heldout)}); });
  };
  const std::filesystem::path absent = folder / "absent";
  EXPECT_EQ(MessageOf([&] { LoadCorpus({.folder = absent}); }),
            absent.string() + ": no such folder of texts");
  EXPECT_NE(load({}).find("no .txt file to train on"), std::string::npos);
  WriteFile(folder / "a.txt", "A\nB\nA\nB\n");
  EXPECT_NE(load({{"A", "B"}}).find("must be unique"), std::string::npos);
  EXPECT_NE(load({{"B", "C"}}).find("has no line 'C' after it"), std::string::npos);
  WriteFile(folder / "a.txt", "A\nB\n");
  EXPECT_NE(load({{"A", "B"}, {"X", "Y"}}).find("'X': no file has a line that begins so"), std::string::npos);
  WriteFile(folder / "a.txt", "good \xFF bad");
  EXPECT_NE(load({}).find("a.txt: byte 5 is not UTF-8"), std::string::npos);
}

std::vector<int32_t> Counted(int64_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = static_cast<int32_t>(100 + i);
  return tokens;
}

TEST(Windows, ATargetIsTheTokenAfterItsInput) {
  Windows windows(Counted(100), {.block = 8, .blocks = 3, .short_length = 4, .short_until = 0.5, .seed = 1});
  for (const auto& [step, length] : {std::pair<int64_t, int64_t>{0, 4}, {9, 8}}) {
    const Batch batch = windows.At({step, 10});
    ASSERT_EQ(batch.input.sizes().vec(), (std::vector<int64_t>{24 / length, length}));
    ASSERT_EQ(batch.target.sizes().vec(), batch.input.sizes().vec());
    for (int64_t row = 0; row < batch.input.size(0); ++row) {
      EXPECT_EQ(batch.input[row][0].item<int64_t>(), 1);
      for (int64_t i = 0; i + 1 < length; ++i) {
        EXPECT_EQ(batch.input[row][i + 1].item<int64_t>(), batch.target[row][i].item<int64_t>());
        EXPECT_EQ(batch.target[row][i + 1].item<int64_t>(), batch.target[row][i].item<int64_t>() + 1);
      }
    }
  }
}

TEST(Windows, AnEpochSeesNoTokenTwice) {
  Windows windows(Counted(103), {.block = 8, .blocks = 1, .seed = 5});
  std::vector<std::set<int64_t>> epochs(3);
  for (int64_t step = 0; step < 3 * windows.blocks_per_epoch(); ++step) {
    const torch::Tensor target = windows.At({step, 1000}).target;
    for (int64_t i = 0; i < 8; ++i) {
      EXPECT_TRUE(epochs[static_cast<size_t>(step / windows.blocks_per_epoch())]
                      .insert(target[0][i].item<int64_t>())
                      .second);
    }
  }
  EXPECT_EQ(epochs[0].size(), static_cast<size_t>(8 * windows.blocks_per_epoch()));
  EXPECT_NE(epochs[0], epochs[1]);  // other offsets
}

TEST(Windows, ABatchDependsOnTheClockAlone) {
  const WindowOptions options{.block = 8, .blocks = 2, .seed = 5};
  Windows there(Counted(103), options), back(Counted(103), options);
  std::vector<torch::Tensor> inputs;
  for (int64_t step = 0; step < 20; ++step) inputs.push_back(there.At({step, 20}).input);
  for (int64_t step = 19; step >= 0; --step) {
    EXPECT_TRUE(back.At({step, 20}).input.equal(inputs[static_cast<size_t>(step)])) << step;
  }
  Windows other(Counted(103), {.block = 8, .blocks = 2, .seed = 6});
  EXPECT_FALSE(other.At({0, 20}).input.equal(inputs[0]));
}

TEST(Windows, RefuseATextThatIsTooShort) {
  EXPECT_NE(
      MessageOf([] { Windows(Counted(15), {.block = 8}); }).find("15 tokens are fewer than two windows of 8"),
      std::string::npos);
  EXPECT_NE(MessageOf([] {
              Windows(Counted(99), {.block = 8, .short_length = 3});
            }).find("3 must divide the length 8"),
            std::string::npos);
}

TEST(TrainTokenizer, SaysThatATextIsTooShortForTheVocabulary) {
  const std::string message = MessageOf([] { TrainTokenizer({{"a", "ab ab ab\n"}}, {.vocab = 2048}); });
  EXPECT_EQ(message.find("training the tokenizer: "), 0u) << message;
  EXPECT_NE(message.find("ocabulary size"), std::string::npos) << message;
}

}  // namespace
}  // namespace lowbit::lab
