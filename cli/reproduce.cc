#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "lowbit/base/error.h"
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
      json.push_back(
          {{"system", name}, {"model", outcome.model}, {"text", outcome.text}, {"claims", claims}});
      continue;
    }
    fmt::print("{} on {}, text {}\n\n", name, outcome.model, outcome.text);
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
  app.add_option("SYSTEM", o->system, "gptq, or all")->required();
  app.add_option("--data", o->reproduce.data, "Folder of models and texts")->required();
  app.add_option("--model", o->reproduce.model,
                 "Model to measure on (default: the first of the data folder)");
  app.add_option("--seeds", o->reproduce.seeds, "Calibration seeds")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
