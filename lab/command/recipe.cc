#include "lab/command/recipe.h"

#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <set>

#include "lowbit/base/error.h"

namespace lowbit::lab {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();

// One table of the recipe; remembers which keys were asked for, so that a misspelt one is not ignored.
class Section {
 public:
  Section(const std::filesystem::path& path, const toml::table& root, const std::string& name)
      : path_(path.string()), name_(name), table_(root[name].as_table()) {
    if (root.contains(name) && table_ == nullptr) Fail("{}: [{}] must be a table", path_, name_);
  }

  template <typename T>
  void Read(const std::string& key, T& into) {
    known_.insert(key);
    if (table_ == nullptr || !table_->contains(key)) return;
    const auto value = table_->get(key)->value<T>();
    if (!value) Fail("{}: {}.{} has the wrong type", path_, name_, key);
    into = *value;
  }

  // A number in [low, high]. Finish() tells of a wrong one: a misspelt key may be why it has its default.
  template <typename T>
  void Read(const std::string& key, T& into, double low, double high) {
    Read(key, into);
    const auto number = static_cast<double>(into);
    if (number >= low && number <= high) return;
    Complain(high == kAny ? fmt::format("{} is {}; it must be at least {}", key, into, low)
                          : fmt::format("{} is {}; it must lie in [{}, {}]", key, into, low, high));
  }
  // One of the names.
  void Read(const std::string& key, std::string& into, const std::vector<std::string>& names) {
    Read(key, into);
    if (std::find(names.begin(), names.end(), into) == names.end())
      Complain(fmt::format("{} is '{}'; known are {}", key, into, fmt::join(names, ", ")));
  }

  const toml::array* Array(const std::string& key) {
    known_.insert(key);
    if (table_ == nullptr || !table_->contains(key)) return nullptr;
    const toml::array* array = table_->get(key)->as_array();
    if (array == nullptr) Fail("{}: {}.{} must be an array", path_, name_, key);
    return array;
  }

  void Finish() const {
    if (table_ != nullptr) {
      for (const auto& [key, value] : *table_) {
        if (!known_.contains(std::string(key.str()))) {
          Fail("{}: {}.{} is unknown; known keys are {}", path_, name_, std::string(key.str()),
               fmt::join(known_, ", "));
        }
      }
    }
    if (!complaint_.empty()) Fail("{}: {}.{}", path_, name_, complaint_);
  }

 private:
  void Complain(std::string complaint) {
    if (complaint_.empty()) complaint_ = std::move(complaint);
  }

  std::string complaint_;  // the first
  std::string path_, name_;
  const toml::table* table_;
  std::set<std::string> known_;
};

void ReadModel(Section section, LlamaConfig& model) {
  section.Read("family", model.family, {"llama", "mistral", "qwen2", "qwen3"});
  section.Read("width", model.width, 1, kAny);
  section.Read("layers", model.layers, 1, kAny);
  section.Read("heads", model.heads, 1, kAny);
  section.Read("kv_heads", model.kv_heads, 1, kAny);
  section.Read("head_size", model.head_size, 0, kAny);
  section.Read("ffn", model.ffn, 1, kAny);
  section.Read("context", model.context, 1, kAny);
  section.Read("norm_eps", model.norm_eps, 0, kAny);
  section.Read("rope_theta", model.rope.theta, 1, kAny);
  section.Read("tied", model.tied);
  section.Finish();
  model.qkv_bias = model.family == "qwen2";
  model.qk_norm = model.family == "qwen3";
  if (model.head_size == 0) model.head_size = model.width / model.heads;
}

void ReadData(const std::string& path, Section section, TrainRecipe& recipe) {
  section.Read("item", recipe.item);
  section.Read("extension", recipe.corpus.extension);
  section.Read("heldout_share", recipe.corpus.heldout_share, 0, 1);
  if (const toml::array* passages = section.Array("heldout")) {
    for (const toml::node& node : *passages) {
      const toml::table* table = node.as_table();
      if (table == nullptr) Fail("{}: data.heldout must hold tables with from and to", path);
      const auto from = (*table)["from"].value<std::string>(), to = (*table)["to"].value<std::string>();
      if (!from || !to || from->empty() || to->empty()) Fail("{}: data.heldout needs from and to", path);
      recipe.corpus.heldout.push_back({*from, *to});
    }
  }
  section.Finish();
  if (recipe.item.empty()) Fail("{}: data.item names no folder of texts", path);
}

void ReadTraining(const std::string& path, Section section, TrainRecipe& recipe) {
  NextTokenOptions& objective = recipe.objective;
  int64_t batch_tokens = 8192, seed = 0;
  std::string shape = "linear", rule = "muon", precision = "bf16";
  section.Read("seed", seed, 0, kAny);
  section.Read("steps", recipe.steps, 1, kAny);
  section.Read("evaluate_every", recipe.evaluate_every, 0, kAny);
  section.Read("batch_tokens", batch_tokens, 1, kAny);
  section.Read("micro_tokens", objective.micro_tokens, 1, kAny);
  section.Read("short_length", recipe.windows.short_length, 0, kAny);
  section.Read("short_until", recipe.windows.short_until, 0, 1);
  section.Read("rate", objective.rate.peak, 0, kAny);
  section.Read("warmup", objective.rate.warmup, 0, 1);
  section.Read("hold", objective.rate.hold, 0, 1);
  section.Read("floor", objective.rate.floor, 0, 1);
  section.Read("schedule", shape, {"constant", "cosine", "linear"});
  section.Read("optimizer", rule, {"muon", "adamw"});
  section.Read("decay", objective.decay, 0, kAny);
  section.Read("beta1", objective.optimizer.beta1, 0, 1);
  section.Read("beta2", objective.optimizer.beta2, 0, 1);
  section.Read("momentum", objective.optimizer.momentum, 0, 1);
  section.Read("clip", objective.optimizer.clip, 0, kAny);
  section.Read("average", objective.average, 0, 1);
  section.Read("precision", precision, {"bf16", "f32"});
  section.Finish();
  objective.rate.shape = ShapeFromName(shape);
  objective.rule = rule == "muon" ? Rule::kMuon : Rule::kAdamW;
  objective.precision = precision == "bf16" ? Precision::kBFloat16 : Precision::kFloat32;
  recipe.windows.block = recipe.model.context;
  if (batch_tokens < recipe.model.context || batch_tokens % recipe.model.context != 0) {
    Fail("{}: train.batch_tokens {} must be a multiple of the context {}", path, batch_tokens,
         recipe.model.context);
  }
  if (recipe.windows.short_length > 0 && recipe.model.context % recipe.windows.short_length != 0) {
    Fail("{}: train.short_length {} must divide the context {}", path, recipe.windows.short_length,
         recipe.model.context);
  }
  recipe.windows.blocks = batch_tokens / recipe.model.context;
  recipe.seed = static_cast<uint64_t>(seed);
}

}  // namespace

TrainRecipe ReadTrainRecipe(const std::filesystem::path& path) {
  toml::table root;
  try {
    root = toml::parse_file(path.string());
  } catch (const toml::parse_error& error) {
    Fail("{}:{}: {}", path.string(), error.source().begin.line, std::string(error.description()));
  }
  const std::set<std::string> sections = {"model", "tokenizer", "data", "train"};
  for (const auto& [key, value] : root) {
    if (!sections.contains(std::string(key.str()))) {
      Fail("{}: [{}] is unknown; known sections are {}", path.string(), std::string(key.str()),
           fmt::join(sections, ", "));
    }
  }
  TrainRecipe recipe;
  ReadModel({path, root, "model"}, recipe.model);
  Section tokenizer(path, root, "tokenizer");
  tokenizer.Read("vocab", recipe.tokenizer.vocab, 1, kAny);
  tokenizer.Read("character_coverage", recipe.tokenizer.character_coverage, 0, 1);
  tokenizer.Finish();
  recipe.model.vocab = recipe.tokenizer.vocab;
  ReadData(path.string(), {path, root, "data"}, recipe);
  ReadTraining(path.string(), {path, root, "train"}, recipe);
  return recipe;
}

}  // namespace lowbit::lab
