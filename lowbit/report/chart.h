// Charts as SVG: lines and points (rate against quality), horizontal bars (errors of layers, speeds).
//
// An SVG stands alone in an HTML page of lowbit/report/html.h, whose style sheet gives the classes their
// colours, in light and dark. The same chart gives the same bytes on every machine. What cannot be drawn (a
// value that is not finite, or not positive on a log axis) leaves a gap and is never drawn at a wrong place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/report/axis.h"

namespace lowbit::report {

struct Point {
  double x, y;
  std::string label = {};  // beside the point where there is room; always in its tool tip
};

enum class Mark : uint8_t { kLine, kPoints, kLineAndPoints };

struct Series {
  std::string name;  // in the legend
  std::vector<Point> points;
  Mark mark = Mark::kLineAndPoints;
};

// A level to compare with: a dashed line across the chart.
struct Level {
  double y;
  std::string label;
};

struct XyChart {
  std::string title;
  Axis x, y;
  std::vector<Series> series;
  std::vector<Level> levels = {};
};

struct BarSeries {
  std::string name;
  std::vector<double> values;  // one for each category
};

struct BarChart {
  std::string title;
  Axis value;  // a linear axis starts at 0 unless told otherwise
  std::vector<std::string> categories;
  std::vector<BarSeries> series;
};

// Throws Error when a series of bars has not one value for each category.
std::string ToSvg(const XyChart& chart);
std::string ToSvg(const BarChart& chart);

}  // namespace lowbit::report
