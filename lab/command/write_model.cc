#include "lab/command/write_model.h"

#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/io/file.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/hf_config.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit::lab {
namespace {

void WriteText(const std::filesystem::path& path, const std::string& text) {
  AtomicFile file(path);
  file.Write(std::string_view(text));
  file.Commit();
}

std::vector<uint16_t> Rounded(const std::string& name, const torch::Tensor& weight) {
  const torch::Tensor plain = weight.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  if (!plain.isfinite().all().item<bool>()) Fail("weight {} is not finite; the model is not written", name);
  std::vector<uint16_t> bits(static_cast<size_t>(plain.numel()));
  const float* values = plain.data_ptr<float>();
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = FloatToBF16(values[i]);
  return bits;
}

}  // namespace

void WriteModel(const std::filesystem::path& folder, const LlamaConfig& config, const Weights& weights,
                const std::string& tokenizer_model) {
  std::filesystem::create_directories(folder);
  const Tokenizer tokenizer = Tokenizer::FromSentencePiece(tokenizer_model);
  const HuggingFaceTokenizer hugging_face = tokenizer.ToHuggingFace();
  WriteText(folder / "tokenizer.model", tokenizer_model);
  WriteText(folder / "tokenizer.json", hugging_face.tokenizer_json);
  WriteText(folder / "tokenizer_config.json", hugging_face.beside.tokenizer_config);

  nlohmann::json json = ToHfConfig(config);
  const int end = tokenizer.eos().empty() ? -1 : tokenizer.eos().front();
  json["torch_dtype"] = "bfloat16";
  json["bos_token_id"] = tokenizer.bos();
  json["eos_token_id"] = end;
  WriteText(folder / "config.json", json.dump(2) + "\n");
  const nlohmann::ordered_json generation = {{"bos_token_id", tokenizer.bos()}, {"eos_token_id", end}};
  WriteText(folder / "generation_config.json", generation.dump(2) + "\n");

  std::vector<SafetensorsWriter::Tensor> tensors;
  for (const auto& [name, weight] : weights) tensors.push_back({name, DType::kBF16, weight.sizes().vec()});
  SafetensorsWriter writer(folder / "model.safetensors", tensors, {{"format", "pt"}},
                           {.alignment = 1});  // readers see our tensors alone, without filler
  for (const auto& [name, weight] : weights) {
    const auto bits = Rounded(name, weight);
    writer.Write(name, std::as_bytes(std::span(bits)));
  }
  writer.Finish();
}

}  // namespace lowbit::lab
