#include "lowbit/model/model.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/base/naming.h"
#include "lowbit/io/file.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/json.h"
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

// "eos_token_id" of config.json or generation_config.json: one id or several.
void AddEndTokens(const json& object, const std::string& where, std::vector<int32_t>& out) {
  if (!object.is_object() || !object.contains("eos_token_id") || object["eos_token_id"].is_null()) return;
  const json& value = object["eos_token_id"];
  for (const json& id : value.is_array() ? value : json::array({value})) {
    if (!id.is_number_integer()) Fail("{}: \"eos_token_id\" must be an integer or a list of integers", where);
    if (id.is_number_unsigned() ? id.get<uint64_t>() > INT32_MAX : id.get<int64_t>() < 0) {
      Fail("{}: \"eos_token_id\" is {}, which no vocabulary has", where, id.dump());
    }
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
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  const auto text_of = [](const json& entry, const char* key) {
    return entry.is_object() && entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>()
                                                                              : std::string();
  };
  if (value.is_array()) {
    for (const json& entry : value) {
      if (text_of(entry, "name") == "default") return text_of(entry, "template");
    }
    return "";
  }
  Fail("{}: \"chat_template\" must be a string or a list of named templates",
       (folder / "tokenizer_config.json").string());
}

std::shared_ptr<const Tokenizer> TokenizerIn(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) {
    HuggingFaceTexts beside{ReadIfThere(folder / "tokenizer_config.json"),
                            ReadIfThere(folder / "special_tokens_map.json")};
    return Naming(folder.string(), [&] {
      return std::make_shared<Tokenizer>(
          Tokenizer::FromHuggingFace(ReadFile(folder / "tokenizer.json"), beside));
    });
  }
  if (const fs::path file = folder / "tokenizer.model"; fs::exists(file)) {
    return Naming(file.string(),
                  [&] { return std::make_shared<Tokenizer>(Tokenizer::FromSentencePiece(ReadFile(file))); });
  }
  return nullptr;
}

Tokenizer TokenizerFile(const fs::path& path) {
  if (path.extension() == ".json") return Tokenizer::FromHuggingFace(ReadFile(path));
  if (path.extension() == ".model") return Tokenizer::FromSentencePiece(ReadFile(path));
  if (path.extension() == ".bin") return Tokenizer::FromLlama2c(ReadFile(path));
  if (path.extension() == ".gguf") return Tokenizer::FromGguf(VocabularyFromGguf(GgufFile(path)));
  Fail(
      "{}: a tokenizer is a tokenizer.json, a tokenizer.model, a llama2.c tokenizer.bin, a GGUF file or a "
      "folder with "
      "one of the first two",
      path.string());
}

std::shared_ptr<const Tokenizer> TokenizerAt(const fs::path& path) {
  if (!fs::exists(path)) Fail("{}: no such tokenizer", path.string());
  if (fs::is_directory(path)) {
    auto tokenizer = TokenizerIn(path);
    if (!tokenizer) Fail("{}: holds neither tokenizer.json nor tokenizer.model", path.string());
    return tokenizer;
  }
  return Naming(path.string(), [&] { return std::make_shared<Tokenizer>(TokenizerFile(path)); });
}

void OpenFolder(const fs::path& path, Model& model) {
  const fs::path config = path / "config.json";
  if (!fs::exists(config)) Fail("{}: the folder holds no config.json", path.string());
  const json parsed = ParseJson(ReadFile(config), config.string());
  model.kind = "Hugging Face folder";
  model.config = ParseHfConfig(parsed, config.string());
  const std::shared_ptr<const TensorSource> source = OpenSafetensors(path);
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".safetensors") model.weight_files.push_back(entry.path());
    if (extension == ".json" || extension == ".model" || extension == ".jinja")
      model.other_files.push_back(entry.path());
  }
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
  model.weight_files = file->Files();
  model.config = ConfigFromGguf(*file);
  model.weights = std::make_shared<GgufWeights>(file, model.config);
  if (file->FindString("tokenizer.ggml.model").value_or("none") != "none") {
    model.tokenizer = Naming(path.string(), [&] {
      return std::make_shared<Tokenizer>(Tokenizer::FromGguf(VocabularyFromGguf(*file)));
    });
  }
  model.chat_template = file->FindString("tokenizer.chat_template").value_or("");
}

void OpenBundle(const std::shared_ptr<const SafetensorsFile>& file, Model& model) {
  auto bundle = std::make_shared<Bundle>(file);
  model.kind = "lowbit file";
  model.weight_files = {model.path};
  model.config = bundle->header().config;
  model.weights = bundle;
  const auto& tables = bundle->header().tables;
  if (const auto found = tables.find("tokenizer.json"); found != tables.end()) {
    HuggingFaceTexts beside;
    if (const auto config = tables.find("tokenizer_config.json"); config != tables.end()) {
      beside.tokenizer_config = config->second;
    }
    model.tokenizer = Naming(file->Where(), [&] {
      return std::make_shared<Tokenizer>(Tokenizer::FromHuggingFace(found->second, beside));
    });
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
  model.weight_files = {path};
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
      Tokenizer tokenizer = Naming(entry.path().string(), [&] { return TokenizerFile(entry.path()); });
      if (tokenizer.vocab_size() == c.vocab) {
        model.tokenizer = std::make_shared<Tokenizer>(std::move(tokenizer));
        model.other_files = {entry.path()};
      }
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
  } else if (path.extension() == ".gguf" || StartsWith(path, "GGUF")) {
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
  const std::string where = fs::is_directory(path) ? (path / "config.json").string() : path.string();
  model.graph = Naming(where, [&] { return std::make_shared<Graph>(BuildLlama(model.config)); });
  if (!tokenizer.empty()) {
    model.tokenizer = TokenizerAt(tokenizer);
    model.other_files.push_back(tokenizer);
  }
  if (model.tokenizer) {
    for (const int32_t id : model.tokenizer->eos()) {
      if (std::find(model.end_tokens.begin(), model.end_tokens.end(), id) == model.end_tokens.end())
        model.end_tokens.push_back(id);
    }
    if (!model.end_tokens.empty()) {
      model.tokenizer = Naming(path.string(), [&] {
        return std::make_shared<Tokenizer>(model.tokenizer->WithEos(model.end_tokens));
      });
    }
    if (model.tokenizer->vocab_size() > model.config.vocab) {
      Fail("{}: the tokenizer{} has {} entries, the model {}: they do not belong together", path.string(),
           tokenizer.empty() ? "" : " " + tokenizer.string(), model.tokenizer->vocab_size(),
           model.config.vocab);
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

void WriteHfTables(const Model& model, const fs::path& folder, const json& extra) {
  json config = ToHfConfig(model.config);
  const json type = config["torch_dtype"];
  config.update(extra);
  // Gemma's says how the scale of the embedding was rounded.
  if (model.config.family == "gemma3_text") config["torch_dtype"] = type;
  if (model.tokenizer && model.tokenizer->bos() >= 0) config["bos_token_id"] = model.tokenizer->bos();
  if (!model.end_tokens.empty()) config["eos_token_id"] = model.end_tokens;
  WriteFile(folder / "config.json", config.dump(2) + "\n");
  for (const auto& [name, text] : TablesOf(model)) {
    WriteFile(folder / (name == "chat_template" ? "chat_template.jinja" : name), text);
  }
}

}  // namespace lowbit
