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
    {"ALPHABET-gN ...",
     "tables of levels (list alphabets): e2m1-g32, mxfp4, nvfp4, nf4-g64, apot4-g64, ternary-g64"},
    {"f32 f16 bf16", "not quantized"},
};
// The grammar of lowbit/format/scalar_format.h: what `lowbit limits` measures.
constexpr Row kAlphabets[] = {
    {"intB, intB-narrow, intB-asym", "integers of 1 to 8 bits: full range, restricted, with a zero point"},
    {"eXmY [-biasN] [-finite]", "small floats to 8 bits: e2m1, e4m3, e5m2, e3m2, ... as OCP specifies them"},
    {"nf4, iq4nl, lloydB-gauss, -laplace, -betaD", "levels fitted to a law"},
    {"apotB, potB [-baseX], postB", "additive powers of two; powers of two, of a base, of sqrt 2"},
    {"nupesB-pA, nestedH-B", "powers |x|^A rounded to integers; H-bit integers rounded again to B bits"},
    {"uintB, uapotB, log2-B, logsqrt2-B", "unsigned grids"},
    {"ternary, binary", "five ternary codes in a byte (1.6 bits); signs"},
    {"... -gN | -row, -f16 -f32 -e8m0 -e4m3", "values that share a scale, and the scale's own format"},
    {"... -mse -absmax -mean -median", "how the scale is chosen (mean, median: ternary and binary)"},
    {"mxfp4 mxfp6 mxfp8 mxint8 nvfp4", "block formats as specified"},
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

constexpr Row kCaches[] = {
    {"f16 f32", "plain"},
    {"int8", "8 bits, a scale for every position and head"},
    {"kivi2 kivi4", "keys per channel over 32 positions, values per position over 32 channels, with minima"},
    {"tq1 ... tq8",
     "TurboQuant: random rotation, levels of a coordinate's law, a norm for every position and head"},
    {"tq1.5 tq2.5 tq3.5", "the same, with one more bit for the quarter of the channels of largest magnitude"},
    {"vidkv1 ... vidkv2",
     "VidKV: keys 2 bits for the channels of largest range, 1 bit for the rest; ternary values"},
    {"sign", "1 bit, per channel over 32 positions: a floor to compare with"},
    {"KEYS/VALUES", "two of these, for example tq4/tq3"},
};

constexpr Row kCodes[] = {
    {"tqB, tqB-debiased, tqB-rescaled", "TurboQuant of 1 to 4 bits: rotated, Lloyd-Max levels; three scales"},
    {"tqB-prod", "TurboQuant of B - 1 bits and the signs of a Gaussian sketch of the residual"},
    {"tq2.5, tq3.5", "TurboQuant with a quarter of the dimensions one bit finer (learns which)"},
    {"rabitqB", "RaBitQ of 1 to 8 bits: the uniform grid's point of the largest cosine, rescaled"},
    {"trellisB", "bit-shift trellis codes of 1 to 4 bits, rescaled: the closest at equal bytes"},
    {"qjl", "the signs of a Gaussian sketch"},
};

// The grammar of lowbit/index/index_spec.h: what `lowbit index build --spec` takes.
constexpr Row kIndexes[] = {
    {"CODEC", "flat: every vector is looked at"},
    {"IVFn,CODEC", "inverted file: n lists by k-means, of which a query visits the nearest (--nprobe)"},
    {"...,Refine(CODEC), ...,RerankCODEC", "a second, finer code that ranks the best candidates again"},
    {"Flat F16", "codecs: the vectors as f32 or f16"},
    {"SQ1 ... SQ8", "codecs: each dimension on a uniform grid"},
    {"PQmxb RQmxb",
     "codecs: product and residual quantizers, m codes of b bits (8 when left out): PQ32x8, RQ4x8"},
    {"TQ1 ... TQ4, RaBitQ1 ... 8, Trellis1 ... 4, QJL",
     "codecs: list codes, with all their suffixes (TQ4-rescaled)"},
    {"HNSW", "graph indexes: not yet"},
};

struct Section {
  const char* name;
  std::span<const Row> rows;
};

int Run(const std::string& what, const Common& common) {
  const Section sections[] = {{"formats", kFormats},   {"alphabets", kAlphabets}, {"methods", kMethods},
                              {"families", kFamilies}, {"caches", kCaches},       {"codes", kCodes},
                              {"indexes", kIndexes}};
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
  if (!known)
    FailUsage(
        "\"{}\" is not a list; known: formats, alphabets, methods, families, caches, codes, indexes, kernels",
        what);
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
  app.add_option(
      "WHAT", *what,
      "formats, alphabets, methods, families, caches, codes (of vectors), indexes or kernels (default: all)");
  return [what, &common] { return Run(*what, common); };
}

}  // namespace lowbit::cli
