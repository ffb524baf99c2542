// The commands of the program. Each adds its options to a CLI11 subcommand and returns what to do once
// parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lowbit/base/thread_pool.h"

namespace lowbit::cli {

// Options that every command has.
struct Common {
  int threads = 0;    // 0: all cores
  bool json = false;  // machine-readable output on stdout instead of tables
};

using Action = std::function<int()>;

Action AddQuantize(CLI::App& app, Common& common);
Action AddImatrix(CLI::App& app, Common& common);
Action AddEval(CLI::App& app, Common& common);
Action AddGenerate(CLI::App& app, Common& common);
Action AddInspect(CLI::App& app, Common& common);
Action AddBench(CLI::App& app, Common& common);
Action AddLimits(CLI::App& app, Common& common);
Action AddReproduce(CLI::App& app, Common& common);
Action AddReport(CLI::App& app, Common& common);
Action AddExport(CLI::App& app, Common& common);
Action AddIndex(CLI::App& app, Common& common);
Action AddList(CLI::App& app, Common& common);

// What the user typed, for the history of a file.
std::string CommandLine();

}  // namespace lowbit::cli
