// Number formats beside the rate-distortion bound: what each costs in squared error at its true bits, on laws
// and on the user's tensors, vectors, keys and values.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/distortion_page.h"
#include "lowbit/base/edit_distance.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/calibrate/cache_sample.h"
#include "lowbit/format/tensor_floats.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/io/vector_file.h"
#include "lowbit/metric/format_distortion.h"
#include "lowbit/report/html.h"
#include "lowbit/text/entries.h"

namespace lowbit::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> laws = {"gauss", "laplace", "student"}, tensors, vectors, formats;
  std::string output, cache, text;
  double freedom = 5;
  int64_t values = 131072;
  uint64_t seed = 1;
  bool all = false, only_data = false;
};

struct Measured {
  MeasuredSource source;
  std::vector<FormatDistortion> formats;  // ascending in bits
};

// The sizes that get advice: bits of a code, with at most half a bit of scales beside it.
constexpr std::array<double, 5> kSizes = {1, 1.6, 2, 3, 4};

bool IsOfSize(const FormatDistortion& f, double size) {
  return StoredBits(f.format.alphabet) == size && f.bits <= size + 0.5 + 1e-3;
}

std::string SizeName(double size) {
  return fmt::format("{} bit{}", size, size == 1 ? "" : "s");
}

std::unique_ptr<TensorSource> OpenTensors(const std::string& path) {
  if (fs::path(path).extension() == ".gguf") return std::make_unique<GgufFile>(path);
  return OpenSafetensors(path);
}

// Whole rows, evenly spread.
MeasuredSource SampleRows(const std::string& name, const std::vector<float>& all, int64_t cols,
                          int64_t values) {
  const int64_t rows = static_cast<int64_t>(all.size()) / cols,
                kept = std::clamp<int64_t>(values / cols, 1, rows);
  std::vector<float> sample;
  sample.reserve(static_cast<size_t>(kept * cols));
  for (int64_t i = 0; i < kept; ++i) {
    const auto begin = all.begin() + i * rows / kept * cols;
    sample.insert(sample.end(), begin, begin + cols);
  }
  return MeasuredSource::OfTensor(name, std::move(sample), cols);
}

MeasuredSource ReadTensor(const std::string& spec, int64_t values) {
  const size_t colon = spec.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == spec.size()) {
    FailUsage("--tensor {}: FILE:NAME is meant, a safetensors or GGUF file and a tensor in it", spec);
  }
  const std::string path = spec.substr(0, colon), name = spec.substr(colon + 1);
  const auto source = OpenTensors(path);
  if (!source->Has(name)) {
    const std::vector<std::string> names = source->Names();
    if (names.empty()) Fail("{}: holds no tensor", path);
    Fail("{}: no tensor {}; did you mean {}?", path, name, NearestName(names, name));
  }
  const std::vector<int64_t> shape = source->Get(name).shape;
  const std::vector<float> all = TensorToFloats(*source, name);
  const int64_t cols = shape.empty() ? 1 : shape.back();
  if (all.empty() || cols == 0) Fail("{}: tensor {} is empty", path, name);
  return SampleRows(name, all, cols, values);
}

MeasuredSource ReadVectorFile(const std::string& path, int64_t values) {
  const Vectors vectors = ReadVectors(path);
  if (vectors.count == 0) Fail("{}: holds no vectors", path);
  return SampleRows(fs::path(path).filename().string(), vectors.data, vectors.dim, values);
}

// Keys and values of the first tokens of a text, as many as the model's context takes, 2048 at most.
std::array<MeasuredSource, 2> ReadCache(const std::string& path, const std::string& text, int64_t values) {
  const Model model = OpenModel(path);
  if (!model.tokenizer) Fail("{}: the model brings no tokenizer", path);
  std::vector<int32_t> tokens;
  const auto most = static_cast<size_t>(std::min<int64_t>(model.config.context, 2048));
  for (const std::string& entry : ReadEntries(text)) {
    const std::vector<int32_t> more = model.tokenizer->Encode(entry);
    tokens.insert(tokens.end(), more.begin(), more.end());
    if (tokens.size() >= most) break;
  }
  tokens.resize(std::min(tokens.size(), most));
  const CacheSample cache = SampleCache(model, tokens, ThreadPool::Global());
  const std::string name = model.path.filename().string();
  return {SampleRows("keys of " + name, cache.keys, cache.head_size, values),
          SampleRows("values of " + name, cache.values, cache.head_size, values)};
}

// The least gap in bits among those of a size that `accept` lets through; nullptr without any.
template <typename Accept>
const FormatDistortion* BestOf(const Measured& measured, double size, Accept accept) {
  const FormatDistortion* best = nullptr;
  for (const FormatDistortion& f : measured.formats) {
    if (!IsOfSize(f, size) || !accept(f)) continue;
    if (best == nullptr || f.gap_bits < best->gap_bits) best = &f;
  }
  return best;
}

std::string Side(double gap, const char* unit, int digits) {
  return fmt::format("{:.{}f} {} {} the bound", std::abs(gap), digits, unit, gap < 0 ? "below" : "above");
}

std::string Decoding(const FormatDistortion& f) {
  switch (f.arithmetic) {
    case Arithmetic::kInt8:
      return "multiplies exactly in int8";
    case Arithmetic::kInt8Pair:
      return "multiplies exactly in two int8 tables";
    case Arithmetic::kBF16:
      return "multiplies exactly in bf16";
    case Arithmetic::kF32:
      break;
  }
  return fmt::format("one int8 table holds its levels within {:.2g} % of the greatest", 100 * f.byte_error);
}

// What the measured table says to take at a size, and why. Empty when nothing of that size was measured.
std::string Advice(const Measured& measured, double size) {
  const auto any = [](const FormatDistortion&) { return true; };
  const FormatDistortion* best = BestOf(measured, size, any);
  if (best == nullptr) return "";
  std::string text =
      fmt::format("{}: {} ({:.3f} bits, relative error {:.5f}), {}; {}.", SizeName(size), best->name,
                  best->bits, best->mse, Side(best->gap_bits, "bits", 2), Decoding(*best));
  const FormatDistortion* exact =
      BestOf(measured, size, [](const FormatDistortion& f) { return f.arithmetic == Arithmetic::kInt8; });
  if (exact != nullptr && exact != best) {
    text += fmt::format(" Exact in int8: {} ({:.3f} bits, {:.5f}), {:.2f} bits more from the bound.",
                        exact->name, exact->bits, exact->mse, exact->gap_bits - best->gap_bits);
  }
  // What scales cost or bring: the same alphabet with one scale a row.
  const FormatDistortion* other = BestOf(measured, size, [&](const FormatDistortion& f) {
    return f.format.alphabet == best->format.alphabet && (f.format.group == 0) != (best->format.group == 0);
  });
  if (other != nullptr) {
    text +=
        best->format.group == 0
            ? fmt::format(" Scales for groups do not pay here: {} is {:.2f} bits further away.", other->name,
                          other->gap_bits - best->gap_bits)
            : fmt::format(" Its groups pay for their scales: one scale a row is {:.2f} bits further away.",
                          other->gap_bits - best->gap_bits);
  }
  // Entropy coding rewards fine uniform grids: any width whose coded bits come near.
  const FormatDistortion* coded = nullptr;
  for (const FormatDistortion& f : measured.formats) {
    if (std::abs(f.coded_bits - size) <= 0.25 && (coded == nullptr || f.coded_gap < coded->coded_gap))
      coded = &f;
  }
  if (coded != nullptr) {
    text += fmt::format(" With ideal entropy coding {} would take {:.3f} bits at {:.5f}, {}.", coded->name,
                        coded->coded_bits, coded->mse, Side(coded->coded_gap, "bits", 2));
  }
  return text;
}

// The least mean gap over all sources: one format for data that is not known.
std::string Overall(const std::vector<Measured>& all, double size) {
  const FormatDistortion* best = nullptr;
  double least = 0;
  for (size_t i = 0; i < all[0].formats.size(); ++i) {
    const std::string& name = all[0].formats[i].name;
    double sum = 0;
    bool fits = true;
    for (const Measured& measured : all) {
      const auto found = std::find_if(measured.formats.begin(), measured.formats.end(),
                                      [&](const FormatDistortion& f) { return f.name == name; });
      fits &= found != measured.formats.end() && IsOfSize(*found, size);
      if (fits) sum += found->gap_bits;
    }
    if (!fits || (best != nullptr && sum >= least)) continue;
    best = &all[0].formats[i];
    least = sum;
  }
  if (best == nullptr) return "";
  return fmt::format("{}: {}, on the mean of all sources {}.", SizeName(size), best->name,
                     Side(least / static_cast<double>(all.size()), "bits", 2));
}

json ToJson(const FormatDistortion& f) {
  return {{"name", f.name},
          {"bits", f.bits},
          {"mse", f.mse},
          {"bound", f.bound},
          {"gap_db", f.gap_db},
          {"gap_bits", f.gap_bits},
          {"coded_bits", f.coded_bits},
          {"coded_gap_bits", f.coded_gap},
          {"exact_in", NameOf(f.arithmetic)},
          {"int8_error", f.byte_error}};
}

// Those that a terminal shows: the six nearest to the bound of each size, or all.
std::vector<json> ShownFormats(const Measured& measured, bool all) {
  std::vector<const FormatDistortion*> shown;
  for (const FormatDistortion& f : measured.formats) shown.push_back(&f);
  if (!all) {
    std::stable_sort(shown.begin(), shown.end(), [](const FormatDistortion* a, const FormatDistortion* b) {
      return a->gap_bits < b->gap_bits;
    });
    std::map<double, int> taken;
    std::erase_if(shown,
                  [&](const FormatDistortion* f) { return ++taken[StoredBits(f->format.alphabet)] > 6; });
    std::stable_sort(shown.begin(), shown.end(),
                     [](const FormatDistortion* a, const FormatDistortion* b) { return a->bits < b->bits; });
  }
  std::vector<json> formats;
  for (const FormatDistortion* f : shown) formats.push_back(ToJson(*f));
  return formats;
}

json ToJson(const std::vector<Measured>& all) {
  json sources = json::array();
  for (const Measured& measured : all) {
    json formats = json::array(), bound = json::array(), advice = json::array();
    for (const FormatDistortion& f : measured.formats) formats.push_back(ToJson(f));
    for (int i = 0; i <= 36; ++i) bound.push_back({i / 4.0, measured.source.Bound(i / 4.0)});
    for (const double size : kSizes) {
      if (const FormatDistortion* best =
              BestOf(measured, size, [](const FormatDistortion&) { return true; })) {
        advice.push_back({{"bits", size}, {"format", best->name}, {"text", Advice(measured, size)}});
      }
    }
    sources.push_back({{"name", measured.source.name()},
                       {"values", measured.source.values().size()},
                       {"row", measured.source.cols()},
                       {"variance", measured.source.variance()},
                       {"kurtosis", measured.source.kurtosis()},
                       {"bound", bound},
                       {"formats", formats},
                       {"advice", advice}});
  }
  return {{"sources", sources}};
}

void WriteHtml(const std::vector<Measured>& all, const json& sources, const std::string& path) {
  report::HtmlReport page("Number formats and the limit");
  page.AddPreformatted(CommandLine());
  page.AddParagraph(
      "Squared error relative to the variance, at the bits a value truly takes: codes, scales, zero points "
      "and the tensor's scale. Scales minimise the error on the deployed grid, unless the name says "
      "otherwise. The bound is the least error of any code at those bits for independent values (Blahut and "
      "Arimoto up to 3.5 bits, Shannon's lower bound above; 4^-R for the Gaussian law).");
  page.AddHeading("What to take");
  for (const double size : kSizes) {
    if (const std::string text = Overall(all, size); !text.empty()) page.AddParagraph(text);
  }
  for (const json& source : sources) AddDistortions(source, page);
  page.Write(path);
}

void MeasureAll(const std::vector<ScalarFormat>& formats, std::vector<Measured>& all) {
  Progress progress("measuring", static_cast<int64_t>(all.size() * formats.size()), "formats");
  int64_t done = 0;
  for (Measured& measured : all) {
    for (const ScalarFormat& format : formats) {
      measured.formats.push_back(MeasureFormat(format, measured.source, ThreadPool::Global()));
      progress.Update(++done, measured.source.name());
    }
    std::stable_sort(measured.formats.begin(), measured.formats.end(),
                     [](const FormatDistortion& a, const FormatDistortion& b) { return a.bits < b.bits; });
  }
}

int Run(const Options& o, const Common& common) {
  if (o.values < 4096) FailUsage("--values {}: 4096 or more are needed to measure anything", o.values);
  std::vector<ScalarFormat> formats;
  for (const std::string& name : o.formats) formats.push_back(ParseScalarFormat(name));
  if (formats.empty()) formats = FormatsToMeasure();

  std::vector<Measured> all;
  if (!o.only_data) {
    for (const std::string& law : o.laws) {
      all.push_back({MeasuredSource::OfLaw(law, o.values, o.freedom, o.seed), {}});
    }
  }
  for (const std::string& spec : o.tensors) all.push_back({ReadTensor(spec, o.values), {}});
  for (const std::string& path : o.vectors) all.push_back({ReadVectorFile(path, o.values), {}});
  if (o.cache.empty() != o.text.empty()) FailUsage("--cache MODEL and --text FILE belong together");
  if (!o.cache.empty()) {
    for (MeasuredSource& source : ReadCache(o.cache, o.text, o.values))
      all.push_back({std::move(source), {}});
  }
  if (all.empty()) FailUsage("nothing to measure on: give --law, --tensor, --vectors or --cache");

  MeasureAll(formats, all);

  const json measurement = ToJson(all);
  const json& sources = measurement["sources"];
  if (!o.output.empty()) WriteHtml(all, sources, o.output);
  if (common.json) {
    fmt::print("{}\n", measurement.dump(2));
    return 0;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    fmt::print("{}: {}\n\n{}\n", all[i].source.name(), AboutSource(sources[i]),
               DistortionTable(ShownFormats(all[i], o.all || !o.formats.empty())).ToText());
    for (const json& advice : sources[i]["advice"]) fmt::print("{}\n", advice["text"].get<std::string>());
    if (const std::string text = BelowTheBound(sources[i]); !text.empty()) fmt::print("{}\n", text);
    fmt::print("\n");
  }
  if (all.size() > 1) {
    fmt::print("Where the data is not known\n");
    for (const double size : kSizes) {
      if (const std::string text = Overall(all, size); !text.empty()) fmt::print("{}\n", text);
    }
  }
  if (!o.output.empty()) fmt::print("{}\n", fs::absolute(o.output).string());
  return 0;
}

}  // namespace

Action AddLimits(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  CLI::Option* laws =
      app.add_option("--law", o->laws, "gauss, laplace, student (repeatable)")->capture_default_str();
  app.add_option("--tensor", o->tensors,
                 "FILE:NAME, a tensor of a safetensors or GGUF file (repeatable); alone, without the laws");
  app.add_option("--vectors", o->vectors,
                 "A file of vectors: .fvecs, .bvecs, .npy (repeatable); as --tensor");
  app.add_option("--cache", o->cache, "Keys and values that this model makes of --text; as --tensor");
  app.add_option("--text", o->text, "Text for --cache");
  app.add_option("--format", o->formats, "Measure these instead of the built-in list (repeatable)");
  app.add_option("-o,--output", o->output, "HTML page to write, with charts and the whole table");
  app.add_option("--values", o->values, "Values of each law, most values of a tensor")->capture_default_str();
  app.add_option("--freedom", o->freedom, "Degrees of freedom of student")->capture_default_str();
  app.add_option("--seed", o->seed, "Seed of the laws")->capture_default_str();
  app.add_flag("--all", o->all, "Show every format, not the nearest six of each size");
  return [o, laws, &common] {
    o->only_data = !(o->tensors.empty() && o->vectors.empty() && o->cache.empty()) && laws->count() == 0;
    return Run(*o, common);
  };
}

}  // namespace lowbit::cli
