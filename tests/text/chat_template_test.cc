#include "lowbit/text/chat_template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/file.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path Folder() {
  return fs::path(LOWBIT_SOURCE_DIR) / "tests/text/data/chat";
}

// The moment that scripts/check_chat_templates.py renders at.
std::tm Now() {
  std::tm now = {};
  now.tm_year = 125;
  now.tm_mon = 2;
  now.tm_mday = 9;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 6;
  now.tm_wday = 0;
  now.tm_yday = 67;
  return now;
}

// A case gives the text of Python's jinja2, or fails where it fails.
void ExpectAlike(const std::string& source, const Json& expected) {
  try {
    const std::string text = RenderTemplate(ChatTemplate(source), expected["variables"], Now());
    if (expected.contains("error")) {
      ADD_FAILURE() << source << "\nrendered to '" << text << "' but fails in Python: " << expected["error"];
    } else {
      EXPECT_EQ(text, expected["text"].get<std::string>()) << source.substr(0, 2000);
    }
  } catch (const Error& error) {
    EXPECT_TRUE(expected.contains("error")) << source.substr(0, 2000) << "\nfailed: " << error.what();
  }
}

class ChatFamilies : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(ChatTemplate, ChatFamilies,
                         testing::Values("smollm2", "tinyllama", "llama2", "llama3", "mistral", "qwen2",
                                         "qwen3", "gemma3"));

TEST_P(ChatFamilies, RendersAsPython) {
  const std::string source = ReadFile(Folder() / (std::string(GetParam()) + ".jinja"));
  int rendered = 0;
  for (const Json& expected :
       Json::parse(ReadFile(Folder() / (std::string(GetParam()) + ".expected.json")))) {
    ExpectAlike(source, expected);
    rendered += expected.contains("text");
  }
  EXPECT_GE(rendered, 10);
}

TEST(ChatTemplate, SnippetsRenderAsPython) {
  for (const Json& expected : Json::parse(ReadFile(Folder() / "snippets.expected.json"))) {
    ExpectAlike(expected["source"].get<std::string>(), expected);
  }
}

// Folder of cases made by scripts/check_chat_templates.py.
TEST(ChatTemplatePeer, RendersEveryCaseAlike) {
  const char* folder = std::getenv("LOWBIT_CHAT_CASES");
  if (!folder) GTEST_SKIP() << "LOWBIT_CHAT_CASES is not set (scripts/check_chat_templates.py sets it)";
  for (const auto& entry : fs::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().stem());
    for (const Json& expected : Json::parse(ReadFile(entry.path()))) {
      ExpectAlike(expected["source"].get<std::string>(), expected);
    }
  }
}

TEST(ChatTemplate, MessagesAndOptionsReachTheTemplate) {
  const ChatTemplate chat(
      "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ m.mood }};{% endfor %}"
      "{{ tools is none }}{{ extra }}{{ 'A' if add_generation_prompt }}");
  const std::vector<ChatMessage> messages = {{"user", "hi", {{"mood", "!"}}}, {"assistant", "ho", nullptr}};
  ChatOptions options;
  options.bos_token = "<s>";
  options.variables = {{"extra", 7}};
  EXPECT_EQ(RenderChat(chat, messages, options), "<s>user: hi!;assistant: ho;True7A");
}

std::string ErrorOf(const std::string& source) {
  try {
    RenderTemplate(ChatTemplate(source), Json::object());
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatTemplate, ErrorsNameLineAndConstruct) {
  const auto has = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  has(ErrorOf("a\n\n{% if x %}"), "line 3");
  has(ErrorOf("a\n{% include 'x' %}"), "'include'");
  has(ErrorOf("a\n{{ 'x'|frob }}"), "line 2");
  has(ErrorOf("a\n{{ 'x'|frob }}"), "frob");
  has(ErrorOf("\n\n{% for m in none %}{% endfor %}"), "line 3, in 'for'");
  has(ErrorOf("{{ raise_exception('roles must alternate') }}"), "roles must alternate");
  has(ErrorOf("{{ nothing.at.all }}"), "'nothing' is undefined");
  has(ErrorOf("{{ 1 +\n }}"), "line");
}

// Each of these would run for ever, recurse without end or fill the memory.
TEST(ChatTemplate, RunawaysStop) {
  const std::vector<std::string> sources = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "{% set x = 'x' * 20000000 %}{% for i in range(99999) %}{% set y = x|upper|replace('x', 'y') %}{% "
      "endfor %}",
      "{{ 'x' * 999999999999 }}",
      "{{ [1] * 999999999999 }}",
      "{{ range(999999999) }}",
      "{{ 2 ** 999999 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ 1 // 0 }}",
      "{% for i in range(99999) %}{% for j in range(99) %}{{ "
      "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}"
      "{% endfor %}",
      "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}",
      "{{ " + std::string(100000, '-') + "1 }}",
      "{{ 1" +
          [] {
            std::string s;
            for (int i = 0; i < 100000; ++i) s += "+1";
            return s;
          }() +
          " }}",
      "{{ x" +
          [] {
            std::string s;
            for (int i = 0; i < 100000; ++i) s += "|e";
            return s;
          }() +
          " }}",
      [] {
        std::string s;
        for (int i = 0; i < 100000; ++i) s += "{% if 1 %}";
        return s;
      }(),
  };
  for (const std::string& source : sources) {
    EXPECT_NE(ErrorOf(source), "no error") << source.substr(0, 100);
  }
}

// Damaged templates render or throw Error; nothing else happens.
TEST(ChatTemplate, DamagedTemplatesAreRefusedOrRun) {
  Random random(5);
  std::vector<std::string> sources;
  for (const auto& entry : fs::directory_iterator(Folder())) {
    if (entry.path().extension() == ".jinja") sources.push_back(ReadFile(entry.path()));
  }
  const Json variables = {{"messages", {{{"role", "user"}, {"content", "hello"}}}},
                          {"add_generation_prompt", true}};
  const std::string pieces[] = {"{{", "}}", "{%", "%}", "-",   "|",    "[",     "]", "(",
                                ")",  "'",  "\\", "if", "for", "\xFF", "1e999", ":"};
  for (int round = 0; round < 3000; ++round) {
    std::string source = sources[random.Below(sources.size())];
    for (int change = 0; change < 3; ++change) {
      const size_t at = random.Below(source.size());
      switch (random.Below(3)) {
        case 0:
          source.erase(at, 1 + random.Below(8));
          break;
        case 1:
          source.insert(at, pieces[random.Below(std::size(pieces))]);
          break;
        default:
          source[at] = static_cast<char>(random.Below(256));
      }
    }
    try {
      RenderTemplate(ChatTemplate(source), variables);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace lowbit
