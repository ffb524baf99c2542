#include "lowbit/report/table.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit::report {

size_t DisplayWidth(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

void Table::AddRow(std::vector<std::string> cells) {
  if (cells.size() > columns_.size()) Fail("a table of {} columns was given {} cells", columns_.size(), cells.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToText() const {
  std::vector<size_t> width;
  for (const Column& column : columns_) width.push_back(DisplayWidth(column.title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], DisplayWidth(row[i]));
  }
  std::string text;
  const auto line = [&](auto&& cell) {
    std::string out;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string content = cell(i);
      const std::string padding(width[i] - DisplayWidth(content), ' ');
      out += columns_[i].align == Align::kRight ? padding + content : content + padding;
      if (i + 1 < columns_.size()) out += "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    text += out + "\n";
  };
  line([&](size_t i) { return columns_[i].title; });
  line([&](size_t i) {
    std::string rule;
    for (size_t k = 0; k < width[i]; ++k) rule += "─";
    return rule;
  });
  for (const auto& row : rows_) line([&](size_t i) { return row[i]; });
  return text;
}

}  // namespace lowbit::report
