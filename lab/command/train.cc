#include "lab/command/train.h"

#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "lab/command/recipe.h"
#include "lab/command/write_model.h"
#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/io/file.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/hf_config.h"

namespace lowbit::lab {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path recipe, data, out;
  int64_t steps = 0, seed = -1;
  int threads = 1;
  std::string device = "cpu";
  bool resume = false, json = false;
};

// Documents one after the other, each ended by </s>.
std::vector<int32_t> Stream(const std::vector<std::vector<int32_t>>& documents) {
  constexpr int32_t kEnd = 2;
  std::vector<int32_t> stream;
  for (const auto& ids : documents) {
    stream.insert(stream.end(), ids.begin(), ids.end());
    stream.push_back(kEnd);
  }
  return stream;
}

// The held-out passages one after the other.
std::string HeldOutTextFile(const Corpus& corpus) {
  std::string all;
  for (const Document& document : corpus.heldout) all += document.text;
  return all;
}

void WriteText(const fs::path& path, const std::string& text) {
  AtomicFile file(path);
  file.Write(std::string_view(text));
  file.Commit();
}

// A Hugging Face folder beside the tokenizer.model: config.json, generation_config.json, model.safetensors in
// bf16.
void Export(const LlamaConfig& config, const Weights& weights, const fs::path& folder) {
  std::vector<SafetensorsWriter::Tensor> tensors;
  for (const auto& [name, tensor] : weights) {
    const auto sizes = tensor.sizes();
    tensors.push_back({name, DType::kBF16, std::vector<int64_t>(sizes.begin(), sizes.end())});
  }
  // Alignment 1: foreign readers see our tensors alone, without filler.
  SafetensorsWriter writer(folder / "model.safetensors", tensors, {{"format", "pt"}}, {.alignment = 1});
  for (const auto& [name, tensor] : weights) {
    const torch::Tensor bf16 = tensor.detach().cpu().to(torch::kBFloat16).contiguous();
    writer.Write(name,
                 {static_cast<const std::byte*>(bf16.data_ptr()), static_cast<size_t>(bf16.numel()) * 2});
  }
  writer.Finish();
  nlohmann::json json = ToHfConfig(config);
  json["torch_dtype"] = "bfloat16";
  json["bos_token_id"] = 1;
  json["eos_token_id"] = 2;
  WriteText(folder / "config.json", json.dump(2) + "\n");
  WriteText(folder / "generation_config.json",
            nlohmann::json{{"bos_token_id", 1}, {"eos_token_id", 2}}.dump(2) + "\n");
}

int Train(const Arguments& arguments) {
  TrainRecipe recipe = ReadTrainRecipe(arguments.recipe);
  if (arguments.steps > 0) recipe.steps = arguments.steps;
  if (arguments.seed >= 0) recipe.seed = static_cast<uint64_t>(arguments.seed);
  recipe.corpus.folder = arguments.data / recipe.item;
  const Corpus corpus = LoadCorpus(recipe.corpus);
  fs::create_directories(arguments.out);

  const fs::path model_path = arguments.out / "tokenizer.model";
  const fs::path checkpoint = arguments.out / "checkpoint.pt";
  const bool resumed = arguments.resume && fs::exists(checkpoint);
  std::string tokenizer;
  if (resumed) {
    tokenizer = ReadFile(model_path);
  } else {
    fmt::print(stderr, "training the tokenizer\n");
    tokenizer = TrainTokenizer(corpus.train, recipe.tokenizer);
    WriteText(model_path, tokenizer);
  }
  const std::vector<int32_t> stream = Stream(Tokenize(tokenizer, corpus.train));
  std::vector<HeldOutText> heldout;
  WriteText(arguments.out / "heldout.txt", HeldOutTextFile(corpus));
  const auto heldout_ids = Tokenize(tokenizer, corpus.heldout);
  for (size_t i = 0; i < heldout_ids.size(); ++i) {
    heldout.push_back({heldout_ids[i], static_cast<int64_t>(corpus.heldout[i].text.size())});
    fmt::print(stderr, "held out: {}, {} bytes\n", corpus.heldout[i].name, heldout.back().bytes);
  }

  const Graph graph = BuildLlama(recipe.model);
  Weights weights = InitialWeights(graph, recipe.seed);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : weights) parameters += tensor.numel();
  recipe.windows.seed = recipe.seed;
  recipe.objective.device = torch::Device(arguments.device);
  Windows windows(stream, recipe.windows);
  const int64_t batch_tokens = recipe.windows.block * recipe.windows.blocks;
  fmt::print(stderr, "{} parameters, {} training tokens, {} steps of {} tokens ({:.1f} epochs)\n", parameters,
             stream.size(), recipe.steps, batch_tokens,
             static_cast<double>(recipe.steps * batch_tokens) / static_cast<double>(stream.size()));
  NextToken objective(graph, std::move(weights), recipe.objective, heldout);
  LoopOptions loop;
  loop.steps = recipe.steps;
  loop.checkpoint = checkpoint;
  loop.log = arguments.out / "curve.jsonl";
  loop.resume = arguments.resume;
  loop.evaluate_every = recipe.evaluate_every;
  Loop(objective, windows, loop);
  Export(recipe.model, objective.Result(), arguments.out);
  return 0;
}

}  // namespace

int TrainCommand(int argc, const char* const* argv) {
  Arguments arguments;
  CLI::App app("Trains a language model from scratch and writes a Hugging Face folder.", "lowbit train");
  app.add_option("recipe", arguments.recipe, "recipe (TOML): model, tokenizer, texts, training")->required();
  app.add_option("--data", arguments.data, "data folder")->required();
  app.add_option("-o,--out", arguments.out, "folder to write")->required();
  app.add_option("--steps", arguments.steps, "steps, instead of the recipe's");
  app.add_option("--seed", arguments.seed, "seed, instead of the recipe's");
  app.add_option("--threads", arguments.threads, "threads; the result depends on them only through libtorch");
  app.add_option("--device", arguments.device, "cpu, cuda, cuda:1 ...");
  app.add_flag("--resume", arguments.resume, "go on from the checkpoint in the folder");
  app.add_flag("--json", arguments.json, "print the result as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
#ifdef __GLIBC__
  // Activations of tens of megabytes come and go with every operation: keep their pages (12 % of the time
  // went into clearing new ones).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
  torch::set_num_threads(std::max(1, arguments.threads));
  InstallInterruptHandler();
  try {
    return Train(arguments);
  } catch (const Interrupted&) {
    fmt::print(stderr, "stopped; the same command with --resume goes on from {}\n",
               (arguments.out / "checkpoint.pt").string());
    throw;
  }
}

}  // namespace lowbit::lab
