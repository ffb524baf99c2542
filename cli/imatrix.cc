#include "lowbit/calibrate/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "lowbit/base/error.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string model, text, tokenizer, output, form = "gguf";
  std::vector<std::string> from;
  int64_t length = Imatrix::kDefaultChunk, chunks = 0;
  bool chat_template = false, head = false;
};

// What the model sees of the text.
Imatrix Gather(const Options& o) {
  const Model model = OpenModel(o.model, o.tokenizer);
  const ChatRendering rendering = o.chat_template ? ChatRendering::kModel : ChatRendering::kNone;
  const int64_t length = std::min(o.length, model.config.context);
  const Tokenizer& tokenizer = NeedTokenizer(model);
  std::vector<std::vector<int32_t>> chunks =
      CutIntoChunks(CalibrationTokens(model, o.text, rendering), length, o.chunks,
                    tokenizer.add_bos() ? tokenizer.bos() : -1, o.text);
  Imatrix imatrix = GatherImatrix(model, std::move(chunks),
                                  o.head ? HeadInputs::kGather : HeadInputs::kLeaveOut, ThreadPool::Global());
  imatrix.datasets = {o.text};
  return imatrix;
}

struct Spread {
  double mean = 0, largest = 0;
  int64_t dead = 0;  // columns that were always zero
};

Spread SpreadOf(const ImatrixEntry& entry) {
  Spread spread;
  for (const double sum : entry.sum) {
    const double square = entry.tokens > 0 ? sum / entry.tokens : 0;
    spread.mean += square / static_cast<double>(entry.sum.size());
    spread.largest = std::max(spread.largest, square);
    spread.dead += square > 0 ? 0 : 1;
  }
  return spread;
}

void PrintJson(const Imatrix& imatrix, const Options& o) {
  nlohmann::json entries = nlohmann::json::array();
  for (const auto& [name, entry] : imatrix.entries) {
    const Spread spread = SpreadOf(entry);
    entries.push_back({{"name", name},
                       {"columns", entry.sum.size()},
                       {"tokens", entry.tokens},
                       {"mean_square", spread.mean},
                       {"largest_mean_square", spread.largest},
                       {"dead_columns", spread.dead}});
  }
  const nlohmann::json json = {{"output", o.output},
                               {"chunks", imatrix.chunks()},
                               {"chunk_size", imatrix.chunk_size},
                               {"datasets", imatrix.datasets},
                               {"entries", entries}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintTable(const Imatrix& imatrix, const Options& o) {
  report::Table table({{"matrix"},
                       {"columns", report::Align::kRight},
                       {"tokens", report::Align::kRight},
                       {"mean square", report::Align::kRight},
                       {"largest", report::Align::kRight},
                       {"dead", report::Align::kRight}});
  for (const auto& [name, entry] : imatrix.entries) {
    const Spread spread = SpreadOf(entry);
    table.AddRow({name, fmt::format("{}", entry.sum.size()), fmt::format("{:.0f}", entry.tokens),
                  fmt::format("{:.4g}", spread.mean), fmt::format("{:.4g}", spread.largest),
                  fmt::format("{}", spread.dead)});
  }
  fmt::print(
      "{}\nMean over columns of the mean square of each input, the largest of them, and columns that were "
      "always zero.\n{} entries, {} chunks of {} tokens, from: {}\n",
      table.ToText(), imatrix.entries.size(), imatrix.chunks(), imatrix.chunk_size,
      imatrix.datasets.empty() ? "not said" : fmt::format("{}", fmt::join(imatrix.datasets, ", ")));
  if (!o.output.empty()) fmt::print("written to {}\n", o.output);
}

int Run(const Options& o, const Common& common) {
  if (o.text.empty() && o.from.empty()) {
    FailUsage("nothing to do: give MODEL --text FILE to gather, --from FILE to show or merge files");
  }
  if (o.text.empty() != o.model.empty()) FailUsage("gathering needs both a MODEL and --text FILE");
  if (!o.text.empty() && o.output.empty()) FailUsage("-o FILE is needed, where the gathered file goes");
  Imatrix imatrix;
  for (size_t i = 0; i < o.from.size(); ++i) {
    const Imatrix read = ReadImatrix(o.from[i]);
    if (i == 0) {
      imatrix = read;
    } else {
      imatrix.Add(read, o.from[i]);
    }
  }
  if (!o.text.empty()) {
    const Imatrix gathered = Gather(o);
    if (o.from.empty()) {
      imatrix = gathered;
    } else {
      imatrix.Add(gathered, o.model);
    }
  }
  if (!o.output.empty())
    WriteImatrix(o.output, imatrix, o.form == "gguf" ? ImatrixForm::kGguf : ImatrixForm::kLegacy);
  if (common.json) {
    PrintJson(imatrix, o);
  } else {
    PrintTable(imatrix, o);
  }
  return 0;
}

}  // namespace

Action AddImatrix(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Model whose inputs are gathered");
  app.add_option("--text", o->text, "Calibration text: UTF-8, or a JSON array of strings (or conversations)");
  app.add_flag(
      "--chat-template", o->chat_template,
      "Render every entry of --text with the model's chat template: a string is one turn of the user");
  app.add_option("--from", o->from, "Importance matrix to show, convert or merge; may be repeated");
  app.add_option("-o,--output", o->output, "File to write");
  app.add_option("--to", o->form, "Form of the file: GGUF, or llama.cpp's older binary form")
      ->check(CLI::IsMember({"gguf", "dat"}))
      ->capture_default_str();
  app.add_option("--length", o->length, "Tokens of a chunk")->capture_default_str();
  app.add_option("--chunks", o->chunks, "Chunks of the text to run (0: all)")->capture_default_str();
  app.add_flag("--head", o->head, "Gather the inputs of the head too");
  app.add_option("--tokenizer", o->tokenizer, "Tokenizer file or folder, where the model brings none");
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
