// Tables: typed cells under titled columns, for the terminal and (lowbit/report/html.h) for a report.
//
//   report::Table table({{"layer"}, {"error", Align::kRight}, {"speed", Align::kRight, "tokens/s"}});
//   table.AddRow({"q_proj", report::Cell(0.0123, 4), 812});
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit::report {

enum class Align : uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;  // of the title and of texts; numbers always go right
  std::string unit;            // shown in the title: "speed (tokens/s)"; empty: none

  std::string heading() const { return unit.empty() ? title : title + " (" + unit + ")"; }
};

// One cell: a text, or a number with the text that shows it. A number that is not finite is shown as "–".
class Cell {
 public:
  Cell() = default;
  Cell(std::string text) : text_(std::move(text)) {}
  Cell(const char* text) : text_(text) {}
  Cell(std::string_view text) : text_(text) {}
  template <std::integral T>
  Cell(T value) : text_(std::to_string(value)), number_(static_cast<double>(value)) {}
  // `digits` after the decimal point.
  explicit Cell(double value, int digits = 3);
  // As a person writes it at `digits` significant digits: "1.23e-05", "0.0123", "123".
  static Cell Significant(double value, int digits = 3);

  const std::string& text() const { return text_; }
  const std::optional<double>& number() const { return number_; }

 private:
  std::string text_;
  std::optional<double> number_;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Missing cells are empty. Throws Error when there are more cells than columns.
  void AddRow(std::vector<Cell> cells);

  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }

  // Columns two spaces apart, a rule under the titles, no trailing blanks; ends with a newline. Control
  // characters (a name may come from a foreign file) and ill-formed UTF-8 are shown as U+FFFD.
  std::string ToText() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// Terminal columns that `text` takes: two for a wide character, none for a combining one.
size_t DisplayWidth(std::string_view text);

}  // namespace lowbit::report
