#include "lowbit/io/tensor_source.h"

#include <cstring>

#include "lowbit/base/error.h"

namespace lowbit {

void MemoryTensors::Add(const std::string& name, DType type, std::vector<int64_t> shape,
                        std::vector<std::byte> bytes) {
  Held& held = tensors_[name];
  held.bytes = std::move(bytes);
  held.view = {type, std::move(shape), held.bytes};
  if (static_cast<size_t>(held.view.elements()) * SizeOf(type) != held.bytes.size()) {
    Fail("{}: tensor {} has {} bytes, its shape needs {}", where_, name, held.bytes.size(),
         static_cast<size_t>(held.view.elements()) * SizeOf(type));
  }
}

void MemoryTensors::Add(const std::string& name, std::vector<int64_t> shape, std::span<const float> values) {
  std::vector<std::byte> bytes(values.size_bytes());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  Add(name, DType::kF32, std::move(shape), std::move(bytes));
}

std::vector<std::string> MemoryTensors::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, held] : tensors_) names.push_back(name);
  return names;
}

bool MemoryTensors::Has(const std::string& name) const {
  return tensors_.contains(name);
}

TensorView MemoryTensors::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) Fail("{}: no tensor named {}", where_, name);
  return found->second.view;
}

}  // namespace lowbit
