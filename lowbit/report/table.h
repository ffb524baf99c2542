// Tables for the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowbit::report {

enum class Align : uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;  // numbers go right
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Missing cells are empty. Throws Error when there are more cells than columns.
  void AddRow(std::vector<std::string> cells);

  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

  // Columns two spaces apart, a rule under the titles, no trailing blanks; ends with a newline.
  std::string ToText() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Terminal columns that `text` takes: one for each code point (no wide or combining characters).
size_t DisplayWidth(const std::string& text);

}  // namespace lowbit::report
