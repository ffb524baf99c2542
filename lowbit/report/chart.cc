#include "lowbit/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/report/escape.h"
#include "lowbit/report/table.h"
#include "lowbit/text/utf8.h"

namespace lowbit::report {
namespace {

// Units of the view box: about CSS pixels at full width.
constexpr double kWidth = 760, kPlotHeight = 340;
constexpr double kCharacter = 6.7;  // mean advance of the 12-pixel labels
constexpr double kLine = 16, kLegendGap = 22, kRight = 24;
constexpr double kMostLabel = 250;
constexpr int kColours = 6;  // classes s0 ... s5 of the style sheet; more series start again with other marks

double WidthOf(std::string_view text) {
  return static_cast<double>(DisplayWidth(text)) * kCharacter;
}

// "model.layers…q_proj" when the whole is wider than `width`.
std::string Shortened(const std::string& text, double width) {
  if (WidthOf(text) <= width) return text;
  const size_t keep = static_cast<size_t>(width / kCharacter / 2) - 1;
  std::vector<std::string> characters;
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = NextUtf8(rest);
    characters.emplace_back(rest.substr(0, step.length));
    rest.remove_prefix(step.length);
  }
  if (characters.size() <= 2 * keep + 1) return text;
  std::string out;
  for (size_t i = 0; i < keep; ++i) out += characters[i];
  out += "…";
  for (size_t i = characters.size() - keep; i < characters.size(); ++i) out += characters[i];
  return out;
}

struct Box {
  double left, top, right, bottom;
  bool Overlaps(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool Holds(const Box& other) const {
    return left <= other.left && top <= other.top && other.right <= right && other.bottom <= bottom;
  }
};

struct LegendEntry {
  std::string name;
  bool marked = true;  // a line without marks otherwise
};

class Drawing {
 public:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    body_ += fmt::format(format, std::forward<Args>(args)...);
    body_ += '\n';
  }

  void Text(double x, double y, const char* classes, std::string_view text) {
    Add("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", classes, x, y, EscapeHtml(text));
  }

  void Mark(int series, double x, double y, std::string_view tip) {
    const std::string title = tip.empty() ? "" : "<title>" + EscapeHtml(tip) + "</title>";
    const int shape = (series + series / kColours) % 4;
    const int colour = series % kColours;
    switch (shape) {
      case 0:
        Add("<circle class=\"s{} f\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.2\">{}</circle>", colour, x, y, title);
        break;
      case 1:
        Add("<rect class=\"s{} f\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"7.4\" height=\"7.4\">{}</rect>", colour,
            x - 3.7, y - 3.7, title);
        break;
      case 2:
        Add("<path class=\"s{} f\" d=\"M{:.1f} {:.1f}l5 5l-5 5l-5 -5z\">{}</path>", colour, x, y - 5, title);
        break;
      default:
        Add("<path class=\"s{} f\" d=\"M{:.1f} {:.1f}l5 8.6h-10z\">{}</path>", colour, x, y - 5.4, title);
    }
  }

  // The legend from `x`, wrapped at the right edge; returns the height that it takes.
  double Legend(double x, double y, const std::vector<LegendEntry>& entries) {
    double at = x, line = y;
    for (size_t i = 0; i < entries.size(); ++i) {
      const LegendEntry& entry = entries[i];
      const double width = 16 + WidthOf(entry.name) + kLegendGap;
      if (at > x && at + width - kLegendGap > kWidth - kRight) at = x, line += kLine + 4;
      const int series = static_cast<int>(i);
      if (entry.marked) Mark(series, at + 5, line - 4, "");
      if (!entry.marked)
        Add("<path class=\"s{} l\" d=\"M{:.1f} {:.1f}h12\"/>", series % kColours, at, line - 4);
      Text(at + 16, line, "t", entry.name);
      at += width;
    }
    return entries.empty() ? 0 : line - y + kLine + 6;
  }

  std::string Finish(double height, const std::string& title) const {
    return fmt::format(
        "<svg class=\"chart\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
        kWidth, height, EscapeHtml(title), body_);
  }

 private:
  std::string body_;
};

double WidestLabel(const AxisRange& axis) {
  double widest = 0;
  for (const Tick& tick : axis.ticks()) widest = std::max(widest, WidthOf(tick.label));
  return widest;
}

class XyPlot {
 public:
  explicit XyPlot(const XyChart& chart)
      : chart_(chart), x_(chart.x, Values(&Point::x)), y_(chart.y, Values(&Point::y)) {}

  std::string Draw() {
    double top = 26;
    drawing_.Text(0, 14, "h", chart_.title);
    std::vector<LegendEntry> legend;
    for (const Series& s : chart_.series) legend.push_back({s.name, s.mark != Mark::kLine});
    if (legend.size() > 1) top += drawing_.Legend(0, top + 12, legend);
    top += 8 + kLine;
    drawing_.Text(0, top - 10, "t q", chart_.y.title);
    plot_ = {std::ceil(WidestLabel(y_)) + 10, top, kWidth - kRight, top + kPlotHeight};
    DrawGrid();
    bool any = false;
    for (size_t i = 0; i < chart_.series.size(); ++i) any |= DrawLine(static_cast<int>(i), chart_.series[i]);
    for (size_t i = 0; i < chart_.series.size(); ++i) DrawMarks(static_cast<int>(i), chart_.series[i]);
    DrawLevels();
    DrawLabels();
    if (!any) drawing_.Text((plot_.left + plot_.right) / 2, (plot_.top + plot_.bottom) / 2, "t c", "no data");
    return drawing_.Finish(plot_.bottom + 2 * kLine + 10, chart_.title);
  }

 private:
  std::vector<double> Values(double Point::*member) const {
    std::vector<double> values;
    for (const Series& s : chart_.series) {
      for (const Point& p : s.points) values.push_back(p.*member);
    }
    if (member == &Point::y) {
      for (const Level& level : chart_.levels) values.push_back(level.y);
    }
    return values;
  }

  bool CanDraw(const Point& p) const {
    return x_.CanDraw(p.x) && y_.CanDraw(p.y) && p.x >= x_.low() && p.x <= x_.high() && p.y >= y_.low() &&
           p.y <= y_.high();
  }
  double X(double value) const { return plot_.left + x_.Position(value) * (plot_.right - plot_.left); }
  double Y(double value) const { return plot_.bottom - y_.Position(value) * (plot_.bottom - plot_.top); }

  void DrawGrid() {
    for (const Tick& tick : y_.ticks()) {
      const double y = Y(tick.value);
      drawing_.Add("<path class=\"g\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", plot_.left, y, plot_.right);
      drawing_.Text(plot_.left - 8, y + 4, "t e", tick.label);
    }
    double last = -1e9;
    for (const Tick& tick : x_.ticks()) {
      const double x = X(tick.value);
      drawing_.Add("<path class=\"g\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>", x, plot_.top, plot_.bottom);
      const double half = WidthOf(tick.label) / 2;
      if (x - half < last + 6) continue;
      drawing_.Text(x, plot_.bottom + kLine + 2, "t c", tick.label);
      last = x + half;
    }
    drawing_.Add("<path class=\"a\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", plot_.left, plot_.bottom, plot_.right);
    drawing_.Text((plot_.left + plot_.right) / 2, plot_.bottom + 2 * kLine + 6, "t q c", chart_.x.title);
  }

  // A gap wherever a point cannot be drawn. Returns whether there is any point.
  bool DrawLine(int index, const Series& series) {
    std::string path;
    bool pen_down = false, any = false;
    for (const Point& p : series.points) {
      if (!CanDraw(p)) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", X(p.x), Y(p.y));
      pen_down = any = true;
    }
    if (any && series.mark != Mark::kPoints)
      drawing_.Add("<path class=\"s{} l\" d=\"{}\"/>", index % kColours, path);
    return any;
  }

  void DrawMarks(int index, const Series& series) {
    if (series.mark == Mark::kLine) return;
    for (const Point& p : series.points) {
      if (!CanDraw(p)) continue;
      const std::string place = fmt::format("{:.4g}, {:.4g}", p.x, p.y);
      drawing_.Mark(index, X(p.x), Y(p.y),
                    p.label.empty() ? series.name + ": " + place : p.label + ": " + place);
      taken_.push_back({X(p.x) - 5, Y(p.y) - 5, X(p.x) + 5, Y(p.y) + 5});
    }
  }

  void DrawLevels() {
    for (const Level& level : chart_.levels) {
      if (!y_.CanDraw(level.y) || level.y < y_.low() || level.y > y_.high()) continue;
      const double y = Y(level.y);
      drawing_.Add("<path class=\"v\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", plot_.left, y, plot_.right);
      const double width = WidthOf(level.label);
      // Above or below the line, at its right or left end.
      for (const double baseline : {y - 5, y + 14}) {
        bool done = false;
        for (const double end : {plot_.right - 2, plot_.left + 6 + width}) {
          const Box box = {end - width, baseline - 11, end, baseline + 3};
          if (!Free(box)) continue;
          drawing_.Text(end, baseline, "t q e", level.label);
          taken_.push_back(box);
          done = true;
          break;
        }
        if (done) break;
      }
    }
  }

  bool Free(const Box& box) const {
    return plot_.Holds(box) &&
           std::none_of(taken_.begin(), taken_.end(), [&](const Box& other) { return box.Overlaps(other); });
  }

  // Beside each point where nothing stands yet: right, left, above, below. A label without room stays in the
  // tool tip.
  void DrawLabels() {
    for (const Series& series : chart_.series) {
      for (const Point& p : series.points) {
        if (p.label.empty() || !CanDraw(p)) continue;
        const double x = X(p.x), y = Y(p.y), width = WidthOf(p.label);
        const struct {
          double left, baseline;
        } places[] = {{x + 9, y + 4},         {x + 7, y - 8},         {x + 7, y + 17},
                      {x - 9 - width, y + 4}, {x - 7 - width, y - 8}, {x - width / 2, y - 9},
                      {x - width / 2, y + 19}};
        for (const auto& place : places) {
          const Box box = {place.left, place.baseline - 10, place.left + width, place.baseline + 3};
          if (!Free(box)) continue;
          drawing_.Text(place.left, place.baseline, "t", p.label);
          taken_.push_back(box);
          break;
        }
      }
    }
  }

  const XyChart& chart_;
  AxisRange x_, y_;
  Box plot_ = {};
  Drawing drawing_;
  std::vector<Box> taken_;
};

}  // namespace

std::string ToSvg(const XyChart& chart) {
  return XyPlot(chart).Draw();
}

std::string ToSvg(const BarChart& chart) {
  std::vector<double> values;
  std::vector<std::string> names;
  for (const BarSeries& s : chart.series) {
    if (s.values.size() != chart.categories.size()) {
      Fail("chart \"{}\": {} has {} values for {} categories", chart.title, s.name, s.values.size(),
           chart.categories.size());
    }
    values.insert(values.end(), s.values.begin(), s.values.end());
    names.push_back(s.name);
  }
  Axis axis = chart.value;
  if (axis.scale == Scale::kLinear) {
    const auto finite = [](double v) { return std::isfinite(v); };
    if (!axis.min && std::none_of(values.begin(), values.end(), [&](double v) { return finite(v) && v < 0; }))
      axis.min = 0;
    if (!axis.max && std::none_of(values.begin(), values.end(), [&](double v) { return finite(v) && v > 0; }))
      axis.max = 0;
    if (axis.min == 0.0 && axis.max == 0.0) axis.max = 1;
  }
  const AxisRange range(axis, values);
  // Bars start at zero where the axis has one, otherwise at the low end.
  const double origin =
      axis.scale == Scale::kLinear ? std::clamp(0.0, range.low(), range.high()) : range.low();

  Drawing drawing;
  double top = 26;
  drawing.Text(0, 14, "h", chart.title);
  std::vector<LegendEntry> legend;
  for (const std::string& name : names) legend.push_back({name});
  if (legend.size() > 1) top += drawing.Legend(0, top + 12, legend);
  top += 6;
  double label_width = 0;
  std::vector<std::string> labels;
  for (const std::string& category : chart.categories) {
    labels.push_back(Shortened(category, kMostLabel));
    label_width = std::max(label_width, WidthOf(labels.back()));
  }
  constexpr double kValueRoom = 60;
  const double left = std::ceil(label_width) + 10, right = kWidth - kRight - kValueRoom;
  const double thickness = names.size() > 1 ? 11 : 14;
  const double bar = thickness + 2;
  const double group =
      bar * static_cast<double>(std::max<size_t>(1, names.size())) + (names.size() > 1 ? 10 : 6);
  const double bottom = top + group * static_cast<double>(std::max<size_t>(1, labels.size())) + 4;
  const auto at = [&](double value) { return left + range.Position(value) * (right - left); };
  for (const Tick& tick : range.ticks()) {
    drawing.Add("<path class=\"g\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>", at(tick.value), top, bottom);
    drawing.Text(at(tick.value), bottom + kLine, "t c", tick.label);
  }
  for (size_t c = 0; c < labels.size(); ++c) {
    const double group_top = top + group * static_cast<double>(c) + 4;
    drawing.Text(left - 8, group_top + bar * static_cast<double>(names.size()) / 2 + 3, "t e", labels[c]);
    for (size_t s = 0; s < names.size(); ++s) {
      const double value = chart.series[s].values[c];
      const double y = group_top + bar * static_cast<double>(s);
      const bool drawable = range.CanDraw(value);
      const double start = at(origin),
                   end = at(drawable ? std::clamp(value, range.low(), range.high()) : origin);
      const std::string shown = Cell::Significant(value).text();
      if (drawable) {
        drawing.Add(
            "<rect class=\"s{} f\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
            "height=\"{:.0f}\"><title>{}</title></rect>",
            s % kColours, std::min(start, end), y, std::max(1.0, std::abs(end - start)), thickness,
            EscapeHtml(chart.categories[c] + ", " + names[s] + ": " + shown));
      }
      drawing.Text(std::max(start, end) + 5, y + thickness / 2 + 4, "t", shown);
    }
  }
  drawing.Add("<path class=\"a\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>", at(origin), top, bottom);
  if (values.empty()) drawing.Text((left + right) / 2, (top + bottom) / 2 + 4, "t c", "no data");
  drawing.Text((left + right) / 2, bottom + 2 * kLine + 4, "t q c", chart.value.title);
  return drawing.Finish(bottom + 2 * kLine + 10, chart.title);
}

}  // namespace lowbit::report
