#include "lowbit/report/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/error.h"

namespace lowbit::report {
namespace {

TEST(Table, AlignsByCharactersNotBytes) {
  Table table({{"name"}, {"value", Align::kRight}});
  table.AddRow({"é", "1.5"});
  table.AddRow({"longer", "10"});
  EXPECT_EQ(table.ToText(), "name    value\n──────  ─────\né         1.5\nlonger     10\n");
}

TEST(Table, WideCharactersTakeTwoColumnsAndCombiningNone) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("日本"), 4u);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1u);
  Table table({{"name"}, {"n"}});
  table.AddRow({"日本", 1});
  table.AddRow({"abcd", 2});
  EXPECT_EQ(table.ToText(), "name  n\n────  ─\n日本  1\nabcd  2\n");
}

TEST(Table, NumbersGoRightAndUnitsStandInTheTitle) {
  Table table({{"layer"}, {"speed", Align::kRight, "tokens/s"}});
  table.AddRow({"q", Cell(12.345, 1)});
  table.AddRow({"long", 7});
  EXPECT_EQ(
      table.ToText(),
      "layer  speed (tokens/s)\n─────  ────────────────\nq                  12.3\nlong                  7\n");
}

TEST(Table, CellsKeepTheirNumber) {
  EXPECT_EQ(Cell(3).number(), 3.0);
  EXPECT_FALSE(Cell("3").number().has_value());
  EXPECT_EQ(Cell::Significant(1.2345e-5).text(), "1.23e-05");
  EXPECT_EQ(Cell::Significant(0.012345).text(), "0.0123");
  EXPECT_EQ(Cell(std::nan("")).text(), "–");
  EXPECT_EQ(Cell::Significant(std::numeric_limits<double>::infinity()).text(), "–");
}

TEST(Table, NamesFromFilesCannotReachTheTerminalAsControlCodes) {
  Table table({{"name"}});
  table.AddRow({"a\x1b[31m\nb\xff"});
  const std::string text = table.ToText();
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\xff'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(Table, ShortRowsAreFilledAndLongOnesRefused) {
  Table table({{"a"}, {"b"}});
  table.AddRow({"x"});
  EXPECT_EQ(table.ToText(), "a  b\n─  ─\nx\n");
  EXPECT_THROW(table.AddRow({"1", "2", "3"}), Error);
}

}  // namespace
}  // namespace lowbit::report
