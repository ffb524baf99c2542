// GGUF files as models: their keys as a configuration, their tensors under canonical names.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lowbit/io/gguf.h"
#include "lowbit/model/weights.h"
#include "lowbit/network/llama.h"
#include "lowbit/text/gguf_vocabulary.h"

namespace lowbit {

// Architectures: llama (Mistral too), qwen2, qwen3, gemma3. Throws Error naming the key that is missing or
// the architecture that is not known, with those that are.
LlamaConfig ConfigFromGguf(const GgufFile& file);

GgufVocabulary VocabularyFromGguf(const GgufFile& file);

// Weights under Hugging Face names. `llama` files hold the rows of q and k permuted to neighbour pairs: row
// (head, i, s) there is row (head, s, i) here, s in {0, 1}; k by its own head count. The block types on
// integer grids are repacked without loss and run from their codes; the others are expanded to floats.
class GgufWeights : public Weights {
 public:
  GgufWeights(std::shared_ptr<const GgufFile> file, const LlamaConfig& config);

  std::string Where() const override { return file_->Where(); }
  std::string WhereIs(const std::string& name) const override;
  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return names_.contains(name); }
  std::vector<int64_t> Shape(const std::string& name) const override { return View(name).shape; }
  std::string StoredAs(const std::string& name) const override;
  size_t StoredBytes(const std::string& name) const override { return View(name).bytes.size(); }
  Matrix Load(const std::string& name) const override;
  std::vector<float> Floats(const std::string& name) const override;
  void Release(const std::string& name) const override;

 private:
  TensorView View(const std::string& name) const;
  // Row of the file that is row `row` of the canonical tensor.
  int64_t FileRow(const std::string& name, int64_t row) const;

  std::shared_ptr<const GgufFile> file_;
  std::map<std::string, std::string> names_;  // canonical -> file
  bool permuted_ = false;
  int64_t head_size_ = 0;
};

// The name that GGUF gives to a canonical tensor; empty when it has none. `family` as in LlamaConfig.
std::string GgufName(const std::string& canonical, const std::string& family);

}  // namespace lowbit
