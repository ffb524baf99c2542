#include "lowbit/report/html.h"

#include <fmt/format.h>

#include "lowbit/base/version.h"
#include "lowbit/io/file.h"
#include "lowbit/report/escape.h"

namespace lowbit::report {
namespace {

constexpr size_t kFoldedRows = 24;

// Colours: the series of charts stay apart for colour-blind readers and on both backgrounds.
constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --ground: #fdfdfc; --card: #ffffff; --ink: #1d2126; --quiet: #5d6670; --rule: #dde1e5;
  --s0: #0b6bb0; --s1: #d1560f; --s2: #0c8a64; --s3: #a6407f; --s4: #b08400; --s5: #5b6b7a; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1b1f24; --ink: #e4e7ea; --quiet: #9aa4ae;
  --rule: #333a42; --s0: #5fb3f0; --s1: #f58a4b; --s2: #4cc79f; --s3: #dd86bd; --s4: #e0bb4a; --s5: #a3b1be; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1.25rem; letter-spacing: -0.01em; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.75rem 0 0.75rem; }
p { max-width: 44rem; margin: 0.75rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.5rem; margin: 1rem 0; font-size: 0.92rem; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.5rem; }
th { text-align: left; font-weight: 600; vertical-align: bottom; border-bottom: 2px solid var(--rule); }
td { border-bottom: 1px solid var(--rule); }
th, td { padding: 0.35rem 1.25rem 0.35rem 0; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0.25rem; }
.n { text-align: right; }
summary { cursor: pointer; color: var(--quiet); font-size: 0.92rem; }
figure { margin: 1.5rem 0; padding: 1rem 1.1rem; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
pre { font: 0.88rem/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 0.9rem 1.1rem; }
footer { margin-top: 3rem; color: var(--quiet); font-size: 0.85rem; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
.chart .t { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
.chart .h { font-size: 15px; font-weight: 600; }
.chart .q { fill: var(--quiet); }
.chart .c { text-anchor: middle; }
.chart .e { text-anchor: end; }
.chart .g { stroke: var(--rule); stroke-width: 1; fill: none; }
.chart .a { stroke: var(--quiet); stroke-width: 1.2; fill: none; }
.chart .v { stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 5 4; fill: none; }
.chart .l { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0.f { fill: var(--s0); } .s1.f { fill: var(--s1); } .s2.f { fill: var(--s2); }
.s3.f { fill: var(--s3); } .s4.f { fill: var(--s4); } .s5.f { fill: var(--s5); }
.s0.l { stroke: var(--s0); } .s1.l { stroke: var(--s1); } .s2.l { stroke: var(--s2); }
.s3.l { stroke: var(--s3); } .s4.l { stroke: var(--s4); } .s5.l { stroke: var(--s5); }
@media print { :root { --ground: #fff; --card: #fff; } figure, tr { break-inside: avoid; } }
)css";

}  // namespace

void HtmlReport::AddHeading(std::string_view text) {
  body_ += "<h2>" + EscapeHtml(text) + "</h2>\n";
}

void HtmlReport::AddParagraph(std::string_view text) {
  body_ += "<p>" + EscapeHtml(text) + "</p>\n";
}

void HtmlReport::AddFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  body_ += "<dl>\n";
  for (const auto& [name, value] : facts) {
    body_ += "<dt>" + EscapeHtml(name) + "</dt><dd>" + EscapeHtml(value) + "</dd>\n";
  }
  body_ += "</dl>\n";
}

void HtmlReport::AddTable(const Table& table, std::string_view caption) {
  const std::vector<Column>& columns = table.columns();
  const bool folded = table.rows().size() > kFoldedRows;
  if (folded) body_ += fmt::format("<details><summary>{} rows</summary>\n", table.rows().size());
  body_ += "<div class=\"scroll\"><table>\n";
  if (!caption.empty()) body_ += "<caption>" + EscapeHtml(caption) + "</caption>\n";
  body_ += "<thead><tr>";
  for (const Column& column : columns) {
    const char* place = column.align == Align::kRight ? " class=\"n\"" : "";
    body_ += fmt::format("<th scope=\"col\"{}>{}</th>", place, EscapeHtml(column.heading()));
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (const std::vector<Cell>& row : table.rows()) {
    body_ += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const bool right = row[i].number() || columns[i].align == Align::kRight;
      body_ += fmt::format("<td{}>{}</td>", right ? " class=\"n\"" : "", EscapeHtml(row[i].text()));
    }
    body_ += "</tr>\n";
  }
  body_ += folded ? "</tbody></table></div></details>\n" : "</tbody></table></div>\n";
}

void HtmlReport::AddPreformatted(std::string_view text) {
  body_ += "<pre>" + EscapeHtml(text) + "</pre>\n";
}

std::string HtmlReport::ToHtml() const {
  // The policy makes a reader's browser refuse whatever is not in this file.
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n{2}"
      "<footer>lowbit {3}</footer>\n</main>\n</body>\n</html>\n",
      EscapeHtml(title_), kStyle, body_, Version());
}

void HtmlReport::Write(const std::filesystem::path& path) const {
  WriteFile(path, ToHtml());
}

}  // namespace lowbit::report
