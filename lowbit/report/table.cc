#include "lowbit/report/table.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/report/escape.h"
#include "lowbit/text/utf8.h"

namespace lowbit::report {
Cell::Cell(double value, int digits)
    : text_(std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "–"), number_(value) {}

Cell Cell::Significant(double value, int digits) {
  Cell cell(value, 0);
  if (std::isfinite(value)) cell.text_ = fmt::format("{:.{}g}", value, digits);
  return cell;
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    width += static_cast<size_t>(std::max(0, utf8proc_charwidth(static_cast<utf8proc_int32_t>(step.point))));
    text.remove_prefix(step.length);
  }
  return width;
}

void Table::AddRow(std::vector<Cell> cells) {
  if (cells.size() > columns_.size())
    Fail("a table of {} columns was given {} cells", columns_.size(), cells.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToText() const {
  struct Shown {
    std::string text;
    size_t width;
    Align align;
  };
  std::vector<std::vector<Shown>> lines(1 + rows_.size());
  std::vector<size_t> width(columns_.size());
  for (size_t line = 0; line < lines.size(); ++line) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Cell heading = columns_[i].heading();
      const Cell& cell = line == 0 ? heading : rows_[line - 1][i];
      std::string text = EscapeTerminal(cell.text());
      const size_t columns = DisplayWidth(text);
      lines[line].push_back({std::move(text), columns, cell.number() ? Align::kRight : columns_[i].align});
      width[i] = std::max(width[i], columns);
    }
  }
  std::string out;
  for (size_t line = 0; line < lines.size(); ++line) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Shown& shown = lines[line][i];
      const std::string padding(width[i] - shown.width, ' ');
      if (i > 0) out += "  ";
      out += shown.align == Align::kRight ? padding + shown.text : shown.text + padding;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
    if (line > 0) continue;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) out += "  ";
      for (size_t k = 0; k < width[i]; ++k) out += "─";
    }
    out += '\n';
  }
  return out;
}

}  // namespace lowbit::report
