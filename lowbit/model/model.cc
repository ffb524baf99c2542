#include "lowbit/model/model.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/llama2c.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/bundle.h"
#include "lowbit/model/gguf_model.h"
#include "lowbit/model/hf_config.h"
#include "lowbit/model/quantized_checkpoint.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string ReadIfThere(const fs::path& path) {
  return fs::exists(path) ? ReadFile(path) : std::string();
}

json ParseJson(const std::string& text, const std::string& where) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    try {
      value = json::parse(text);
    } catch (const json::exception& error) {
      Fail("{}: not valid JSON: {}", where, error.what());
    }
  }
  return value;
}

// "eos_token_id" of config.json or generation_config.json: one id or several.
void AddEndTokens(const json& object, const std::string& where, std::vector<int32_t>& out) {
  if (!object.is_object() || !object.contains("eos_token_id") || object["eos_token_id"].is_null()) return;
  const json& value = object["eos_token_id"];
  for (const json& id : value.is_array() ? value : json::array({value})) {
    if (!id.is_number_integer()) Fail("{}: \"eos_token_id\" must be an integer or a list of integers", where);
    const auto token = id.get<int32_t>();
    if (std::find(out.begin(), out.end(), token) == out.end()) out.push_back(token);
  }
}

// chat_template.jinja, or the key of tokenizer_config.json (a string, or a list with one named "default").
std::string ChatTemplateIn(const fs::path& folder) {
  if (const std::string text = ReadIfThere(folder / "chat_template.jinja"); !text.empty()) return text;
  const std::string text = ReadIfThere(folder / "tokenizer_config.json");
  if (text.empty()) return "";
  const json config = ParseJson(text, (folder / "tokenizer_config.json").string());
  if (!config.is_object() || !config.contains("chat_template")) return "";
  const json& value = config["chat_template"];
  if (value.is_string()) return value.get<std::string>();
  for (const json& entry : value) {
    if (entry.is_object() && entry.value("name", "") == "default") return entry.value("template", "");
  }
  return "";
}

std::shared_ptr<const Tokenizer> TokenizerIn(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) {
    HuggingFaceTexts beside{ReadIfThere(folder / "tokenizer_config.json"),
                            ReadIfThere(folder / "special_tokens_map.json")};
    return std::make_shared<Tokenizer>(
        Tokenizer::FromHuggingFace(ReadFile(folder / "tokenizer.json"), beside));
  }
  if (fs::exists(folder / "tokenizer.model")) {
    return std::make_shared<Tokenizer>(Tokenizer::FromSentencePiece(ReadFile(folder / "tokenizer.model")));
  }
  return nullptr;
}

std::shared_ptr<const Tokenizer> TokenizerAt(const fs::path& path) {
  if (fs::is_directory(path)) {
    auto tokenizer = TokenizerIn(path);
    if (!tokenizer) Fail("{}: holds neither tokenizer.json nor tokenizer.model", path.string());
    return tokenizer;
  }
  if (path.extension() == ".json")
    return std::make_shared<Tokenizer>(Tokenizer::FromHuggingFace(ReadFile(path)));
  if (path.extension() == ".model")
    return std::make_shared<Tokenizer>(Tokenizer::FromSentencePiece(ReadFile(path)));
  if (path.extension() == ".bin") return std::make_shared<Tokenizer>(Tokenizer::FromLlama2c(ReadFile(path)));
  if (path.extension() == ".gguf")
    return std::make_shared<Tokenizer>(Tokenizer::FromGguf(VocabularyFromGguf(GgufFile(path))));
  Fail(
      "{}: a tokenizer is a tokenizer.json, a tokenizer.model, a llama2.c tokenizer.bin, a GGUF file or a "
      "folder with "
      "one of the first two",
      path.string());
}

void OpenFolder(const fs::path& path, Model& model) {
  const fs::path config = path / "config.json";
  if (!fs::exists(config)) Fail("{}: the folder holds no config.json", path.string());
  const json parsed = ParseJson(ReadFile(config), config.string());
  model.kind = "Hugging Face folder";
  model.config = ParseHfConfig(parsed, config.string());
  const std::shared_ptr<const TensorSource> source = OpenSafetensors(path);
  const fs::path quantize_config = path / "quantize_config.json";
  if (parsed.contains("quantization_config")) {
    model.kind = "quantized Hugging Face folder";
    model.weights =
        std::make_shared<QuantizedCheckpoint>(source, parsed["quantization_config"], config.string());
  } else if (fs::exists(quantize_config)) {
    model.kind = "quantized Hugging Face folder";
    model.weights = std::make_shared<QuantizedCheckpoint>(
        source, ParseJson(ReadFile(quantize_config), quantize_config.string()), quantize_config.string());
  } else {
    model.weights = std::make_shared<PlainWeights>(source);
  }
  if (!model.config.tied && !model.weights->Has("lm_head.weight")) model.config.tied = true;
  model.tokenizer = TokenizerIn(path);
  model.chat_template = ChatTemplateIn(path);
  const fs::path generation = path / "generation_config.json";
  if (fs::exists(generation))
    AddEndTokens(ParseJson(ReadFile(generation), generation.string()), generation.string(), model.end_tokens);
  AddEndTokens(parsed, config.string(), model.end_tokens);
}

void OpenGguf(const fs::path& path, Model& model) {
  auto file = std::make_shared<GgufFile>(path);
  model.kind = "GGUF file";
  model.config = ConfigFromGguf(*file);
  model.weights = std::make_shared<GgufWeights>(file, model.config);
  if (file->FindString("tokenizer.ggml.model").value_or("none") != "none") {
    model.tokenizer = std::make_shared<Tokenizer>(Tokenizer::FromGguf(VocabularyFromGguf(*file)));
  }
  model.chat_template = file->FindString("tokenizer.chat_template").value_or("");
}

void OpenBundle(const std::shared_ptr<const SafetensorsFile>& file, Model& model) {
  auto bundle = std::make_shared<Bundle>(file);
  model.kind = "lowbit file";
  model.config = bundle->header().config;
  model.weights = bundle;
  const auto& tables = bundle->header().tables;
  if (const auto found = tables.find("tokenizer.json"); found != tables.end()) {
    HuggingFaceTexts beside;
    if (const auto config = tables.find("tokenizer_config.json"); config != tables.end()) {
      beside.tokenizer_config = config->second;
    }
    model.tokenizer = std::make_shared<Tokenizer>(Tokenizer::FromHuggingFace(found->second, beside));
  }
  if (const auto found = tables.find("chat_template"); found != tables.end())
    model.chat_template = found->second;
  if (const auto found = tables.find("generation_config.json"); found != tables.end()) {
    AddEndTokens(ParseJson(found->second, file->Where()), file->Where(), model.end_tokens);
  }
}

void OpenLlama2c(const fs::path& path, Model& model) {
  auto file = std::make_shared<Llama2cFile>(path);
  model.kind = "llama2.c checkpoint";
  const Llama2cHeader& h = file->header();
  LlamaConfig& c = model.config;
  c.vocab = h.vocab;
  c.width = h.dim;
  c.layers = h.layers;
  c.heads = h.heads;
  c.kv_heads = h.kv_heads;
  c.head_size = h.head_size();
  c.ffn = h.hidden_dim;
  c.context = h.seq_len;
  c.tied = h.tied;
  c.norm_eps = 1e-5;  // fixed by llama2.c
  model.weights = std::make_shared<PlainWeights>(file);
  // The tokenizer lies beside the checkpoint under a name of its own.
  for (const auto& entry :
       fs::directory_iterator(path.has_parent_path() ? path.parent_path() : fs::path("."))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("tok") && name.ends_with(".bin") && entry.path() != path) {
      Tokenizer tokenizer = Tokenizer::FromLlama2c(ReadFile(entry.path()));
      if (tokenizer.vocab_size() == c.vocab)
        model.tokenizer = std::make_shared<Tokenizer>(std::move(tokenizer));
    }
  }
}

bool StartsWith(const fs::path& path, std::string_view magic) {
  std::ifstream in(path, std::ios::binary);
  std::string head(magic.size(), '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  return in.gcount() == static_cast<std::streamsize>(magic.size()) && head == magic;
}

}  // namespace

Model OpenModel(const fs::path& path, const fs::path& tokenizer) {
  if (!fs::exists(path)) Fail("{}: no such file or folder", path.string());
  Model model{.path = path};
  if (fs::is_directory(path)) {
    OpenFolder(path, model);
  } else if (StartsWith(path, "GGUF")) {
    OpenGguf(path, model);
  } else if (path.extension() == ".bin") {
    OpenLlama2c(path, model);
  } else {
    std::shared_ptr<const SafetensorsFile> file;
    try {
      file = std::make_shared<SafetensorsFile>(path);
    } catch (const Error& error) {
      Fail("{} (a model is a Hugging Face folder, a GGUF file, a lowbit file or a llama2.c .bin)",
           error.what());
    }
    if (!Bundle::Is(*file)) {
      Fail("{}: a plain safetensors file; open its folder, which holds config.json and the tokenizer",
           path.string());
    }
    OpenBundle(file, model);
  }
  model.graph = std::make_shared<Graph>(BuildLlama(model.config));
  if (!tokenizer.empty()) model.tokenizer = TokenizerAt(tokenizer);
  if (model.tokenizer) {
    for (const int32_t id : model.tokenizer->eos()) {
      if (std::find(model.end_tokens.begin(), model.end_tokens.end(), id) == model.end_tokens.end())
        model.end_tokens.push_back(id);
    }
    if (!model.end_tokens.empty())
      model.tokenizer = std::make_shared<Tokenizer>(model.tokenizer->WithEos(model.end_tokens));
    if (model.tokenizer->vocab_size() > model.config.vocab) {
      Fail("{}: the tokenizer has {} entries, the model {}: they do not belong together", path.string(),
           model.tokenizer->vocab_size(), model.config.vocab);
    }
  }
  return model;
}

std::map<std::string, std::string> TablesOf(const Model& model) {
  std::map<std::string, std::string> tables;
  if (model.tokenizer) {
    const HuggingFaceTokenizer tokenizer = model.tokenizer->ToHuggingFace();
    tables["tokenizer.json"] = tokenizer.tokenizer_json;
    tables["tokenizer_config.json"] = tokenizer.beside.tokenizer_config;
  }
  if (!model.chat_template.empty()) tables["chat_template"] = model.chat_template;
  if (!model.end_tokens.empty())
    tables["generation_config.json"] = json{{"eos_token_id", model.end_tokens}}.dump();
  return tables;
}

}  // namespace lowbit
