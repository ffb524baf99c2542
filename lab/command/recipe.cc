#include "lab/command/recipe.h"

#include <toml++/toml.h>

#include <set>

#include "lowbit/base/error.h"

namespace lowbit::lab {
namespace {

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

  const toml::array* Array(const std::string& key) {
    known_.insert(key);
    if (table_ == nullptr || !table_->contains(key)) return nullptr;
    const toml::array* array = table_->get(key)->as_array();
    if (array == nullptr) Fail("{}: {}.{} must be an array", path_, name_, key);
    return array;
  }

  void Finish() const {
    if (table_ == nullptr) return;
    for (const auto& [key, value] : *table_) {
      if (!known_.contains(std::string(key.str()))) {
        Fail("{}: {}.{} is unknown; known keys are {}", path_, name_, std::string(key.str()),
             fmt::join(known_, ", "));
      }
    }
  }

 private:
  std::string path_, name_;
  const toml::table* table_;
  std::set<std::string> known_;
};

void ReadModel(const std::string& path, Section section, LlamaConfig& model) {
  section.Read("family", model.family);
  section.Read("width", model.width);
  section.Read("layers", model.layers);
  section.Read("heads", model.heads);
  section.Read("kv_heads", model.kv_heads);
  section.Read("head_size", model.head_size);
  section.Read("ffn", model.ffn);
  section.Read("context", model.context);
  section.Read("norm_eps", model.norm_eps);
  section.Read("rope_theta", model.rope.theta);
  section.Read("tied", model.tied);
  section.Finish();
  const std::set<std::string> families = {"llama", "mistral", "qwen2", "qwen3"};
  if (!families.contains(model.family)) {
    Fail("{}: model.family is '{}'; known are {}", path, model.family, fmt::join(families, ", "));
  }
  model.qkv_bias = model.family == "qwen2";
  model.qk_norm = model.family == "qwen3";
  if (model.head_size == 0 && model.heads > 0) model.head_size = model.width / model.heads;
}

void ReadData(const std::string& path, Section section, TrainRecipe& recipe) {
  section.Read("item", recipe.item);
  section.Read("extension", recipe.corpus.extension);
  section.Read("heldout_share", recipe.corpus.heldout_share);
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
  section.Read("seed", seed);
  section.Read("steps", recipe.steps);
  section.Read("evaluate_every", recipe.evaluate_every);
  section.Read("batch_tokens", batch_tokens);
  section.Read("micro_tokens", objective.micro_tokens);
  section.Read("short_length", recipe.windows.short_length);
  section.Read("short_until", recipe.windows.short_until);
  section.Read("rate", objective.rate.peak);
  section.Read("warmup", objective.rate.warmup);
  section.Read("hold", objective.rate.hold);
  section.Read("floor", objective.rate.floor);
  section.Read("schedule", shape);
  section.Read("optimizer", rule);
  section.Read("decay", objective.decay);
  section.Read("beta1", objective.optimizer.beta1);
  section.Read("beta2", objective.optimizer.beta2);
  section.Read("momentum", objective.optimizer.momentum);
  section.Read("clip", objective.optimizer.clip);
  section.Read("average", objective.average);
  section.Read("precision", precision);
  section.Finish();
  objective.rate.shape = ShapeFromName(shape);
  if (rule != "muon" && rule != "adamw")
    Fail("{}: train.optimizer is '{}'; known are muon, adamw", path, rule);
  objective.rule = rule == "muon" ? Rule::kMuon : Rule::kAdamW;
  if (precision != "bf16" && precision != "f32")
    Fail("{}: train.precision is '{}'; known are bf16, f32", path, precision);
  objective.precision = precision == "bf16" ? Precision::kBFloat16 : Precision::kFloat32;
  recipe.windows.block = recipe.model.context;
  if (batch_tokens < recipe.model.context || batch_tokens % recipe.model.context != 0) {
    Fail("{}: train.batch_tokens {} must be a multiple of the context {}", path, batch_tokens,
         recipe.model.context);
  }
  if (recipe.steps < 1) Fail("{}: train.steps must be positive", path);
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
  ReadModel(path.string(), {path, root, "model"}, recipe.model);
  Section tokenizer(path, root, "tokenizer");
  tokenizer.Read("vocab", recipe.tokenizer.vocab);
  tokenizer.Read("character_coverage", recipe.tokenizer.character_coverage);
  tokenizer.Finish();
  recipe.model.vocab = recipe.tokenizer.vocab;
  ReadData(path.string(), {path, root, "data"}, recipe);
  ReadTraining(path.string(), {path, root, "train"}, recipe);
  return recipe;
}

}  // namespace lowbit::lab
