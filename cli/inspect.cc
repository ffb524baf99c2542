#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "lowbit/format/code_table.h"
#include "lowbit/model/ledger.h"
#include "lowbit/report/table.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string model;
};

// "packed" when the codes are computed with, "expanded" when a blocked type is turned into floats first.
std::string RunsAs(const Model& model, const LedgerEntry& entry) {
  if (entry.shape.size() != 2) return "f32";
  const Format format = model.weights->Load(entry.name).format;
  const auto* packed = std::get_if<PackedFormat>(&format);
  const bool floats = packed != nullptr && packed->alphabet && !CodeTableOf(*packed->alphabet).in_bytes;
  return NameOf(format) + (floats ? ", f32 products" : "");
}

int Run(const Options& o, const Common& common) {
  const Model model = OpenModel(o.model);
  for (const Value& value : model.graph->values) {
    if (value.kind == ValueKind::kWeight) CheckShape(*model.weights, value);
  }
  const Ledger ledger = LedgerOf(model);
  const LlamaConfig& c = model.config;
  const size_t other = ledger.file_bytes > ledger.bytes ? ledger.file_bytes - ledger.bytes : 0;
  if (common.json) {
    nlohmann::json tensors = nlohmann::json::array();
    for (const LedgerEntry& e : ledger.entries) {
      tensors.push_back({{"name", e.name},
                         {"shape", e.shape},
                         {"stored_as", e.stored_as},
                         {"runs_as", RunsAs(model, e)},
                         {"bytes", e.bytes},
                         {"bits_per_weight", e.bits()}});
    }
    const nlohmann::json json = {{"path", o.model},
                                 {"kind", model.kind},
                                 {"family", c.family},
                                 {"weights", ledger.weights},
                                 {"bytes", ledger.file_bytes},
                                 {"weight_bytes", ledger.bytes},
                                 {"other_bytes", other},
                                 {"bits_per_weight", ledger.bits_per_weight()},
                                 {"bits_per_weight_linear", ledger.bits_per_weight_linear()},
                                 {"tensors", tensors}};
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  fmt::print("{}: {}, family {}\n", o.model, model.kind, c.family);
  fmt::print(
      "{} blocks, width {}, {} heads of {} ({} for keys and values), feed-forward {}, vocabulary {}{}, "
      "context {}\n",
      c.layers, c.width, c.heads, c.head_size, c.kv_heads, c.ffn, c.vocab, c.tied ? " (tied)" : "",
      c.context);
  fmt::print("tokenizer: {}; chat template: {}\n\n",
             model.tokenizer ? fmt::format("{} entries", model.tokenizer->vocab_size()) : "none",
             model.chat_template.empty() ? "no" : "yes");
  report::Table table({{"tensor"},
                       {"shape", report::Align::kRight},
                       {"stored as"},
                       {"runs as"},
                       {"bytes", report::Align::kRight},
                       {"bits/weight", report::Align::kRight}});
  for (const LedgerEntry& e : ledger.entries) {
    table.AddRow({e.name, fmt::format("{}", fmt::join(e.shape, " x ")), e.stored_as, RunsAs(model, e),
                  Bytes(e.bytes), fmt::format("{:.3f}", e.bits())});
  }
  fmt::print("{}\n", table.ToText());
  fmt::print(
      "{} weights in {} ({} other: header, tokenizer, padding): {:.3f} bits per weight, {:.3f} in linear "
      "layers\n",
      ledger.weights, Bytes(ledger.file_bytes), Bytes(other), ledger.bits_per_weight(),
      ledger.bits_per_weight_linear());
  return 0;
}

}  // namespace

Action AddInspect(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("FILE", o->model, "Model file or folder")->required();
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
