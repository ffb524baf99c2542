#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "cli/command.h"
#include "cli/lab_loader.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/version.h"

namespace lowbit::cli {
namespace {

std::string command_line;

int Run(int argc, char** argv) {
  for (int i = 0; i < argc; ++i)
    command_line += (i > 0 ? " " : "") + std::string(i == 0 ? "lowbit" : argv[i]);
  // The laboratory has its own options and loads libtorch: it is not asked unless it is meant.
  if (argc > 1 && std::string_view(argv[1]) == "train") return RunLab(argc - 1, argv + 1);

  CLI::App app("lowbit: neural networks in few bits", "lowbit");
  app.set_version_flag("--version", std::string("lowbit ") + Version());
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  Common common;
  std::vector<std::pair<CLI::App*, Action>> actions;
  const auto add = [&](const char* name, const char* about, Action (*make)(CLI::App&, Common&)) {
    CLI::App* command = app.add_subcommand(name, about);
    command->add_option("--threads", common.threads, "Threads (0: all cores)")->check(CLI::Range(0, 1024));
    command->add_flag("--json", common.json, "Print JSON instead of tables");
    actions.emplace_back(command, make(*command, common));
  };
  add("quantize", "Make a smaller model", AddQuantize);
  add("imatrix", "Gather, show, merge and convert importance matrices", AddImatrix);
  add("eval", "Perplexity, and divergence from a reference model", AddEval);
  add("generate", "Continue a prompt, or chat", AddGenerate);
  add("inspect", "Show what a file holds, in bytes and bits", AddInspect);
  add("export", "Write a model for another program", AddExport);
  add("bench", "Tokens per second beside the limits of the machine", AddBench);
  add("limits", "Number formats beside the rate-distortion bound", AddLimits);
  add("reproduce", "Measure the claims of a published system", AddReproduce);
  add("report", "One HTML page from what other commands printed with --json", AddReport);
  add("index", "Build, change and search indexes of vectors", AddIndex);
  add("list", "Formats, methods, kernels, model families, vector codes, indexes", AddList);
  app.add_subcommand("train", "Train a model from a recipe (needs the laboratory: libtorch)");
  if (argc > 1 && argv[1][0] != '-') {
    std::string known;
    bool found = false;
    for (const CLI::App* command : app.get_subcommands({})) {
      found |= command->get_name() == argv[1];
      known += " " + command->get_name();
    }
    if (!found) FailUsage("no command \"{}\"; known:{}", argv[1], known);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (common.threads > 0) ThreadPool::SetGlobalThreads(common.threads);
  InstallInterruptHandler();
  for (const auto& [command, action] : actions) {
    if (command->parsed()) return action();
  }
  return 2;
}

}  // namespace

std::string CommandLine() {
  return command_line;
}

}  // namespace lowbit::cli

// What was printed must have arrived: a table cut by a full disk is no success.
int Flushed(int code) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "lowbit: cannot write to standard output{}{}\n", errno != 0 ? ": " : "",
             errno != 0 ? std::strerror(errno) : "");
  return code == 0 ? 1 : code;
}

int main(int argc, char** argv) {
  try {
    return Flushed(lowbit::cli::Run(argc, argv));
  } catch (const lowbit::Interrupted&) {
    fmt::print(stderr, "lowbit: interrupted\n");
    return 1;
  } catch (const lowbit::UsageError& error) {
    fmt::print(stderr, "lowbit: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    // A write to a pipe that the signal broke off is no failure of its own.
    fmt::print(stderr, "lowbit: {}\n", lowbit::InterruptRequested() ? "interrupted" : error.what());
    return 1;
  }
}
