#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "lowbit/base/blas.h"
#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/limits.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/model/random_weights.h"
#include "lowbit/report/table.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, shape, format = "int4-g32", embedding = "int8-g64";
  int64_t prefill = 512, decode = 32;
  int repeats = 5;
};

struct Test {
  std::string name;
  double tokens_per_s = 0, bytes_per_token = 0, share = 0;
  const char* share_of = "bandwidth_share";
};

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Run(const Options& o, const Common& common) {
  if (o.model.empty() == o.shape.empty()) FailUsage("give a MODEL or --shape NAME, not both");
  ThreadPool& pool = ThreadPool::Global();
  const auto begin = Clock::now();
  const Model model = !o.model.empty() ? OpenModel(o.model)
                                       : RandomModel(ShapeByName(o.shape), ParseFormat(o.format),
                                                     ParseFormat(o.embedding), 1);
  LanguageModel language_model(model, pool);
  const double load_seconds = Since(begin);
  const int64_t prefill = std::min(o.prefill, model.config.context - o.decode);
  if (prefill < 1) FailUsage("--prefill and --decode do not fit the context of {}", model.config.context);

  // The bytes a decoded token touches: all matrices but the embedding (one row of it, unless it is the head
  // too), norms, and the keys and values of the positions before it.
  const Graph& graph = *model.graph;
  double weight_bytes = static_cast<double>(language_model.executor().WeightBytes()), operations = 0;
  const int embedding = graph.FindNode("model.embed_tokens");
  if (!model.config.tied)
    weight_bytes -= static_cast<double>(language_model.executor().GetMatrix(embedding).size);
  for (size_t i = 0; i + 1 < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::kLinear) continue;
    const Matrix& m = language_model.executor().GetMatrix(static_cast<int>(i));
    operations += 2.0 * static_cast<double>(m.rows) * static_cast<double>(m.cols);
  }
  KvCache cache = language_model.MakeCache(prefill + o.decode);
  const double cache_bytes = static_cast<double>(cache.BytesPerPosition()) *
                             (static_cast<double>(prefill) + static_cast<double>(o.decode) / 2);

  Buffer<uint8_t> memory(size_t{1} << 30);
  std::fill(memory.begin(), memory.end(), uint8_t{1});
  std::vector<int32_t> tokens(static_cast<size_t>(prefill));
  Random random(1);
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random.Below(static_cast<uint64_t>(model.config.vocab)));
  std::vector<float> logits(static_cast<size_t>(model.config.vocab));

  std::vector<double> prefill_rate, prefill_share, decode_rate, decode_share, bandwidths, peaks;
  Progress progress("measuring", o.repeats, "repeats");
  for (int repeat = 0; repeat < o.repeats; ++repeat) {
    progress.Update(repeat);
    const double peak_before = MeasureDotPeak(pool);
    cache.SetLength(0);
    auto start = Clock::now();
    language_model.Feed(cache, tokens, logits.data());
    const double prefill_seconds = Since(start);
    const double peak = (peak_before + MeasureDotPeak(pool)) / 2;
    const double before = ReadBandwidth(memory, pool);
    start = Clock::now();
    for (int64_t i = 0; i < o.decode; ++i) {
      const auto token = static_cast<int32_t>(i % model.config.vocab);
      language_model.Feed(cache, {&token, 1}, logits.data());
    }
    const double decode_seconds = Since(start) / static_cast<double>(o.decode);
    const double bandwidth = (before + ReadBandwidth(memory, pool)) / 2;
    prefill_rate.push_back(static_cast<double>(prefill) / prefill_seconds);
    prefill_share.push_back(operations * static_cast<double>(prefill) / prefill_seconds / peak);
    decode_rate.push_back(1 / decode_seconds);
    decode_share.push_back((weight_bytes + cache_bytes) / decode_seconds / bandwidth);
    bandwidths.push_back(bandwidth);
    peaks.push_back(peak);
  }
  const double tile_peak = MeasureTilePeak(pool);
  const std::vector<Test> tests = {
      {fmt::format("prefill {}", prefill), Median(prefill_rate),
       (weight_bytes + cache_bytes) / static_cast<double>(prefill), Median(prefill_share), "peak_share"},
      {fmt::format("decode {}", o.decode), Median(decode_rate), weight_bytes + cache_bytes,
       Median(decode_share)}};
  const std::string what = !o.model.empty() ? o.model : o.shape + " " + o.format;
  const BlasDescription blas = BlasInfo();
  if (common.json) {
    nlohmann::json json = {{"what", what},
                           {"threads", pool.threads()},
                           {"kernels", KernelTargetName()},
                           {"blas", blas.kernels},
                           {"weight_bytes", weight_bytes},
                           {"load_seconds", load_seconds},
                           {"read_bandwidth", Median(bandwidths)},
                           {"dot_peak", Median(peaks)}};
    if (tile_peak > 0) json["tile_peak"] = tile_peak;
    for (const Test& t : tests) {
      json["tests"].push_back({{"name", t.name},
                               {"tokens_per_s", t.tokens_per_s},
                               {"bytes_per_token", t.bytes_per_token},
                               {t.share_of, t.share}});
    }
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  report::Table table({{"test"},
                       {"tokens/s", report::Align::kRight},
                       {"bytes/token", report::Align::kRight},
                       {"share of the limit", report::Align::kRight}});
  for (const Test& t : tests) {
    table.AddRow({t.name, fmt::format("{:.1f}", t.tokens_per_s),
                  Bytes(static_cast<size_t>(t.bytes_per_token)),
                  fmt::format("{:.1f} % of {}", t.share * 100,
                              t.share_of[0] == 'p' ? "dot-product peak" : "read bandwidth")});
  }
  fmt::print("{}, {} threads, kernels {}, BLAS {}\n\n{}\n", what, pool.threads(), KernelTargetName(),
             blas.kernels, table.ToText());
  fmt::print(
      "Limits in this run: {:.1f} GB/s read from memory, {:.0f} Gop/s byte dot products{}. Medians of {} "
      "repeats.\n",
      Median(bandwidths) / 1e9, Median(peaks) / 1e9,
      tile_peak > 0 ? fmt::format(" of vectors, {:.0f} of tiles", tile_peak / 1e9) : "", o.repeats);
  if (!o.model.empty()) {
    fmt::print("Ready in {:.2f} s, {:.2f} GB/s of weights.\n", load_seconds,
               static_cast<double>(language_model.executor().WeightBytes()) / load_seconds / 1e9);
  }
  return 0;
}

}  // namespace

Action AddBench(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Model to time");
  app.add_option("--shape", o->shape, "Random weights in memory: llama-1.1b, llama-7b, smollm2-135m");
  app.add_option("--format", o->format, "Format of the linear layers of --shape")->capture_default_str();
  app.add_option("--embedding", o->embedding, "Format of embedding and head of --shape")
      ->capture_default_str();
  app.add_option("--prefill", o->prefill, "Prompt tokens")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--decode", o->decode, "Tokens decoded after the prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--repeats", o->repeats, "Repeats")->capture_default_str()->check(CLI::Range(1, 1000));
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
