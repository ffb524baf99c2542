// Models that are damaged or lie about themselves: the message names the file and what is wrong in it, the
// exit code is 1, and nothing crashes.
#include <nlohmann/json.hpp>

#include "lowbit/io/gguf.h"
#include "lowbit/io/safetensors.h"
#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

Outcome Inspect(const fs::path& path) {
  return RunProgram("inspect '" + path.string() + "'");
}
Outcome Generate(const fs::path& path) {
  return RunProgram("generate '" + path.string() + "' --prompt 'It was' -n 2");
}

TEST(BadModel, ADamagedSafetensorsFileIsNamed) {
  const CopiedModel model;
  const fs::path file = model / "model.safetensors";
  const std::string whole = ReadFile(file);
  const auto expect = [&](const std::string& bytes, const std::string& message) {
    WriteText(file, bytes);
    ExpectFailure(Inspect(model.path()), 1, file.string(), message);
  };
  expect("", "too short");
  expect(whole.substr(0, 100), "truncated");
  expect(whole.substr(0, whole.size() - 1), "truncated");
  expect(whole + "x", "belong to none");
  expect(std::string(7, '\xff') + '\x0f' + whole.substr(8), "exceeds");
  std::string overlap = whole;
  const size_t at = overlap.find("\"data_offsets\":[") + 16;
  ASSERT_EQ(overlap[at], '0');
  overlap[at] = '8';
  expect(overlap, "bytes");
}

TEST(BadModel, ATensorOfTheWrongShapeOrTypeIsNamed) {
  const CopiedModel model;
  const fs::path file = model / "model.safetensors";
  const SafetensorsFile source(kEmbedded / "model.safetensors");
  const std::string victim = "model.layers.1.mlp.up_proj.weight";
  const auto write = [&](const std::string& left_out, DType type, bool transposed) {
    MemoryTensors tensors;
    for (const std::string& name : source.Names()) {
      TensorView view = source.Get(name);
      if (name == left_out) continue;
      std::vector<std::byte> bytes(view.bytes.begin(), view.bytes.end());
      if (name == victim && transposed) std::swap(view.shape[0], view.shape[1]);
      tensors.Add(name, name == victim ? type : std::get<DType>(view.type), view.shape, std::move(bytes));
    }
    WriteSafetensors(file, tensors);
  };
  write(victim, DType::kBF16, false);
  ExpectFailure(Inspect(model.path()), 1, file.string(), victim);
  write("", DType::kBF16, true);
  ExpectFailure(Inspect(model.path()), 1, file.string(), victim, "(256, 768)", "(768, 256)");
  ExpectFailure(Generate(model.path()), 1, file.string(), victim);
  write("", DType::kI16, false);
  ExpectFailure(Generate(model.path()), 1, file.string(), victim, "I16", "quantization_config");
}

TEST(BadModel, AMissingShardIsNamed) {
  const CopiedModel model;
  fs::rename(model / "model.safetensors", model / "a.safetensors");
  nlohmann::json map;
  for (const std::string& name : SafetensorsFile(model / "a.safetensors").Names())
    map[name] = "a.safetensors";
  map["model.norm.weight"] = "b.safetensors";
  WriteText(model / "model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
  ExpectFailure(Inspect(model.path()), 1, "index.json", "model.norm.weight",
                (model / "b.safetensors").string(), "missing");
  WriteText(model / "model.safetensors.index.json", "{\"weight_map\": [");
  ExpectFailure(Inspect(model.path()), 1, (model / "model.safetensors.index.json").string(),
                "not valid JSON");
}

TEST(BadModel, ABrokenConfigurationIsNamed) {
  const std::string whole = ReadFile(kEmbedded / "config.json");
  const CopiedModel model;
  const auto expect = [&](const std::string& text, const std::string& message) {
    WriteText(model / "config.json", text);
    ExpectFailure(Inspect(model.path()), 1, model.path().string(), message);
  };
  const auto changed = [&](const std::string& key, const nlohmann::json& value) {
    nlohmann::json config = nlohmann::json::parse(whole);
    config[key] = value;
    return config.dump();
  };
  expect("", "not valid JSON");
  expect(whole.substr(0, 50), "not valid JSON");
  expect("[]", "object");
  expect("{}", "model_type");
  expect(changed("model_type", "falcon"), "known: llama");
  expect(changed("hidden_size", "wide"), "must be an integer");
  expect(changed("hidden_size", 0), "config.json: configuration: hidden_size is 0");
  expect(changed("num_hidden_layers", 1000000000), "more than any model has");
  expect(changed("num_hidden_layers", 5), "model.layers.4");
  expect(changed("num_attention_heads", 7), "must divide");
  expect(changed("head_dim", 16), "q_proj");
  expect(changed("max_position_embeddings", 0), "config.json: configuration: max_position_embeddings");
  expect(changed("rms_norm_eps", -1), "rms_norm_eps");
  expect(changed("rope_theta", 0), "config.json: rope: theta 0");
  expect(changed("rope_scaling", {{"rope_type", "spiral"}, {"factor", 2}}), "spiral");
  expect(changed("vocab_size", 100), "do not belong together");
  expect(changed("eos_token_id", 2048), "end token 2048");
  expect(changed("eos_token_id", 1ll << 40), "1099511627776");
  expect(changed("eos_token_id", -1), "\"eos_token_id\" is -1");
  expect(changed("quantization_config", {{"quant_method", 4}}), "must be a string");
  expect(changed("quantization_config", {{"quant_method", "gptq"}, {"bits", 1000}}), "1000");
  // Nesting that would end the stack of whoever copies or prints it.
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  expect("{\"eos_token_id\":" + deep + "," + whole.substr(whole.find('{') + 1), "nested deeper than");
  fs::remove(model / "config.json");
  ExpectFailure(Inspect(model.path()), 1, model.path().string(), "config.json");
}

TEST(BadModel, ABrokenTokenizerIsNamed) {
  const CopiedModel model;
  WriteText(model / "tokenizer.model", "\x0a\xff\xff\xff\x7f");
  ExpectFailure(Generate(model.path()), 1, (model / "tokenizer.model").string());
  fs::remove(model / "tokenizer.model");
  ExpectFailure(Generate(model.path()), 1, model.path().string(), "--tokenizer");
  const auto expect = [&](const std::string& text, const std::string& message) {
    WriteText(model / "tokenizer.json", text);
    ExpectFailure(Generate(model.path()), 1, model.path().string(), message);
  };
  expect("", "not valid JSON");
  expect("[1]", "not an object");
  expect("{}", "'model' is missing");
  expect(R"({"model": {"type": "WordPiece", "vocab": {}}})", "known: BPE, Unigram");
  expect(R"({"model": {"type": "BPE", "vocab": {}, "merges": []}})", "empty");
  expect(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "-1");
  expect(R"({"model": {"type": "BPE", "vocab": {"a": 2048}, "merges": []}})", "do not belong together");
  expect(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})", "merge 0");
  ExpectFailure(RunProgram("generate '" + kEmbedded.string() + "' --prompt a --tokenizer /no/such"), 1,
                "/no/such");
}

TEST(BadModel, ABrokenChatTemplateIsNamed) {
  const CopiedModel model;
  const auto chat = [&] {
    return RunProgram("generate '" + model.path().string() + "' --chat --prompt Hello -n 2");
  };
  ExpectFailure(chat(), 1, model.path().string(), "no chat template");
  WriteText(model / "chat_template.jinja", "{% for m in messages %}{{ m.content }");
  ExpectFailure(chat(), 1, model.path().string(), "line 1");
  WriteText(model / "chat_template.jinja", "{{ raise_exception('roles must alternate') }}");
  ExpectFailure(chat(), 1, model.path().string(), "roles must alternate");
  fs::remove(model / "chat_template.jinja");
  WriteText(model / "tokenizer_config.json", R"({"chat_template": 5})");
  ExpectFailure(chat(), 1, (model / "tokenizer_config.json").string(), "chat_template");
}

// A GGUF file of the embedded model, its bytes, and where things are in it.
class BadGguf : public testing::Test {
 protected:
  void SetUp() override {
    file_ = scratch_ / "model.gguf";
    const Outcome made =
        RunProgram("export '" + kEmbedded.string() + "' --to gguf -o '" + file_.string() + "'");
    ASSERT_EQ(made.code, 0) << made.output;
    whole_ = ReadFile(file_);
  }
  void Expect(const std::string& bytes, const std::string& message) {
    WriteText(file_, bytes);
    ExpectFailure(Inspect(file_), 1, file_.string(), message);
  }
  // The file with `bytes` written `offset` bytes after the first place where `name` stands.
  std::string Patched(const std::string& name, size_t offset, std::string_view bytes) const {
    std::string patched = whole_;
    const size_t at = patched.find(name) + name.size() + offset;
    return patched.replace(at, bytes.size(), bytes);
  }

  ScratchFolder scratch_;
  fs::path file_;
  std::string whole_;
};

TEST_F(BadGguf, DamageIsNamed) {
  using namespace std::string_view_literals;
  Expect("", "not a GGUF file");
  Expect(whole_.substr(0, 100), "truncated");
  Expect(whole_.substr(0, whole_.size() - 4096), "truncated");
  Expect(std::string(whole_).replace(4, 4, "\x09\0\0\0"sv), "versions 2 and 3");
  Expect(std::string(whole_).replace(4, 4, "\0\0\0\x03"sv), "big-endian");
  Expect(std::string(whole_).replace(8, 8, "\0\0\0\0\0\0\0\x10"sv), "dimensions");  // 2^60 tensors
  // After a tensor's name: dimensions (4 bytes), extents (8 each), type (4), offset (8).
  const std::string norm = "blk.1.attn_norm.weight";
  Expect(Patched(norm, 0, "\xc8\0\0\0"sv), "200 dimensions");
  Expect(Patched(norm, 4, "\0\0\0\0\0\0\0\x40"sv), "impossible shape");
  Expect(Patched(norm, 12, "\x63\0\0\0"sv), "ggml type 99");
  Expect(Patched(norm, 12, "\x02\0\0\0"sv), "belong to none");  // Q4_0: shorter than what the file holds
  Expect(Patched(norm, 16, "\0\0\0\0\0\0\x04\0"sv), "belong to none");
  Expect(Patched(norm, 16, "\0\0\0\0\0\0\0\0"sv), "overlaps");
  Expect(Patched("llama.block_count", 4, "\x09\0\0\0"sv), "model.layers.4");
  Expect(Patched("llama.embedding_length", 4, "\0\x01\x01\0"sv), "the configuration needs");
  Expect(Patched("llama.attention.head_count", 4, "\0\0\0\0"sv), "must be positive");
  Expect(Patched("general.architecture", 4 + 8, "lemma"), "known: llama");
}

TEST(BadSplitGguf, AMissingPartIsNamed) {
  const ScratchFolder folder;
  const std::vector<float> values(32, 1.0f);
  for (const uint16_t part : {0, 2}) {
    const std::string name = "m-0000" + std::to_string(part + 1) + "-of-00003.gguf";
    GgufWriter writer(folder / name,
                      {{"general.architecture", std::string("llama")},
                       {"split.no", part},
                       {"split.count", uint16_t{3}},
                       {"split.tensors.count", int32_t{3}}},
                      {{"t" + std::to_string(part), DType::kF32, {32}}});
    writer.Write("t" + std::to_string(part), std::as_bytes(std::span(values)));
    writer.Finish();
  }
  ExpectFailure(Inspect(folder / "m-00001-of-00003.gguf"), 1, (folder / "m-00002-of-00003.gguf").string(),
                "part 2 of 3 is missing");
}

TEST(BadModel, WhatIsNoModelIsNamed) {
  const ScratchFolder folder;
  WriteText(folder / "text.safetensors", "hello, this is no model at all");
  ExpectFailure(Inspect(folder / "text.safetensors"), 1, "text.safetensors", "a model is");
  WriteText(folder / "short.bin", "abc");
  ExpectFailure(Inspect(folder / "short.bin"), 1, "short.bin", "llama2.c");
  ExpectFailure(Inspect(folder.path()), 1, folder.path().string(), "config.json");
  ExpectFailure(Inspect(folder / "missing"), 1, "missing", "no such file");
}

}  // namespace
}  // namespace lowbit
