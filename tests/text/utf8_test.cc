#include "lowbit/text/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(FirstInvalidUtf8("plain ASCII, longer than eight bytes"), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("h\u00e9 \u20ac \U0001F600"), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("0123456789\xC3("), 10u);
  EXPECT_EQ(FirstInvalidUtf8("a\xC0\xAF"), 1u);         // overlong
  EXPECT_EQ(FirstInvalidUtf8("ab\xED\xA0\x80"), 2u);    // surrogate
  EXPECT_EQ(FirstInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(FirstInvalidUtf8("abc\xE2\x82"), 3u);       // cut
}

// Unicode's example of replacement by maximal parts (chapter 3, table 3-8).
TEST(Utf8, ReplacesMaximalParts) {
  EXPECT_EQ(RepairUtf8("a\xF1\x80\x80\xE1\x80\xC2"
                       "b\x80"
                       "c\x80\xBF"
                       "d"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
}

TEST(Utf8, EveryCharacterSurvives) {
  std::string text;
  for (char32_t point = 0; point < 0x110000; point += point < 0x3000 ? 1 : 97) {
    if (point >= 0xD800 && point < 0xE000) continue;
    const size_t before = text.size();
    AppendUtf8(text, point);
    const Utf8Step step = NextUtf8(std::string_view(text).substr(before));
    ASSERT_EQ(step.point, point);
    ASSERT_EQ(step.length, text.size() - before);
  }
  EXPECT_EQ(FirstInvalidUtf8(text), std::string_view::npos);
}

// Whatever the bytes and wherever they are cut: the pieces join to the repaired whole, each is well-formed,
// and nothing complete is held back.
TEST(Utf8Stream, JoinsToTheRepairedText) {
  Random random(11);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    const uint32_t length = random.Below(24);
    for (uint32_t i = 0; i < length; ++i) {
      switch (random.Below(4)) {
        case 0:
          bytes.push_back(static_cast<char>(random.Below(256)));
          break;
        case 1:
          bytes.push_back(static_cast<char>(0x80 + random.Below(64)));
          break;
        default:
          AppendUtf8(bytes, random.Below(2) ? 0x20 + random.Below(0x500) : 0x1F600 + random.Below(64));
      }
    }
    Utf8Stream stream;
    std::string joined;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::min<size_t>(1 + random.Below(3), bytes.size() - at);
      const std::string piece = stream.Push(std::string_view(bytes).substr(at, size));
      EXPECT_EQ(FirstInvalidUtf8(piece), std::string_view::npos);
      EXPECT_LE(stream.held(), 3u);
      joined += piece;
      at += size;
    }
    joined += stream.Finish();
    EXPECT_EQ(joined, RepairUtf8(bytes));
  }
}

TEST(Utf8Stream, HoldsBackOnlyWhatMayBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xE2\x82"), "a");
  EXPECT_EQ(stream.held(), 2u);
  EXPECT_EQ(stream.Push("\xAC"), "\u20ac");
  EXPECT_EQ(stream.Push("\xF0\x9F"), "");
  EXPECT_EQ(stream.Push("b"), "\uFFFDb");
  EXPECT_EQ(stream.Push("\xE2"), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
}

}  // namespace
}  // namespace lowbit
