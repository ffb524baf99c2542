#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "cli/output_path.h"
#include "lowbit/base/error.h"
#include "lowbit/method/quantize_model.h"
#include "lowbit/model/ledger.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, output, tokenizer, recipe = "gptq", format, embedding = "int8-g64", text, imatrix,
                                        order = "group-aware", stream = "quantized";
  int bits = 4, group = 64;
  bool asymmetric = false, no_true_sequential = false, no_search = false, chat_template = false,
       dry_run = false;
  std::vector<std::string> tensors;
  SampleOptions samples;
  double damping = 0.01;
};

ColumnOrder ParseOrder(const std::string& name) {
  if (name == "none") return ColumnOrder::kNone;
  if (name == "activation") return ColumnOrder::kActivation;
  if (name == "static-groups") return ColumnOrder::kStaticGroups;
  return ColumnOrder::kGroupAware;
}

QuantizeOptions ToQuantize(const Options& o) {
  QuantizeOptions q;
  const std::string format = !o.format.empty() ? o.format
                             : o.group > 0
                                 ? fmt::format("int{}-g{}{}", o.bits, o.group, o.asymmetric ? "-asym" : "")
                                 : fmt::format("int{}{}", o.bits, o.asymmetric ? "-asym" : "");
  q.plan.format = ParseFormat(format);
  q.plan.embedding = ParseFormat(o.embedding);
  for (const std::string& text : o.tensors) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0)
      FailUsage("--tensor {}: REGEX=FORMAT or REGEX=skip is needed", text);
    q.plan.overrides.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  q.layer.method = ParseMethod(o.recipe);
  q.layer.order = ParseOrder(o.order);
  q.layer.damping = o.damping;
  q.layer.search = !o.no_search;
  q.true_sequential = !o.no_true_sequential;
  q.quantized_inputs = o.stream == "quantized";
  q.command = CommandLine();
  return q;
}

nlohmann::json ToJson(const MemoryBound& m) {
  return {{"block", m.block},
          {"hessians", m.hessians},
          {"streams", m.streams},
          {"fixed", m.fixed},
          {"total", m.total()}};
}

std::string Describe(const MemoryBound& m) {
  return fmt::format("{} (largest block in f32 {} + its statistics {} + activations {} + {})",
                     Bytes(m.total()), Bytes(m.block), Bytes(m.hessians), Bytes(m.streams), Bytes(m.fixed));
}

void PrintJson(const QuantizeReport& report, const Ledger& ledger, const fs::path& output) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerReport& l : report.layers) {
    layers.push_back({{"name", l.name},
                      {"format", l.format},
                      {"method", l.method},
                      {"bits", l.bits},
                      {"weight_error", l.weight_error},
                      {"output_error", l.output_error},
                      {"damping", l.damping},
                      {"note", l.note},
                      {"seconds", l.seconds}});
  }
  const nlohmann::json json = {{"output", output.string()},
                               {"bytes", report.file_bytes},
                               {"bits_per_weight", ledger.bits_per_weight()},
                               {"bits_per_weight_linear", ledger.bits_per_weight_linear()},
                               {"resumed_blocks", report.resumed_blocks},
                               {"seconds",
                                {{"forward", report.seconds_forward},
                                 {"statistics", report.seconds_statistics},
                                 {"solve", report.seconds_solve},
                                 {"total", report.seconds_total}}},
                               {"memory_peak", report.memory_peak},
                               {"memory_bound", ToJson(report.memory_bound)},
                               {"layers", layers}};
  fmt::print("{}\n", json.dump(2));
}

void PrintTables(const QuantizeReport& report, const Ledger& before, const Ledger& after,
                 const fs::path& output) {
  report::Table table({{"layer"},
                       {"format"},
                       {"bits", report::Align::kRight},
                       {"weight error", report::Align::kRight},
                       {"output error", report::Align::kRight},
                       {"note"}});
  for (const LayerReport& l : report.layers) {
    table.AddRow({l.name, l.format, fmt::format("{:.3f}", l.bits), fmt::format("{:.2e}", l.weight_error),
                  l.output_error < 0 ? "-" : fmt::format("{:.2e}", l.output_error), l.note});
  }
  fmt::print("{}\n", table.ToText());
  fmt::print(
      "Errors are squared and relative: |W - Q|^2 / |W|^2 of the weights, the same of the layer's outputs on "
      "the "
      "calibration data.\n\n");
  if (report.resumed_blocks > 0) fmt::print("Resumed: {} blocks were already done.\n", report.resumed_blocks);
  fmt::print("{}: {}, was {}\n", output.string(), Bytes(report.file_bytes), Bytes(before.file_bytes));
  fmt::print("bits per weight: {:.3f} (all weights), {:.3f} (linear layers); was {:.3f}\n",
             after.bits_per_weight(), after.bits_per_weight_linear(), before.bits_per_weight());
  fmt::print("{:.1f} s: {:.1f} s forward passes, {:.1f} s statistics, {:.1f} s solving\n",
             report.seconds_total, report.seconds_forward, report.seconds_statistics, report.seconds_solve);
  fmt::print("memory: {} at most, bound {}\n", Bytes(report.memory_peak), Describe(report.memory_bound));
}

// "model.layers.7.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj.weight"
std::string WithoutNumbers(const std::string& name) {
  static const std::regex number("\\.[0-9]+\\.");
  return std::regex_replace(name, number, ".*.");
}

// What would be written, and the memory it takes; no weight is read.
int DryRun(const Model& model, const QuantizeOptions& options, const SampleOptions& samples,
           const Common& common) {
  const bool calibrated = NeedsOf(options.layer.method) != StatisticsNeeded::kNone;
  const int64_t tokens = calibrated ? samples.samples * samples.length : 0;
  const Ledger before = LedgerOf(model), after = PlannedLedger(model, options);
  const MemoryBound memory = MemoryBoundOf(model, options, tokens);
  struct Kind {
    std::string name, from, to;
    int64_t tensors = 0, weights = 0;
    size_t bytes = 0;
  };
  std::vector<Kind> kinds;  // tensors of one name in all blocks, from one type to one format
  for (size_t i = 0; i < after.entries.size(); ++i) {
    const LedgerEntry& e = after.entries[i];
    const std::string name = WithoutNumbers(e.name), &from = before.entries[i].stored_as;
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) {
      return k.name == name && k.from == from && k.to == e.stored_as;
    });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), Kind{name, from, e.stored_as});
    ++kind->tensors;
    kind->weights += e.weights;
    kind->bytes += e.bytes;
  }
  if (common.json) {
    nlohmann::json tensors = nlohmann::json::array();
    for (const Kind& k : kinds) {
      tensors.push_back({{"name", k.name},
                         {"from", k.from},
                         {"format", k.to},
                         {"tensors", k.tensors},
                         {"weights", k.weights},
                         {"bytes", k.bytes}});
    }
    const nlohmann::json json = {{"dry_run", true},
                                 {"weights", after.weights},
                                 {"bytes", after.bytes},
                                 {"bytes_before", before.bytes},
                                 {"bits_per_weight", after.bits_per_weight()},
                                 {"bits_per_weight_linear", after.bits_per_weight_linear()},
                                 {"memory_bound", ToJson(memory)},
                                 {"tensors", tensors}};
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  report::Table table({{"tensor"},
                       {"count", report::Align::kRight},
                       {"weights", report::Align::kRight},
                       {"from"},
                       {"to"},
                       {"bits", report::Align::kRight},
                       {"size", report::Align::kRight}});
  for (const Kind& k : kinds) {
    table.AddRow({k.name, fmt::to_string(k.tensors), fmt::to_string(k.weights), k.from, k.to,
                  fmt::format("{:.3f}", static_cast<double>(k.bytes) * 8 / static_cast<double>(k.weights)),
                  Bytes(k.bytes)});
  }
  fmt::print("{}\n{} weights: {} now, {} after\n", table.ToText(), after.weights, Bytes(before.bytes),
             Bytes(after.bytes));
  fmt::print("bits per weight: {:.3f} (all weights), {:.3f} (linear layers); now {:.3f}\n",
             after.bits_per_weight(), after.bits_per_weight_linear(), before.bits_per_weight());
  fmt::print("memory: at most {}\nNothing was written: --dry-run.\n", Describe(memory));
  return 0;
}

int Run(const Options& o, const Common& common) {
  QuantizeOptions options = ToQuantize(o);
  const Model model = OpenModel(o.model, o.tokenizer);
  SampleOptions samples = o.samples;
  samples.length = std::min(samples.length, model.config.context);
  if (o.dry_run) return DryRun(model, options, samples, common);
  const fs::path output = o.output;
  std::vector<fs::path> inputs = FilesOf(model);
  if (!o.text.empty()) inputs.emplace_back(o.text);
  CheckOutputFile(o.output, inputs);
  if (o.chat_template && o.text.empty()) FailUsage("--chat-template renders --text, which is not given");
  if (!o.imatrix.empty()) {
    if (options.layer.method != Method::kImatrix)
      FailUsage("--imatrix weights --recipe imatrix; {} cannot use it", o.recipe);
    if (!o.text.empty()) FailUsage("--text and --imatrix: give one of them");
    options.importance = MatchImatrix(model, ReadImatrix(o.imatrix), o.imatrix);
  }
  std::vector<std::vector<int32_t>> calibration;
  if (NeedsOf(options.layer.method) != StatisticsNeeded::kNone && !options.importance) {
    if (o.text.empty()) {
      FailUsage("{} needs calibration text: give --text FILE{}", o.recipe,
                options.layer.method == Method::kImatrix ? ", or --imatrix FILE" : "");
    }
    const ChatRendering rendering = o.chat_template ? ChatRendering::kModel : ChatRendering::kNone;
    calibration = DrawSamples(CalibrationTokens(model, o.text, rendering), samples, o.text);
  }
  QuantizeReport report;
  try {
    report = QuantizeModel(model, output, options, std::move(calibration), ThreadPool::Global());
  } catch (...) {
    if (fs::exists(WorkFolder(output))) {
      fmt::print(stderr, "Finished blocks are kept in {}: the same command goes on after them.\n",
                 WorkFolder(output).string());
    }
    throw;
  }
  const Ledger after = LedgerOf(OpenModel(output));
  if (common.json) {
    PrintJson(report, after, output);
  } else {
    PrintTables(report, LedgerOf(model), after, output);
  }
  return 0;
}

}  // namespace

Action AddQuantize(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Hugging Face folder, GGUF file, lowbit file or llama2.c .bin")
      ->required();
  app.add_option("-o,--output", o->output, "File to write");
  app.add_option("--recipe", o->recipe, "Method: gptq, imatrix, mse, rtn")->capture_default_str();
  app.add_option("--format", o->format,
                 "Format of the linear layers, for example int4-g64 (lowbit list formats)");
  app.add_option("--bits", o->bits, "Bits, when --format is not given")->capture_default_str();
  app.add_option("--group", o->group, "Group size, 0 for one scale a row, when --format is not given")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--asym", o->asymmetric, "Integer zero points, when --format is not given");
  app.add_option("--embedding", o->embedding, "Format of embedding and head")->capture_default_str();
  app.add_option("--tensor", o->tensors, "REGEX=FORMAT or REGEX=skip, for single tensors; may be repeated");
  app.add_option("--text", o->text, "Calibration text: UTF-8, or a JSON array of strings (or conversations)");
  app.add_flag(
      "--chat-template", o->chat_template,
      "Render every entry of --text with the model's chat template: a string is one turn of the user");
  app.add_option("--imatrix", o->imatrix,
                 "Importance matrix of llama.cpp (GGUF or .dat) instead of --text, for --recipe imatrix");
  app.add_option("--samples", o->samples.samples, "Calibration samples")->capture_default_str();
  app.add_option("--length", o->samples.length, "Tokens of a sample")->capture_default_str();
  app.add_option("--seed", o->samples.seed, "Where samples are drawn")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--order", o->order, "GPTQ column order")
      ->check(CLI::IsMember({"none", "activation", "static-groups", "group-aware"}))
      ->capture_default_str();
  app.add_option("--damping", o->damping, "GPTQ: share of the mean diagonal added to the Hessian")
      ->capture_default_str();
  app.add_flag("--dry-run", o->dry_run, "Print formats, sizes and the memory bound; write nothing");
  app.add_flag("--no-true-sequential", o->no_true_sequential, "Calibrate all layers of a block in one pass");
  app.add_flag("--no-search", o->no_search, "Grids from the full range, without searching a tighter one");
  app.add_option("--inputs", o->stream, "What the next block is calibrated on")
      ->check(CLI::IsMember({"quantized", "float"}))
      ->capture_default_str();
  app.add_option("--tokenizer", o->tokenizer, "Tokenizer file or folder, where the model brings none");
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
