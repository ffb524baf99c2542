#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "lowbit/base/error.h"
#include "lowbit/report/table.h"
#include "reproduce/claim.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string system;
  reproduce::Options reproduce;
};

int Run(const Options& o, const Common& common) {
  std::string known;
  bool all_hold = true, found = false;
  nlohmann::json json = nlohmann::json::array();
  for (const auto& [name, measure] : reproduce::Systems()) {
    known += (known.empty() ? "" : ", ") + name;
    if (o.system != "all" && o.system != name) continue;
    found = true;
    const reproduce::Outcome outcome = measure(o.reproduce, ThreadPool::Global());
    all_hold = all_hold && outcome.holds();
    if (common.json) {
      nlohmann::json claims = nlohmann::json::array();
      for (const reproduce::Claim& c : outcome.claims) {
        claims.push_back({{"id", c.id},
                          {"text", c.text},
                          {"measured", c.measured},
                          {"expected", c.expected},
                          {"holds", c.holds}});
      }
      nlohmann::json measurements = nlohmann::json::array();
      for (const auto& row : outcome.rows) {
        nlohmann::json& object = measurements.emplace_back(nlohmann::json::object());
        for (size_t i = 0; i < row.size(); ++i) object[outcome.header[i]] = row[i];
      }
      json.push_back({{"system", name},
                      {"model", outcome.model},
                      {"text", outcome.text},
                      {"claims", claims},
                      {"measurements", measurements}});
      continue;
    }
    fmt::print("{} on {}{}\n\n", name, outcome.model, outcome.text.empty() ? "" : ", text " + outcome.text);
    if (!outcome.rows.empty()) {
      std::vector<report::Column> columns;
      for (size_t i = 0; i < outcome.header.size(); ++i) columns.push_back({outcome.header[i]});
      report::Table table(columns);
      for (const auto& row : outcome.rows) table.AddRow({row.begin(), row.end()});
      fmt::print("{}\n", table.ToText());
    }
    for (const reproduce::Claim& c : outcome.claims) {
      fmt::print("{} {}. {}\n     measured: {}\n     expected: {}\n", c.holds ? "✓" : "✗", c.id, c.text,
                 c.measured, c.expected);
    }
  }
  if (!found)
    FailUsage("\"{}\" is not a system whose claims can be measured; known: {}, all", o.system, known);
  if (common.json) fmt::print("{}\n", (json.size() == 1 ? json[0] : json).dump(2));
  return all_hold ? 0 : 1;
}

}  // namespace

Action AddReproduce(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("SYSTEM", o->system, "gptq, pvq, turboquant, vidkv, or all")->required();
  app.add_option("--data", o->reproduce.data, "Folder of models, texts and vectors")->required();
  app.add_option("--model", o->reproduce.model,
                 "Model to measure on (default: the first of the data folder)");
  app.add_option("--seeds", o->reproduce.seeds, "Calibration seeds")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
