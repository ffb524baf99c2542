#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "lowbit/base/error.h"
#include "lowbit/base/naming.h"
#include "lowbit/metric/score.h"
#include "lowbit/model/ledger.h"
#include "lowbit/report/table.h"
#include "lowbit/text/entries.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string model, text, reference, tokenizer, scoring = "documents", long_entries,
                                                 prefix_space = "tokenizer";
  int64_t context = 0, max_tokens = 0;
  std::string kv = "f16";
  bool no_float = false;
};

// The fewest tokens before those of entry i of Scores::by_context.
int64_t ContextOf(size_t i) {
  return i == 0 ? 0 : kFirstContext << (i - 1);
}

void PrintByContext(const Scores& scores, const ScoreOptions& options) {
  report::Table table({{"tokens before"},
                       {"scored", report::Align::kRight},
                       {"perplexity", report::Align::kRight},
                       {"reference", report::Align::kRight},
                       {"KL", report::Align::kRight},
                       {"top-1", report::Align::kRight}});
  for (size_t i = 0; i < scores.by_context.size(); ++i) {
    const LmMetrics& part = scores.by_context[i];
    if (part.tokens() == 0) continue;
    table.AddRow({fmt::format("{} to {}", ContextOf(i), ContextOf(i + 1) - 1), fmt::to_string(part.tokens()),
                  fmt::format("{:.4f}", part.perplexity()),
                  fmt::format("{:.4f}", part.reference_perplexity()), fmt::format("{:.5f}", part.kl_mean()),
                  fmt::format("{:.2f} %", part.agreement() * 100)});
  }
  fmt::print(
      "\n{}cache {}: text is read in pieces of {} tokens, before each of which the newest {} to {} positions "
      "are f16 and older ones packed.\n",
      table.ToText(), NameOf(options.cache), kCacheTail, kCacheTail, kCacheTail + kCachePage - 1);
}

int Run(const Options& o, const Common& common) {
  ThreadPool& pool = ThreadPool::Global();
  const Model model = OpenModel(o.model, o.tokenizer);
  const Tokenizer& tokenizer = NeedTokenizer(model);
  ScoreOptions options;
  options.scoring = o.scoring == "documents" ? Scoring::kDocuments : Scoring::kLlamaCpp;
  options.context = o.context > 0 ? o.context : std::min<int64_t>(512, model.config.context);
  if (options.context > model.config.context) {
    FailUsage("--context {}: the model was made for {} tokens at most", options.context,
              model.config.context);
  }
  const std::vector<std::string> entries = ReadEntries(o.text);
  const std::string long_entries = !o.long_entries.empty() ? o.long_entries
                                   : entries.size() > 1    ? "skip"
                                                           : "cut";
  options.long_entries = long_entries == "skip" ? LongEntries::kSkip : LongEntries::kCut;
  options.prefix_space = o.prefix_space != "no";
  options.max_tokens = o.max_tokens;
  const Windows windows = Naming(o.text, [&] { return MakeWindows(tokenizer, entries, options); });

  std::unique_ptr<LanguageModel> reference;
  if (!o.reference.empty()) {
    const Model other = OpenModel(o.reference, o.tokenizer);
    if (other.tokenizer) {
      const Windows same = Naming(o.text, [&] { return MakeWindows(*other.tokenizer, entries, options); });
      const bool agree =
          std::equal(windows.windows.begin(), windows.windows.end(), same.windows.begin(), same.windows.end(),
                     [](const Window& a, const Window& b) { return a.tokens == b.tokens; });
      if (!agree) {
        Fail(
            "{}: its tokenizer makes other tokens of {} than that of {}; divergence is measured between "
            "models with one vocabulary",
            o.reference, o.text, o.model);
      }
    }
    reference = std::make_unique<LanguageModel>(other, pool, Arithmetic::kFloat);
  }
  options.cache = ParseCacheFormat(o.kv);
  if (options.cache.packed() && !reference) {
    // What the cache costs: the same model with the f16 cache.
    reference = std::make_unique<LanguageModel>(model, pool);
    options.reference_cache = {};
  }
  LanguageModel packed(model, pool);
  const Scores scores = Score(packed, reference.get(), windows, options, pool, "scoring");
  const Ledger ledger = LedgerOf(model);
  bool any_packed = false;
  for (const LedgerEntry& entry : ledger.entries) {
    any_packed = any_packed || (entry.shape.size() == 2 && model.weights->Load(entry.name).packed());
    if (any_packed) break;
  }
  std::optional<double> float_perplexity;
  if (any_packed && !o.no_float) {
    LanguageModel exact(model, pool, Arithmetic::kFloat);
    float_perplexity =
        Score(exact, nullptr, windows, options, pool, "scoring, f32 activations").metrics.perplexity();
  }
  const LmMetrics& m = scores.metrics;
  const std::string reference_name = !o.reference.empty() ? o.reference : "the same model, f16 cache";
  const KvCache cache = packed.MakeCache(options.context, options.cache),
                plain = packed.MakeCache(options.context);
  const double cache_bits = 16 * cache.BytesPerPosition() / plain.BytesPerPosition();
  const std::string protocol = options.scoring == Scoring::kDocuments
                                   ? fmt::format("documents, context {}, long entries {}, prefix space {}",
                                                 options.context, long_entries == "skip" ? "left out" : "cut",
                                                 options.prefix_space ? "as the tokenizer" : "never")
                                   : fmt::format("llama.cpp, context {}", options.context);
  if (common.json) {
    nlohmann::json json = {{"model", o.model},
                           {"text", o.text},
                           {"protocol", protocol},
                           {"perplexity", m.perplexity()},
                           {"nats_per_token", m.nats_per_token()},
                           {"bits_per_byte", m.bits_per_byte()},
                           {"bits_per_weight", ledger.bits_per_weight()},
                           {"bits_per_weight_linear", ledger.bits_per_weight_linear()},
                           {"bytes", ledger.file_bytes},
                           {"tokens", m.tokens()},
                           {"text_bytes", m.bytes()},
                           {"entries_left_out", scores.left_out},
                           {"tokens_per_s", static_cast<double>(m.tokens()) / scores.seconds}};
    if (float_perplexity) json["perplexity_f32_activations"] = *float_perplexity;
    if (m.has_reference()) {
      json["reference"] = reference_name;
      json["reference_perplexity"] = m.reference_perplexity();
      json["kl_mean"] = m.kl_mean();
      json["kl_standard_error"] = m.kl_standard_error();
      json["kl_p99"] = m.kl_percentile(0.99);
      json["top1_agreement"] = m.agreement();
    }
    if (options.cache.packed()) {
      json["kv"] = NameOf(options.cache);
      json["kv_bits_per_value"] = cache_bits;
      json["by_context"] = nlohmann::json::array();
      for (size_t i = 0; i < scores.by_context.size(); ++i) {
        const LmMetrics& part = scores.by_context[i];
        if (part.tokens() == 0) continue;
        json["by_context"].push_back({{"tokens_before", ContextOf(i)},
                                      {"tokens", part.tokens()},
                                      {"perplexity", part.perplexity()},
                                      {"reference_perplexity", part.reference_perplexity()},
                                      {"kl_mean", part.kl_mean()},
                                      {"top1_agreement", part.agreement()}});
      }
    }
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  report::Table table({{"measure"}, {"value", report::Align::kRight}});
  table.AddRow({"perplexity", fmt::format("{:.4f}", m.perplexity())});
  if (float_perplexity) {
    table.AddRow(
        {"perplexity, f32 activations", fmt::format("{:.4f} ({:+.3f} %)", *float_perplexity,
                                                    (m.perplexity() / *float_perplexity - 1) * 100)});
  }
  table.AddRow({"nats per token", fmt::format("{:.4f}", m.nats_per_token())});
  table.AddRow({"bits per byte", fmt::format("{:.4f}", m.bits_per_byte())});
  if (m.has_reference()) {
    table.AddRow({"reference", reference_name});
    table.AddRow({"reference perplexity", fmt::format("{:.4f}", m.reference_perplexity())});
    table.AddRow({"KL divergence, mean", fmt::format("{:.5f} ± {:.5f}", m.kl_mean(), m.kl_standard_error())});
    table.AddRow({"KL divergence, 99 %", fmt::format("{:.5f}", m.kl_percentile(0.99))});
    table.AddRow({"top-1 agreement", fmt::format("{:.2f} %", m.agreement() * 100)});
  }
  table.AddRow({"bits per weight", fmt::format("{:.3f}", ledger.bits_per_weight())});
  table.AddRow({"bits per weight, linear", fmt::format("{:.3f}", ledger.bits_per_weight_linear())});
  table.AddRow({"file", Bytes(ledger.file_bytes)});
  if (options.cache.packed())
    table.AddRow(
        {fmt::format("bits per cached value, {}", NameOf(options.cache)), fmt::format("{:.3f}", cache_bits)});
  fmt::print("{}\nprotocol: {}; {} tokens of {} bytes scored{}\n", table.ToText(), protocol, m.tokens(),
             m.bytes(), scores.left_out > 0 ? fmt::format(", {} entries left out", scores.left_out) : "");
  if (options.cache.packed()) PrintByContext(scores, options);
  return 0;
}

}  // namespace

Action AddEval(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Model to score")->required();
  app.add_option("--text", o->text, "UTF-8 text, or a JSON array of strings")->required();
  app.add_option("--reference", o->reference, "Model to compare with: KL divergence and agreement");
  app.add_option("--scoring", o->scoring, "Protocol")
      ->check(CLI::IsMember({"documents", "llama.cpp"}))
      ->capture_default_str();
  app.add_option("--context", o->context,
                 "Tokens of a window (default: 512, or the model's context when it is shorter)")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 24));
  app.add_option("--long", o->long_entries,
                 "Entries longer than the context (default: cut a text, skip JSON entries)")
      ->check(CLI::IsMember({"cut", "skip"}));
  app.add_option("--prefix-space", o->prefix_space, "Leading space piece")
      ->check(CLI::IsMember({"tokenizer", "no"}))
      ->capture_default_str();
  app.add_option("--max-tokens", o->max_tokens, "Stop after about this many tokens (0: all)")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--kv", o->kv, "What keys and values are kept as (lowbit list caches); compared with f16")
      ->capture_default_str();
  app.add_flag("--no-float", o->no_float, "Skip the second pass with f32 activations");
  app.add_option("--tokenizer", o->tokenizer, "Tokenizer file or folder, where the model brings none");
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
