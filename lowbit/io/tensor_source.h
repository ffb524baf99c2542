// Where tensors come from: a mapped file, several shards, memory. Tensors are looked up by name and stay
// where they are until somebody reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "lowbit/base/dtype.h"

namespace lowbit {

// The block types of GGUF files (ggml_type), by their numbers in the file. The plain ones (F32, F16, BF16, I8
// ...) are given as DType; only blocked types appear here.
enum class GgmlType : uint32_t {
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

using StoredType = std::variant<DType, GgmlType>;

// A view of stored bytes. `shape` is outermost first: a weight matrix is (out, in), row-major. Valid while
// the source lives.
struct TensorView {
  StoredType type;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // All names, sorted.
  virtual std::vector<std::string> Names() const = 0;
  virtual bool Has(const std::string& name) const = 0;
  // Throws Error naming the file and the tensor when it is absent.
  virtual TensorView Get(const std::string& name) const = 0;
  // For messages: the file or folder.
  virtual std::string Where() const = 0;
  // For messages: the one file that holds this tensor, where the source is several.
  virtual std::string WhereIs(const std::string& /*name*/) const { return Where(); }
  // Tells the system that the mapped pages of this tensor are not needed any more (they can be read again).
  virtual void Release(const std::string& /*name*/) const {}
};

// Tensors held in memory, for tests and for models being built.
class MemoryTensors : public TensorSource {
 public:
  explicit MemoryTensors(std::string where = "memory") : where_(std::move(where)) {}
  void Add(const std::string& name, DType type, std::vector<int64_t> shape, std::vector<std::byte> bytes);
  // Convenience for f32 data.
  void Add(const std::string& name, std::vector<int64_t> shape, std::span<const float> values);

  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override;
  TensorView Get(const std::string& name) const override;
  std::string Where() const override { return where_; }

 private:
  struct Held {
    TensorView view;
    std::vector<std::byte> bytes;
  };
  std::string where_;
  std::map<std::string, Held> tensors_;
};

}  // namespace lowbit
