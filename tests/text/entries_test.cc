#include "lowbit/text/entries.h"

#include <gtest/gtest.h>

#include <functional>

#include "lowbit/base/error.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

class EntriesTest : public testing::Test {
 protected:
  std::filesystem::path Make(const std::string& name, const std::string& text) {
    WriteBytes(scratch_ / name, std::as_bytes(std::span(text)));
    return scratch_ / name;
  }
  template <typename Read>
  std::string ErrorOf(Read read, const std::string& json) {
    try {
      read(Make("e.json", json));
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("e.json"), std::string::npos) << error.what();
      return error.what();
    }
    return "";
  }

  ScratchFolder scratch_;
};

TEST_F(EntriesTest, ATextIsOneEntryAndAnArrayIsSeveral) {
  EXPECT_EQ(ReadEntries(Make("a.txt", "[\"x\"]\n")), std::vector<std::string>{"[\"x\"]\n"});
  EXPECT_EQ(ReadEntries(Make("a.json", R"(["x", "é"])")), (std::vector<std::string>{"x", "é"}));
}

TEST_F(EntriesTest, AStringIsOneTurnOfTheUserAndAConversationIsTakenAsItIs) {
  const auto text = ReadConversations(Make("a.txt", "Hello\n"));
  ASSERT_EQ(text.size(), 1u);
  ASSERT_EQ(text[0].size(), 1u);
  EXPECT_EQ(text[0][0].role, "user");
  EXPECT_EQ(text[0][0].content, "Hello\n");
  const auto mixed = ReadConversations(Make("a.json", R"(["x", [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
      {"role": "assistant", "content": null, "tool_calls": [1]},
      {"role": "assistant", "content": "Hi"}]])"));
  ASSERT_EQ(mixed.size(), 2u);
  EXPECT_EQ(mixed[0][0].content, "x");
  ASSERT_EQ(mixed[1].size(), 4u);
  EXPECT_EQ(mixed[1][0].role, "system");
  EXPECT_EQ(mixed[1][3].content, "Hi");
  const ChatTemplate chat(
      "{% for m in messages %}{{ m.role }}={{ m.content if m.content is string else m.content | length if "
      "m.content else m.tool_calls[0] }};{% endfor %}");
  EXPECT_EQ(RenderChat(chat, mixed[1]), "system=Be brief.;user=1;assistant=1;assistant=Hi;");
}

TEST_F(EntriesTest, WrongFilesAreNamed) {
  const auto entries = [](const auto& path) { ReadEntries(path); };
  const auto conversations = [](const auto& path) { ReadConversations(path); };
  const std::string talk = R"([[{"role": "user", "content": "x"}]])";
  EXPECT_NE(ErrorOf(entries, talk).find("entry 0 is a conversation"), std::string::npos);
  EXPECT_EQ(ErrorOf(conversations, talk), "");
  EXPECT_NE(ErrorOf(entries, R"(["x", 1])").find("entry 1 is not a string"), std::string::npos);
  EXPECT_NE(ErrorOf(conversations, R"(["x", 1])").find("entry 1 is neither"), std::string::npos);
  EXPECT_NE(ErrorOf(conversations, R"([[]])").find("entry 0 is neither"), std::string::npos);
  EXPECT_NE(ErrorOf(conversations, R"(["x", [{"role": "user", "content": "y"}, {"content": "y"}]])")
                .find("entry 1, message 1"),
            std::string::npos);
  EXPECT_NE(ErrorOf(conversations, R"([[{"role": "user", "content": 5}]])").find("\"content\" must be"),
            std::string::npos);
  for (const auto& read : {std::function<void(const std::filesystem::path&)>(entries),
                           std::function<void(const std::filesystem::path&)>(conversations)}) {
    EXPECT_NE(ErrorOf(read, "").find("empty"), std::string::npos);
    EXPECT_NE(ErrorOf(read, "[]").find("empty"), std::string::npos);
    EXPECT_NE(ErrorOf(read, "{\"a\": 1}").find("JSON array"), std::string::npos);
    EXPECT_NE(ErrorOf(read, "[\"\xff\"]").find("not UTF-8: byte 2"), std::string::npos);
  }
}

}  // namespace
}  // namespace lowbit
