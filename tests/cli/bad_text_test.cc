// Texts and prompts that cannot be used, and options out of range.
#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

const std::string kModel = "'" + kEmbedded.string() + "'";

class BadText : public testing::Test {
 protected:
  fs::path Text(const std::string& name, const std::string& text) const {
    WriteText(folder_ / name, text);
    return folder_ / name;
  }
  void ExpectRefused(const fs::path& text, const std::string& message) const {
    ExpectFailure(RunProgram("quantize " + kModel + " -o '" + (folder_ / "q").string() + "' --text '" +
                             text.string() + "'"),
                  1, text.string(), message);
    EXPECT_FALSE(fs::exists(folder_ / "q"));
    EXPECT_FALSE(fs::exists(folder_ / "q.work"));
    for (const char* scoring : {"documents", "llama.cpp"}) {
      ExpectFailure(RunProgram("eval " + kModel + " --text '" + text.string() + "' --scoring " + scoring), 1,
                    text.string(), message);
    }
  }

  const ScratchFolder folder_;
};

TEST_F(BadText, IsNamedByEveryCommandThatReadsIt) {
  ExpectRefused(Text("empty.txt", ""), "empty");
  ExpectRefused(Text("latin1.txt", "Gr\xfc\xdf Gott"), "not UTF-8: byte 2 (0xfc)");
  ExpectRefused(Text("cut.txt", "na\xc3"), "not UTF-8: byte 2 (0xc3)");
  ExpectRefused(Text("utf16.txt", std::string("\xff\xfeO\0n\0", 6)), "not UTF-8: byte 0");
  ExpectRefused(Text("object.json", "{}"), "a JSON array of strings");
  ExpectRefused(Text("none.json", "[]"), "empty");
  ExpectRefused(Text("cut.json", "[\"a\","), "not valid JSON");
  ExpectRefused(Text("number.json", "[\"a\", 5]"), "entry 1");
  ExpectRefused(folder_ / "missing.txt", "cannot open");
  ExpectRefused(folder_.path(), "is a folder");
}

TEST_F(BadText, TooShortIsNamedWithWhatIsNeeded) {
  const std::string text = Text("short.txt", "It was").string();
  ExpectFailure(RunProgram("quantize " + kModel + " -o '" + (folder_ / "q").string() + "' --text '" + text +
                           "' --length 64"),
                1, text, "needs 64", "--length");
  ExpectFailure(RunProgram("eval " + kModel + " --text '" + text + "' --scoring llama.cpp"), 1, text,
                "--context");
  ExpectFailure(RunProgram("eval " + kModel + " --text '" + Text("blank.json", "[\"\"]").string() + "'"), 1,
                "blank.json", "nothing to score");
}

TEST_F(BadText, PromptsAreChecked) {
  const auto generate = [&](const std::string& options) {
    return RunProgram("generate " + kModel + " -n 2 " + options);
  };
  ExpectFailure(generate("--prompt \"$(printf 'Gr\\374')\""), 1, "--prompt", "not UTF-8: byte 2");
  ExpectFailure(generate("--prompt-file '" + Text("bad.txt", "a\xff").string() + "'"), 1, "bad.txt",
                "not UTF-8: byte 1");
  const Outcome piped = RunShell("printf 'a\\377' | '" + kProgram + "' generate " + kModel + " -n 2");
  ExpectFailure(piped, 1, "standard input", "not UTF-8");
  std::string words;
  for (int i = 0; i < 400; ++i) words += "it was the best of times ";
  const std::string file = Text("long.txt", words).string();
  const Outcome outcome = generate("--prompt-file '" + file + "'");
  ExpectFailure(outcome, 1, "the context holds 512", "--ctx");
  EXPECT_FALSE(outcome.Says("best of times")) << "the prompt was shown before it was refused";
  ExpectFailure(generate("--prompt 'it was the best of times' --ctx 3"), 1, "the context holds 3");
}

TEST_F(BadText, AReferenceWithOtherTokensIsRefused) {
  // The same model with the pieces of two tokens exchanged: the same vocabulary size, other meanings.
  const CopiedModel other;
  std::string pieces = ReadFile(other / "tokenizer.model");
  const std::string the = "\xe2\x96\x81the", and_ =
                                                 "\xe2\x96\x81"
                                                 "and";
  const size_t at_the = pieces.find(the), at_and = pieces.find(and_);
  ASSERT_NE(at_the, std::string::npos);
  ASSERT_NE(at_and, std::string::npos);
  pieces.replace(at_the, the.size(), and_);
  pieces.replace(at_and, and_.size(), the);
  WriteText(other / "tokenizer.model", pieces);
  const std::string text = Text("a.txt", "the cat and the dog").string();
  ExpectFailure(
      RunProgram("eval " + kModel + " --reference '" + other.path().string() + "' --text '" + text + "'"), 1,
      other.path().string(), "tokenizer");
}

TEST_F(BadText, WrongUsageExitsWithTwo) {
  const std::string text = Text("a.txt", "It was the best of times").string(), q = (folder_ / "q").string();
  const std::string quantize = "quantize " + kModel + " -o '" + q + "' --recipe rtn ";
  for (const std::string& command :
       {quantize + "--bits 9",
        quantize + "--bits x",
        quantize + "--group 7",
        quantize + "--group -1",
        quantize + "--format int4-g",
        quantize + "--embedding int4-g7",
        quantize + "--tensor foo",
        quantize + "--tensor '(=skip'",
        quantize + "--tensor nothing=skip",
        quantize + "--tensor q_proj=int9",
        quantize + "--seed -1",
        quantize + "--threads -1",
        quantize + "--order zz",
        quantize + "--no-such-option",
        "quantize " + kModel + " -o '" + q + "' --recipe foo",
        "quantize " + kModel + " -o '" + q + "' --recipe gptq",
        "quantize " + kModel + " -o '" + q + "' --samples 0 --text '" + text + "'",
        "quantize " + kModel + " -o '" + q + "' --length 1 --text '" + text + "'",
        "eval " + kModel + " --text '" + text + "' --context -3",
        "eval " + kModel + " --text '" + text + "' --context 3",
        "eval " + kModel + " --text '" + text + "' --context 5000",
        "eval " + kModel + " --text '" + text + "' --max-tokens -1",
        "generate " + kModel + " --prompt a -n -1",
        "generate " + kModel + " --prompt a --temperature nan",
        "generate " + kModel + " --prompt a --temperature inf",
        "generate " + kModel + " --prompt a --top-p 2",
        "generate " + kModel + " --prompt a --top-k -1",
        "generate " + kModel + " --prompt a --repeat-penalty 0",
        "generate " + kModel + " --prompt a --ctx 0",
        "generate " + kModel + " --prompt a --system b",
        "generate " + kModel + " --prompt-file /no/such",
        std::string("bench"),
        std::string("bench --shape foo"),
        "bench " + kModel + " --decode 600",
        "bench " + kModel + " --repeats 0",
        std::string("reproduce gptq"),
        std::string("reproduce foo --data /"),
        std::string("report -o r.html"),
        "export " + kModel + " -o a --to onnx"}) {
    SCOPED_TRACE(command);
    const Outcome outcome = RunProgram(command);
    EXPECT_EQ(outcome.code, 2) << outcome.output;
    EXPECT_FALSE(outcome.output.empty());
    EXPECT_EQ(Listing(folder_.path()), "a.txt");
  }
}

TEST_F(BadText, AReportShowsWhatLimitsMeasured) {
  const std::string page = (folder_ / "limits.html").string(), again = (folder_ / "r.html").string();
  const Outcome measured = RunProgram(
      "limits --law gauss --law laplace --values 4096 --format int4-g32 "
      "--format nf4-g64 --json -o '" +
      page + "'");
  ASSERT_EQ(measured.code, 0) << measured.output;
  const std::string json = Text("limits.json", measured.output).string();
  const Outcome reported = RunProgram("report -o '" + again + "' '" + json + "'");
  ASSERT_EQ(reported.code, 0) << reported.output;
  // The same sections, from the first source on.
  const auto sections = [](const std::string& path) {
    const std::string html = ReadFile(path);
    return html.substr(std::min(html.size(), html.find("<h2>Gaussian<")));
  };
  EXPECT_GT(sections(page).size(), 1000U);
  EXPECT_EQ(sections(again), sections(page));
}

TEST_F(BadText, AReportNamesTheFileItCannotUse) {
  const auto expect = [&](const std::string& name, const std::string& json, const std::string& message) {
    const std::string path = Text(name, json).string();
    ExpectFailure(RunProgram("report -o '" + (folder_ / "r.html").string() + "' '" + path + "'"), 1, path,
                  message);
    EXPECT_FALSE(fs::exists(folder_ / "r.html"));
  };
  expect("cut.json", "{\"perplexity\": 1", "not valid JSON");
  expect("list.json", "[]", "--json");
  expect("other.json", "{\"a\": 1}", "no command");
  expect("tests.json", "{\"tests\": 5}", "\"tests\" must be a list");
  expect("layers.json", "{\"layers\": [1]}", "\"layers\" must hold objects");
  expect("claims.json", "{\"claims\": [{\"id\": 5}]}", "\"id\" must be a string");
  expect("text.json", "{\"text\": 4, \"prompt_tokens\": 1}", "\"text\" must be a string");
  expect("limits.json", R"({"sources": [{"name": "a", "formats": [{"name": "int4"}]}]})", "\"formats\"");
  expect("bound.json", R"({"sources": [{"name": "a", "formats": [], "advice": [], "bound": [1]}]})",
         "\"bound\"");
  const std::string odd =
      Text("odd.json", "{\"perplexity\": \"x\", \"bytes\": -5, \"bits_per_weight\": 1e300}").string();
  EXPECT_EQ(RunProgram("report -o '" + (folder_ / "r.html").string() + "' '" + odd + "'").code, 0);
}

}  // namespace
}  // namespace lowbit
