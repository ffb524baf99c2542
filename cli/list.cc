#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "lowbit/base/error.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {
namespace {

struct Row {
  const char* name;
  const char* about;
};

constexpr Row kFormats[] = {
    {"intB-gN", "B = 2 3 4 5 6 8 bits, symmetric, one f16 scale for each N columns (N a multiple of 32)"},
    {"intB-gN-asym", "the same with an integer zero point for each group"},
    {"intB, intB-asym", "one scale a row"},
    {"q4_0 q4_1 q5_0 q5_1 q8_0", "GGUF blocks of 32, in kernel layout"},
    {"q2_k q3_k q4_k q5_k q6_k", "GGUF blocks of 256 with two levels of scales, in kernel layout"},
    {"f32 f16 bf16", "not quantized"},
};
constexpr Row kMethods[] = {
    {"gptq", "column by column, each rounding error spread over the columns to come (needs --text)"},
    {"imatrix",
     "round to nearest, range searched under the mean square of each input (needs --text or --imatrix)"},
    {"mse", "round to nearest, range searched under the squared error"},
    {"rtn", "round to nearest, full range"},
};
constexpr Row kFamilies[] = {
    {"llama", "Llama 1-3, SmolLM2, TinyLlama; also llama2.c checkpoints"},
    {"mistral", "Mistral"},
    {"qwen2, qwen3", "Qwen 2, 2.5 and 3, dense"},
    {"gemma3_text", "Gemma 3, text"},
};

struct Section {
  const char* name;
  std::span<const Row> rows;
};

int Run(const std::string& what, const Common& common) {
  const Section sections[] = {{"formats", kFormats}, {"methods", kMethods}, {"families", kFamilies}};
  nlohmann::json json = nlohmann::json::object();
  bool known = what.empty() || what == "kernels";
  for (const Section& section : sections) {
    if (!what.empty() && what != section.name) continue;
    known = true;
    if (common.json) {
      for (const Row& row : section.rows)
        json[section.name].push_back({{"name", row.name}, {"about", row.about}});
      continue;
    }
    report::Table table({{section.name}, {"what it is"}});
    for (const Row& row : section.rows) table.AddRow({row.name, row.about});
    fmt::print("{}\n", table.ToText());
  }
  if (!known) FailUsage("\"{}\" is not a list; known: formats, methods, families, kernels", what);
  if (what.empty() || what == "kernels") {
    if (common.json) {
      json["kernels"] = {{"target", KernelTargetName()}};
    } else {
      fmt::print("kernels: {} (set LOWBIT_TARGET to force another)\n", KernelTargetName());
    }
  }
  if (common.json) fmt::print("{}\n", json.dump(2));
  return 0;
}

}  // namespace

Action AddList(CLI::App& app, Common& common) {
  auto what = std::make_shared<std::string>();
  app.add_option("WHAT", *what, "formats, methods, families or kernels (default: all)");
  return [what, &common] { return Run(*what, common); };
}

}  // namespace lowbit::cli
