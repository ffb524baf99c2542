// A report as one HTML file: no script, no font, no picture from anywhere else, so that it can be mailed,
// kept beside the files it describes and opened offline. Follows the reader's light or dark setting and
// prints.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lowbit/report/chart.h"
#include "lowbit/report/table.h"

namespace lowbit::report {

// Everything is added in reading order, as plain text that is escaped.
class HtmlReport {
 public:
  explicit HtmlReport(std::string title) : title_(std::move(title)) {}

  void AddHeading(std::string_view text);
  void AddParagraph(std::string_view text);
  // What was measured where: a list of names and values.
  void AddFacts(const std::vector<std::pair<std::string, std::string>>& facts);
  // A table of more than 24 rows is folded; the reader opens it.
  void AddTable(const Table& table, std::string_view caption = {});
  void AddChart(const XyChart& chart) { body_ += Figure(ToSvg(chart)); }
  void AddChart(const BarChart& chart) { body_ += Figure(ToSvg(chart)); }
  // Text with its line ends: a command, a sample that a model wrote.
  void AddPreformatted(std::string_view text);

  std::string ToHtml() const;
  // Writes the file in one step (a reader never sees half of it). Throws Error naming the path.
  void Write(const std::filesystem::path& path) const;

 private:
  static std::string Figure(const std::string& svg) { return "<figure>\n" + svg + "</figure>\n"; }

  std::string title_, body_;
};

}  // namespace lowbit::report
