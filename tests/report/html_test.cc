#include "lowbit/report/html.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/report/escape.h"

namespace lowbit::report {
namespace {

HtmlReport Example() {
  HtmlReport report("What was lost <here>");
  report.AddParagraph("Rounding & solving: 4 < 16 bits.");
  report.AddFacts({{"model", "a \"quoted\" name"}, {"threads", "2"}});
  Table table({{"format"}, {"perplexity", Align::kRight}});
  table.AddRow({"int4-g64", Cell(11.25, 2)});
  table.AddRow({"int3-g64", Cell(14.5, 2)});
  report.AddTable(table, "On held-out text");
  report.AddHeading("Charts");
  report.AddChart(XyChart{"Rate", {"bits"}, {"perplexity"}, {{"gptq", {{3, 14.5}, {4, 11.25}}}}});
  report.AddChart(
      BarChart{"Error", {"relative error", Scale::kLog}, {"q_proj", "k_proj"}, {{"gptq", {1e-3, 2e-4}}}});
  report.AddPreformatted("once\n  upon <a> time");
  return report;
}

// Every element that is opened is closed, in order.
void ExpectBalanced(const std::string& html) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z0-9]+)([^>]*)>");
  for (std::sregex_iterator i(html.begin(), html.end(), tag), end; i != end; ++i) {
    const std::string name = (*i)[2], rest = (*i)[3];
    if (name == "meta" || (!rest.empty() && rest.back() == '/')) continue;
    if ((*i)[1].length() == 0) {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty()) << name;
      EXPECT_EQ(open.back(), name);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
}

TEST(EscapeHtml, LeavesNothingThatIsMarkup) {
  EXPECT_EQ(EscapeHtml("<a href=\"x\">'&amp;"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;");
  EXPECT_EQ(EscapeHtml("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(EscapeHtml(std::string_view("\0\x1b\xff", 3)), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(EscapeHtml("größer ▁ 日本"), "größer ▁ 日本");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string escaped = EscapeHtml(std::string(1, static_cast<char>(byte)));
    EXPECT_EQ(escaped.find_first_of("<>\"'"), std::string::npos) << byte;
  }
}

TEST(HtmlReport, IsOneBalancedFileThatAsksForNothing) {
  const std::string html = Example().ToHtml();
  EXPECT_EQ(html.substr(0, 15), "<!doctype html>");
  ExpectBalanced(html);
  for (const char* outside :
       {"http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<img", "<iframe"}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
  EXPECT_EQ(html, Example().ToHtml());
}

TEST(HtmlReport, ShowsWhatWasAddedEscapedAndInOrder) {
  const std::string html = Example().ToHtml();
  size_t at = 0;
  for (const char* text :
       {"<title>What was lost &lt;here&gt;</title>", "Rounding &amp; solving: 4 &lt; 16 bits.",
        "a &quot;quoted&quot; name", "<caption>On held-out text",
        "<th scope=\"col\" class=\"n\">perplexity</th>", "<td>int4-g64</td><td class=\"n\">11.25</td>",
        "<h2>Charts</h2>", "<svg", "<svg", "upon &lt;a&gt; time"}) {
    at = html.find(text, at);
    ASSERT_NE(at, std::string::npos) << text;
    ++at;
  }
}

TEST(HtmlReport, FoldsLongTables) {
  Table table({{"row"}});
  for (int i = 0; i < 100; ++i) table.AddRow({i});
  HtmlReport report("t");
  report.AddTable(table);
  const std::string html = report.ToHtml();
  EXPECT_NE(html.find("<summary>100 rows</summary>"), std::string::npos);
  ExpectBalanced(html);
}

TEST(HtmlReport, WritesItsFileAndNamesAPathThatCannotBe) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "lowbit_report_test.html";
  Example().Write(path);
  EXPECT_EQ(ReadFile(path), Example().ToHtml());
  std::filesystem::remove(path);
  try {
    Example().Write("/no/such/folder/report.html");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/folder"), std::string::npos);
  }
}

}  // namespace
}  // namespace lowbit::report
