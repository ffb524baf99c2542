// Collects what the other commands measured (their --json output) into one page that works offline.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "cli/distortion_page.h"
#include "cli/output_path.h"
#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/io/json.h"
#include "lowbit/report/html.h"

namespace lowbit::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Options {
  std::string output, title = "lowbit report";
  std::vector<std::string> inputs;
};

struct Named {
  std::string name;
  json value;
};

double Number(const json& j, const char* key) {
  return j.contains(key) && j[key].is_number() ? j[key].get<double>() : NAN;
}

// A number of bytes for people; what is missing or none is shown as such.
std::string BytesOf(const json& j, const char* key) {
  const double bytes = Number(j, key);
  return bytes >= 0 && bytes < 1e18 ? Bytes(static_cast<size_t>(bytes)) : "–";
}

// What eval printed: one row a model, and quality against bits.
void AddEvaluations(const std::vector<Named>& evaluations, report::HtmlReport& page) {
  if (evaluations.empty()) return;
  page.AddHeading("Quality");
  report::Table table({{"model"},
                       {"bits per weight", report::Align::kRight},
                       {"in linear layers", report::Align::kRight},
                       {"file", report::Align::kRight},
                       {"perplexity", report::Align::kRight},
                       {"bits per byte", report::Align::kRight},
                       {"KL, mean", report::Align::kRight},
                       {"top-1 agreement", report::Align::kRight}});
  report::XyChart perplexity{.title = "Perplexity against size",
                             .x = {.title = "bits per weight, all weights"},
                             .y = {.title = "perplexity"}};
  report::XyChart divergence{.title = "Divergence against size",
                             .x = {.title = "bits per weight in linear layers"},
                             .y = {.title = "mean KL to the reference (nats)", .scale = report::Scale::kLog}};
  report::Series quality{.name = "models", .points = {}, .mark = report::Mark::kPoints}, kl = quality;
  for (const auto& [name, e] : evaluations) {
    const double bits = Number(e, "bits_per_weight"), linear = Number(e, "bits_per_weight_linear"),
                 divergent = Number(e, "kl_mean");
    table.AddRow({name, report::Cell(bits), report::Cell(linear), BytesOf(e, "bytes"),
                  report::Cell(Number(e, "perplexity")), report::Cell(Number(e, "bits_per_byte"), 4),
                  report::Cell(divergent, 5), report::Cell(Number(e, "top1_agreement"), 4)});
    quality.points.push_back({bits, Number(e, "perplexity"), name});
    if (divergent > 0) kl.points.push_back({linear, divergent, name});
  }
  page.AddTable(table, "Protocol: " + evaluations[0].value.value("protocol", ""));
  perplexity.series.push_back(quality);
  page.AddChart(perplexity);
  if (!kl.points.empty()) {
    divergence.series.push_back(kl);
    page.AddChart(divergence);
  }
}

// What quantize printed: the errors of every layer.
void AddLayers(const Named& run, report::HtmlReport& page) {
  page.AddHeading("Layers of " + run.name);
  report::Table table({{"layer"},
                       {"format"},
                       {"bits", report::Align::kRight},
                       {"weight error", report::Align::kRight},
                       {"output error", report::Align::kRight},
                       {"note"}});
  report::BarChart chart{.title = "Relative squared output error",
                         .value = {.title = "output error"},
                         .categories = {},
                         .series = {{"output error", {}}}};
  for (const json& layer : run.value["layers"]) {
    const double output = Number(layer, "output_error");
    table.AddRow({layer.value("name", ""), layer.value("format", ""), report::Cell(Number(layer, "bits")),
                  report::Cell::Significant(Number(layer, "weight_error")),
                  output < 0 ? report::Cell("–") : report::Cell::Significant(output),
                  layer.value("note", "")});
    if (output >= 0) {
      chart.categories.push_back(layer.value("name", ""));
      chart.series[0].values.push_back(output);
    }
  }
  if (!chart.categories.empty()) page.AddChart(chart);
  page.AddTable(table);
}

void AddSpeeds(const std::vector<Named>& runs, report::HtmlReport& page) {
  if (runs.empty()) return;
  page.AddHeading("Speed");
  report::Table table({{"what"},
                       {"test"},
                       {"tokens/s", report::Align::kRight},
                       {"bytes/token", report::Align::kRight},
                       {"share of the limit", report::Align::kRight}});
  report::BarChart chart{.title = "Tokens per second",
                         .value = {.title = "tokens/s"},
                         .categories = {},
                         .series = {{"tokens/s", {}}}};
  for (const auto& [name, run] : runs) {
    for (const json& test : run["tests"]) {
      const bool decode = test.contains("bandwidth_share");
      table.AddRow(
          {run.value("what", name), test.value("name", ""), report::Cell(Number(test, "tokens_per_s"), 1),
           BytesOf(test, "bytes_per_token"),
           fmt::format("{:.1f} % of {}", Number(test, decode ? "bandwidth_share" : "peak_share") * 100,
                       decode ? "read bandwidth" : "dot-product peak")});
      chart.categories.push_back(run.value("what", name) + ", " + test.value("name", ""));
      chart.series[0].values.push_back(Number(test, "tokens_per_s"));
    }
  }
  page.AddTable(table);
  page.AddChart(chart);
}

void AddClaims(const Named& run, report::HtmlReport& page) {
  page.AddHeading("Claims of " + run.value.value("system", run.name));
  report::Table table({{"claim"}, {"measured"}, {"expected"}, {"holds"}});
  for (const json& claim : run.value["claims"]) {
    table.AddRow({claim.value("id", "") + ". " + claim.value("text", ""), claim.value("measured", ""),
                  claim.value("expected", ""), claim.value("holds", false) ? "yes" : "no"});
  }
  page.AddTable(table);
}

// Throws Error unless those of `keys` that are there are strings.
void CheckTexts(const json& object, std::initializer_list<const char*> keys, const std::string& where) {
  for (const char* key : keys) {
    if (object.contains(key) && !object[key].is_string())
      Fail("{}: \"{}\" must be a string, it is {}", where, key, object[key].dump());
  }
}

void CheckList(const json& value, const char* list, std::initializer_list<const char*> texts,
               const std::string& where) {
  if (!value[list].is_array()) Fail("{}: \"{}\" must be a list", where, list);
  for (const json& entry : value[list]) {
    if (!entry.is_object()) Fail("{}: \"{}\" must hold objects, it holds {}", where, list, entry.dump());
    CheckTexts(entry, texts, where);
    if (entry.contains("holds") && !entry["holds"].is_boolean())
      Fail("{}: \"holds\" must be true or false, it is {}", where, entry["holds"].dump());
  }
}

int Run(const Options& o) {
  std::vector<Named> evaluations, layers, speeds, claims, texts, limits;
  const std::vector<fs::path> inputs(o.inputs.begin(), o.inputs.end());
  CheckOutputFile(o.output, inputs);
  for (const std::string& path : o.inputs) {
    json value = ParseJson(ReadFile(path), path);
    const std::string name = fs::path(path).stem().stem().string();
    if (!value.is_object()) Fail("{}: not what a command of lowbit prints with --json", path);
    if (value.contains("perplexity")) {
      CheckTexts(value, {"protocol"}, path);
      evaluations.push_back({name, std::move(value)});
    } else if (value.contains("layers")) {
      CheckList(value, "layers", {"name", "format", "note"}, path);
      layers.push_back({name, std::move(value)});
    } else if (value.contains("tests")) {
      CheckList(value, "tests", {"name"}, path);
      CheckTexts(value, {"what"}, path);
      speeds.push_back({name, std::move(value)});
    } else if (value.contains("claims")) {
      CheckList(value, "claims", {"id", "text", "measured", "expected"}, path);
      CheckTexts(value, {"system"}, path);
      claims.push_back({name, std::move(value)});
    } else if (value.contains("text") && value.contains("prompt_tokens")) {
      CheckTexts(value, {"text"}, path);
      texts.push_back({name, std::move(value)});
    } else if (value.contains("sources")) {
      CheckList(value, "sources", {"name"}, path);
      for (const json& source : value["sources"]) CheckDistortions(source, path);
      limits.push_back({name, std::move(value)});
    } else {
      Fail("{}: made by no command that a report knows (eval, quantize, bench, reproduce, generate, limits)",
           path);
    }
  }
  report::HtmlReport page(o.title);
  AddEvaluations(evaluations, page);
  AddSpeeds(speeds, page);
  for (const Named& run : claims) AddClaims(run, page);
  for (const Named& run : texts) {
    page.AddHeading("Text by " + run.name);
    page.AddPreformatted(run.value.value("text", ""));
  }
  for (const Named& run : layers) AddLayers(run, page);
  for (const Named& run : limits) {
    for (const json& source : run.value["sources"]) AddDistortions(source, page);
  }
  page.Write(o.output);
  fmt::print("{}\n", fs::absolute(o.output).string());
  return 0;
}

}  // namespace

Action AddReport(CLI::App& app, Common& /*common*/) {
  auto o = std::make_shared<Options>();
  app.add_option("-o,--output", o->output, "HTML file to write")->required();
  app.add_option("FILES", o->inputs,
                 "What eval, quantize, bench, reproduce, generate or limits printed with --json")
      ->required();
  app.add_option("--title", o->title, "Title of the page")->capture_default_str();
  return [o] { return Run(*o); };
}

}  // namespace lowbit::cli
