#include "lowbit/report/table.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"

namespace lowbit::report {
namespace {

TEST(Table, AlignsByCharactersNotBytes) {
  Table table({{"name"}, {"value", Align::kRight}});
  table.AddRow({"é", "1.5"});
  table.AddRow({"longer", "10"});
  EXPECT_EQ(table.ToText(), "name    value\n──────  ─────\né         1.5\nlonger     10\n");
}

TEST(Table, ShortRowsAreFilledAndLongOnesRefused) {
  Table table({{"a"}, {"b"}});
  table.AddRow({"x"});
  EXPECT_EQ(table.ToText(), "a  b\n─  ─\nx\n");
  EXPECT_THROW(table.AddRow({"1", "2", "3"}), Error);
}

}  // namespace
}  // namespace lowbit::report
