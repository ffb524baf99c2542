// The weights of a model under canonical names (those of Hugging Face checkpoints), whatever the file calls
// them and however it stores them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lowbit/format/matrix.h"
#include "lowbit/graph/graph.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

class Weights {
 public:
  virtual ~Weights() = default;

  virtual std::string Where() const = 0;
  // For messages: the file that holds this tensor.
  virtual std::string WhereIs(const std::string& /*name*/) const { return Where(); }
  virtual std::vector<std::string> Names() const = 0;  // sorted
  virtual bool Has(const std::string& name) const = 0;
  // Outermost first: (out, in) or (n). Throws Error naming file and tensor when absent.
  virtual std::vector<int64_t> Shape(const std::string& name) const = 0;
  // As stored, for people: "F32", "Q4_K", "int4-g32", "GPTQ 4 bit".
  virtual std::string StoredAs(const std::string& name) const = 0;
  // Bytes of the file that hold it, side information included.
  virtual size_t StoredBytes(const std::string& name) const = 0;
  // A matrix ready to multiply: packed when its codes can be computed with, else floats.
  virtual Matrix Load(const std::string& name) const = 0;
  // Any tensor in f32, row-major.
  virtual std::vector<float> Floats(const std::string& name) const = 0;
  // The mapped pages of this tensor are not needed any more.
  virtual void Release(const std::string& /*name*/) const {}
};

// Tensors of plain element types, stored under their canonical names. Where a tied model stores its one
// matrix as "lm_head.weight" only, "model.embed_tokens.weight" is that matrix.
class PlainWeights : public Weights {
 public:
  explicit PlainWeights(std::shared_ptr<const TensorSource> source) : source_(std::move(source)) {}

  std::string Where() const override { return source_->Where(); }
  std::string WhereIs(const std::string& name) const override { return source_->WhereIs(Stored(name)); }
  std::vector<std::string> Names() const override { return source_->Names(); }
  bool Has(const std::string& name) const override { return source_->Has(Stored(name)); }
  std::vector<int64_t> Shape(const std::string& name) const override {
    return source_->Get(Stored(name)).shape;
  }
  std::string StoredAs(const std::string& name) const override;
  size_t StoredBytes(const std::string& name) const override {
    return source_->Get(Stored(name)).bytes.size();
  }
  Matrix Load(const std::string& name) const override;
  std::vector<float> Floats(const std::string& name) const override;
  void Release(const std::string& name) const override { source_->Release(Stored(name)); }

 private:
  const std::string& Stored(const std::string& name) const;

  std::shared_ptr<const TensorSource> source_;
};

// Throws Error naming file and tensor unless the stored shape is the one that the network's configuration
// gives to this weight.
void CheckShape(const Weights& weights, const Value& weight);

// The same for a weight that holds NaN or infinity: names file, tensor and place. `values` are those of
// Floats(name), `cols` the length of a row (0: the tensor is a vector).
void CheckFinite(const Weights& weights, const std::string& name, std::span<const float> values,
                 int64_t cols);
// All weights of a graph, one after the other.
void CheckFinite(const Weights& weights, const Graph& graph);

}  // namespace lowbit
