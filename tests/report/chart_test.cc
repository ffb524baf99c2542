#include "lowbit/report/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++count;
  return count;
}

TEST(AxisRange, TicksAreNiceInsideAndFew) {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const double a = (random.Uniform() - 0.5) * std::pow(10.0, static_cast<double>(random.Below(13)) - 6);
    const double b = a + random.Uniform() * std::pow(10.0, static_cast<double>(random.Below(13)) - 6);
    const AxisRange range({"", Scale::kLinear}, std::vector<double>{a, b});
    ASSERT_LT(range.low(), range.high());
    ASSERT_GE(range.ticks().size(), 2u) << a << " " << b;
    ASSERT_LE(range.ticks().size(), 8u) << a << " " << b;
    for (size_t k = 0; k < range.ticks().size(); ++k) {
      const double position = range.Position(range.ticks()[k].value);
      EXPECT_GE(position, -1e-6);
      EXPECT_LE(position, 1 + 1e-6);
      if (k > 0) {
        EXPECT_LT(range.ticks()[k - 1].value, range.ticks()[k].value);
      }
    }
    EXPECT_GE(range.Position(a), 0);
    EXPECT_LE(range.Position(std::max(a, b)), 1);
  }
}

TEST(AxisRange, NeighbouringTicksReadDifferently) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0, 1}, {2.5, 8}, {3.97, 4.02}, {1e-5, 4e-5}, {12000, 90000}, {0, 3e9}, {99.9, 100.1}, {-3, 5}}) {
    const AxisRange range({"", Scale::kLinear}, std::vector<double>{low, high});
    for (size_t k = 1; k < range.ticks().size(); ++k)
      EXPECT_NE(range.ticks()[k - 1].label, range.ticks()[k].label);
  }
  const AxisRange range({"", Scale::kLinear, 0, 10}, {});
  EXPECT_EQ(range.ticks().front().label, "0");
  EXPECT_EQ(range.ticks().back().label, "10");
}

TEST(AxisRange, ALabelSaysTheValueOfItsTick) {
  for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
    for (const double high : {0.02, 1.7, 30.0, 1234.0}) {
      const AxisRange range({"", scale}, std::vector<double>{high / 15, high});
      for (const Tick& tick : range.ticks()) EXPECT_NEAR(std::stod(tick.label), tick.value, 1e-9 * high);
    }
  }
}

TEST(AxisRange, LogTicksArePowersOfTen) {
  const AxisRange range({"", Scale::kLog}, std::vector<double>{1e-6, 1e-1});
  ASSERT_GE(range.ticks().size(), 4u);
  for (const Tick& tick : range.ticks()) {
    EXPECT_NEAR(std::log10(tick.value), std::round(std::log10(tick.value)), 1e-9);
  }
  EXPECT_EQ(range.ticks()[0].label, "10⁻⁶");
  // Equal ratios are equally far apart.
  EXPECT_NEAR(range.Position(1e-4) - range.Position(1e-5), range.Position(1e-2) - range.Position(1e-3),
              1e-12);
}

TEST(AxisRange, SkipsWhatCannotBeDrawn) {
  const AxisRange linear({"", Scale::kLinear}, std::vector<double>{kNaN, 1, kInfinity, 3, -kInfinity});
  EXPECT_NEAR(linear.low(), 0.9, 1e-12);
  EXPECT_NEAR(linear.high(), 3.1, 1e-12);
  const AxisRange log({"", Scale::kLog}, std::vector<double>{0, -5, 1, 100});
  EXPECT_GT(log.low(), 0.5);
  EXPECT_FALSE(log.CanDraw(0));
  EXPECT_FALSE(log.CanDraw(-1));
}

TEST(AxisRange, EmptyAndConstantDataHaveARange) {
  for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
    for (const std::vector<double>& values :
         {std::vector<double>{}, {kNaN}, {5.0, 5.0}, {0.0}, {1e300, 1e300}, {1e-300}}) {
      const AxisRange range({"", scale}, values);
      EXPECT_TRUE(std::isfinite(range.low()) && std::isfinite(range.high()));
      EXPECT_LT(range.low(), range.high());
      EXPECT_LT(range.ticks().size(), 20u);
    }
  }
}

XyChart RateQuality() {
  return {"Rate and quality",
          {"bits per weight"},
          {"perplexity", Scale::kLog},
          {{"gptq", {{2.3, 40, "int2-g64"}, {3.3, 14, "int3-g64"}, {4.3, 11, "int4-g64"}}},
           {"rtn", {{2.3, 900}, {3.3, 18}, {4.3, 11.5}}, Mark::kPoints}},
          {{10.5, "float"}}};
}

TEST(Svg, ALineWithoutMarksHasALineInTheLegend) {
  XyChart chart = RateQuality();
  chart.series[0].mark = Mark::kLine;
  const std::string svg = ToSvg(chart);
  EXPECT_EQ(Count(svg, "<circle"), 0u);
  EXPECT_EQ(Count(svg, "class=\"s0 l\""), 1u + 1u);
}

TEST(Svg, HasEverySeriesPointLevelAndLabel) {
  const std::string svg = ToSvg(RateQuality());
  EXPECT_EQ(Count(svg, "<circle"), 3u + 1u);  // points and the legend
  EXPECT_EQ(Count(svg, "<rect"), 3u + 1u);
  EXPECT_EQ(Count(svg, "class=\"s0 l\""), 1u);
  EXPECT_EQ(Count(svg, "class=\"s1 l\""), 0u);  // points only
  EXPECT_EQ(Count(svg, "class=\"v\""), 1u);
  for (const char* text :
       {"Rate and quality", "bits per weight", "perplexity", ">gptq<", ">rtn<", ">float<", ">int2-g64<"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(Count(svg, "<text"), Count(svg, "</text>"));
  EXPECT_EQ(svg, ToSvg(RateQuality()));
}

TEST(Svg, NoCoordinateIsOutsideOrNotANumber) {
  XyChart chart = RateQuality();
  chart.series[0].points = {{kNaN, 1},      {1, kNaN}, {2, -3},    {3, 0},
                            {4, kInfinity}, {5, 20},   {1e308, 3}, {6, 30}};
  const std::string svg = ToSvg(chart);
  EXPECT_EQ(Count(svg, "nan"), 0u);
  EXPECT_EQ(Count(svg, "inf"), 0u);
  const std::regex place("(?:cx|cy|x|y)=\"([-0-9.]+)\"");
  for (std::sregex_iterator i(svg.begin(), svg.end(), place), end; i != end; ++i) {
    const double value = std::stod((*i)[1]);
    EXPECT_GE(value, -1);
    EXPECT_LE(value, 780);
  }
}

TEST(Svg, AMissingPointIsAGapInTheLine) {
  const XyChart chart = {
      "t", {"x"}, {"y"}, {{"s", {{0, 1}, {1, 2}, {2, kNaN}, {3, 2}, {4, 1}}, Mark::kLine}}};
  const std::string svg = ToSvg(chart);
  const size_t at = svg.find("class=\"s0 l\"");
  ASSERT_NE(at, std::string::npos);
  const std::string path = svg.substr(at, svg.find('\n', at) - at);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'L'), 2);
}

TEST(Svg, NothingToDrawIsSaid) {
  EXPECT_NE(ToSvg(XyChart{"t", {"x"}, {"y"}, {}}).find("no data"), std::string::npos);
  EXPECT_NE(ToSvg(XyChart{"t", {"x"}, {"y"}, {{"s", {{kNaN, kNaN}}}}}).find("no data"), std::string::npos);
  EXPECT_NE(ToSvg(BarChart{"t", {"v"}, {}, {}}).find("no data"), std::string::npos);
}

TEST(Svg, BarsAreAsLongAsTheirValues) {
  const std::string svg = ToSvg(BarChart{"t", {"v"}, {"a", "b", "c"}, {{"s", {1, 2, kNaN}}}});
  std::vector<double> widths;
  const std::regex bar("width=\"([0-9.]+)\" height");
  for (std::sregex_iterator i(svg.begin(), svg.end(), bar), end; i != end; ++i)
    widths.push_back(std::stod((*i)[1]));
  ASSERT_EQ(widths.size(), 2u);
  EXPECT_NEAR(widths[1] / widths[0], 2, 0.01);
  EXPECT_NE(svg.find(">–</text>"), std::string::npos);  // the value that is not a number is said, not drawn
}

TEST(Svg, BarsNeedOneValueForEachCategory) {
  EXPECT_THROW(ToSvg(BarChart{"t", {"v"}, {"a", "b"}, {{"s", {1}}}}), Error);
}

TEST(Svg, EscapesNames) {
  const std::string svg = ToSvg(BarChart{"<t>", {"v & w"}, {"\"a\"<script>"}, {{"s'", {1}}, {"z", {2}}}});
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find("<t>"), std::string::npos);
  EXPECT_NE(svg.find("v &amp; w"), std::string::npos);
}

}  // namespace
}  // namespace lowbit::report
