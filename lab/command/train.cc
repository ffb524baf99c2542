#include "lab/command/train.h"

#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "lab/command/recipe.h"
#include "lowbit/base/error.h"
#include "lowbit/base/naming.h"
#include "lowbit/base/progress.h"
#include "lowbit/io/file.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/model.h"

namespace lowbit::lab {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path recipe, data, out;
  int64_t steps = 0, seed = -1;
  int threads = 1;
  std::string device = "cpu";
  bool resume = false;
};

// The texts as they stand, one after the other, each ended by the end token.
std::vector<int32_t> Stream(const Tokenizer& tokenizer, const std::vector<Document>& documents) {
  std::vector<int32_t> stream;
  for (const Document& document : documents) {
    const std::vector<int32_t> ids =
        tokenizer.Encode(document.text, {.add_special = false, .parse_special = ParseSpecial::kNo});
    stream.insert(stream.end(), ids.begin(), ids.end());
    stream.push_back(tokenizer.eos()[0]);
  }
  return stream;
}

// Windows of the held-out texts as `lowbit eval` makes them.
std::vector<Window> HeldOut(const Tokenizer& tokenizer, const Corpus& corpus, int64_t context) {
  if (corpus.heldout.empty()) return {};
  std::vector<std::string> texts;
  for (const Document& document : corpus.heldout) {
    fmt::print(stderr, "held out: {}, {} bytes\n", document.name, document.text.size());
    texts.push_back(document.text);
  }
  return MakeWindows(tokenizer, texts, {.context = context}).windows;
}

// A Hugging Face folder beside the tokenizer.model, weights in bf16.
void Export(const LlamaConfig& config, std::shared_ptr<const Tokenizer> tokenizer, const Weights& weights,
            const fs::path& folder) {
  // Alignment 1: foreign readers see our tensors alone, without filler.
  WriteSafetensors(folder / "model.safetensors", ToTensors(weights, DType::kBF16), {{"format", "pt"}},
                   {.alignment = 1});
  Model model{.path = folder, .config = config, .tokenizer = std::move(tokenizer)};
  model.end_tokens.assign(model.tokenizer->eos().begin(), model.tokenizer->eos().end());
  WriteHfTables(model, folder, {{"torch_dtype", "bfloat16"}});
}

torch::Device DeviceOf(const std::string& name) {
  try {
    const torch::Device device(name);
    if (device.is_cuda() && !torch::cuda::is_available())
      FailUsage("--device {}: libtorch finds no CUDA device", name);
    return device;
  } catch (const c10::Error&) {
    FailUsage("--device {}: not a device; cpu, cuda or cuda:N", name);
  }
}

int Train(const Arguments& arguments) {
  TrainRecipe recipe = ReadTrainRecipe(arguments.recipe);
  if (arguments.steps > 0) recipe.steps = arguments.steps;
  if (arguments.seed >= 0) recipe.seed = static_cast<uint64_t>(arguments.seed);
  recipe.corpus.folder = arguments.data / recipe.item;
  // Everything that can be wrong with the request is looked at before the work begins.
  const Graph graph = Naming(arguments.recipe.string(), [&] { return BuildLlama(recipe.model); });
  recipe.objective.device = DeviceOf(arguments.device);
  const Corpus corpus = LoadCorpus(recipe.corpus);
  OutputFolder out(arguments.out);

  const fs::path model_path = arguments.out / "tokenizer.model";
  const fs::path checkpoint = arguments.out / "checkpoint.pt";
  const bool resumed = arguments.resume && fs::exists(checkpoint);
  if (!resumed) {
    fmt::print(stderr, "training the tokenizer\n");
    WriteFile(model_path, TrainTokenizer(corpus.train, recipe.tokenizer));
  }
  const auto tokenizer = std::make_shared<Tokenizer>(Tokenizer::FromSentencePiece(ReadFile(model_path)));
  const std::vector<int32_t> stream = Stream(*tokenizer, corpus.train);

  Weights weights = InitialWeights(graph, recipe.seed);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : weights) parameters += tensor.numel();
  recipe.windows.seed = recipe.seed;
  recipe.windows.start_token = tokenizer->bos();
  Windows windows(stream, recipe.windows);
  const int64_t batch_tokens = recipe.windows.block * recipe.windows.blocks;
  fmt::print(stderr, "{} parameters, {} training tokens, {} steps of {} tokens ({:.1f} epochs)\n", parameters,
             stream.size(), recipe.steps, batch_tokens,
             static_cast<double>(recipe.steps * batch_tokens) / static_cast<double>(stream.size()));
  NextToken objective(graph, std::move(weights), recipe.objective,
                      HeldOut(*tokenizer, corpus, recipe.model.context));
  LoopOptions loop;
  loop.steps = recipe.steps;
  loop.checkpoint = checkpoint;
  loop.log = arguments.out / "curve.jsonl";
  loop.resume = arguments.resume;
  loop.evaluate_every = recipe.evaluate_every;
  Loop(objective, windows, loop);
  Export(recipe.model, tokenizer, objective.Result(), arguments.out);
  out.Keep();
  return 0;
}

}  // namespace

int TrainCommand(int argc, const char* const* argv) {
  Arguments arguments;
  CLI::App app("Trains a language model from scratch and writes a Hugging Face folder.", "lowbit train");
  app.add_option("recipe", arguments.recipe, "recipe (TOML): model, tokenizer, texts, training")->required();
  app.add_option("--data", arguments.data, "data folder")->required();
  app.add_option("-o,--out", arguments.out, "folder to write")->required();
  app.add_option("--steps", arguments.steps, "steps, instead of the recipe's")->check(CLI::PositiveNumber);
  app.add_option("--seed", arguments.seed, "seed, instead of the recipe's")->check(CLI::NonNegativeNumber);
  app.add_option("--threads", arguments.threads, "threads; the result depends on them only through libtorch");
  app.add_option("--device", arguments.device, "cpu, cuda, cuda:1 ...");
  app.add_flag("--resume", arguments.resume, "go on from the checkpoint in the folder");
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
