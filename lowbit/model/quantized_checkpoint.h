// Hugging Face checkpoints whose linear layers are already quantized (GPTQ, AWQ, compressed-tensors), and
// GPTQ ones written from packed models.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lowbit/format/checkpoint_matrix.h"
#include "lowbit/model/model.h"
#include "lowbit/model/weights.h"

namespace lowbit {

// `config` is the quantization_config of config.json, or quantize_config.json. Layers without quantized
// tensors are read as they are. Matrices whose groups are runs of 32 k columns run from their codes (with
// activation order after sorting the columns once); others, and scales that are no f16, are expanded. Throws
// Error naming a method or layout that is not supported.
class QuantizedCheckpoint : public Weights {
 public:
  QuantizedCheckpoint(std::shared_ptr<const TensorSource> source, const nlohmann::json& config,
                      const std::string& where);

  std::string Where() const override { return plain_.Where(); }
  std::string WhereIs(const std::string& name) const override;
  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return Quantized(name) || plain_.Has(name); }
  std::vector<int64_t> Shape(const std::string& name) const override;
  std::string StoredAs(const std::string& name) const override;
  size_t StoredBytes(const std::string& name) const override;
  Matrix Load(const std::string& name) const override;
  std::vector<float> Floats(const std::string& name) const override;
  void Release(const std::string& name) const override;

 private:
  enum class Kind : uint8_t { kGptq, kAwq, kCompressedTensors };
  bool Quantized(const std::string& name) const;
  CheckpointMatrix Read(const std::string& name) const;
  std::vector<std::string> Parts(const std::string& name) const;

  std::shared_ptr<const TensorSource> source_;
  PlainWeights plain_;
  Kind kind_ = Kind::kGptq;
  GptqLayout layout_;
};

// Writes a Hugging Face folder with a GPTQ checkpoint: config.json with quantization_config,
// quantize_config.json, model.safetensors, tokenizer files. The linear layers must be packed with one f16
// scale a group and all of one format; everything else is written in f16. Throws Error naming the tensor that
// does not fit.
void WriteGptqFolder(const Model& model, const std::filesystem::path& folder, GptqLayout::Version version);

}  // namespace lowbit
