#include "cli/distortion_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit::cli {
namespace {

using nlohmann::json;

// What JSON cannot hold, an infinite gap, stands as null.
double Number(const json& j, const char* key) {
  return j.contains(key) && j[key].is_number() ? j[key].get<double>() : NAN;
}

report::XyChart ChartOf(const json& source) {
  report::XyChart chart{.title = source.at("name"),
                        .x = {.title = "bits a value", .min = 0.0},
                        .y = {.title = "relative squared error", .scale = report::Scale::kLog}};
  report::Series bound{.name = "bound", .points = {}, .mark = report::Mark::kLine};
  report::Series stored{.name = "as stored", .points = {}, .mark = report::Mark::kPoints},
      coded{.name = "after ideal entropy coding", .points = {}, .mark = report::Mark::kPoints};
  double most = 0;
  for (const json& f : source.at("formats")) {
    const double bits = Number(f, "bits"), mse = Number(f, "mse");
    most = std::max(most, bits);
    stored.points.push_back({bits, mse, f.at("name")});
    coded.points.push_back({Number(f, "coded_bits"), mse, f.at("name")});
  }
  for (const json& point : source.at("bound")) {
    if (point[0] <= most) bound.points.push_back({point[0], point[1]});
  }
  chart.series = {bound, stored, coded};
  return chart;
}

}  // namespace

void CheckDistortions(const json& source, const std::string& where) {
  const auto require = [&](bool good, const char* what) {
    if (!good) Fail("{}: a source of \"sources\" must have {}", where, what);
  };
  const auto is_text = [](const json& object, const char* key) {
    return object.is_object() && object.contains(key) && object[key].is_string();
  };
  const auto list = [&](const char* key, const char* what, auto good) {
    require(source.contains(key) && source[key].is_array() &&
                std::all_of(source[key].begin(), source[key].end(), good),
            what);
  };
  require(is_text(source, "name"), "a \"name\"");
  list("formats", "\"formats\", a list of objects with \"name\" and \"exact_in\"",
       [&](const json& f) { return is_text(f, "name") && is_text(f, "exact_in"); });
  list("advice", "\"advice\", a list of objects with a \"text\"",
       [&](const json& a) { return is_text(a, "text"); });
  list("bound", "\"bound\", a list of pairs of numbers",
       [](const json& p) { return p.is_array() && p.size() == 2 && p[0].is_number() && p[1].is_number(); });
}

std::string AboutSource(const json& source) {
  return fmt::format("{:.0f} values in rows of {:.0f}, kurtosis {:.1f} (Gaussian: 3)",
                     Number(source, "values"), Number(source, "row"), Number(source, "kurtosis"));
}

std::string BelowTheBound(const json& source) {
  const json& formats = source.at("formats");
  const auto below = std::count_if(formats.begin(), formats.end(),
                                   [](const json& f) { return Number(f, "gap_db") < -0.05; });
  if (below == 0) return "";
  return fmt::format(
      "{} {} below the bound: it takes values as independent draws from one histogram, and scales of rows or "
      "groups know more than that.",
      below, below == 1 ? "format lies" : "formats lie");
}

report::Table DistortionTable(const std::vector<json>& formats) {
  report::Table table({{"format"},
                       {"bits", report::Align::kRight},
                       {"mse", report::Align::kRight},
                       {"bound", report::Align::kRight},
                       {"gap", report::Align::kRight, "dB"},
                       {"gap", report::Align::kRight, "bits"},
                       {"coded bits", report::Align::kRight},
                       {"coded gap", report::Align::kRight, "bits"},
                       {"exact in"}});
  for (const json& f : formats) {
    const auto cell = [&](const char* key, int digits) { return report::Cell(Number(f, key), digits); };
    table.AddRow({f.at("name").get<std::string>(), report::Cell(Number(f, "bits")), cell("mse", 6),
                  cell("bound", 6), cell("gap_db", 2), cell("gap_bits", 3),
                  report::Cell(Number(f, "coded_bits")), cell("coded_gap_bits", 3),
                  f.at("exact_in").get<std::string>()});
  }
  return table;
}

void AddDistortions(const json& source, report::HtmlReport& page) {
  page.AddHeading(source.at("name").get<std::string>());
  page.AddParagraph(AboutSource(source));
  page.AddChart(ChartOf(source));
  for (const json& advice : source.at("advice")) page.AddParagraph(advice.at("text").get<std::string>());
  if (const std::string text = BelowTheBound(source); !text.empty()) page.AddParagraph(text);
  page.AddTable(DistortionTable(source.at("formats")));
}

}  // namespace lowbit::cli
