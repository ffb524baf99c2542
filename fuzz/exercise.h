// What every reader must survive after it has accepted a file: looking at each tensor and each value.
#pragma once

#include <cstdint>

#include "lowbit/base/error.h"
#include "lowbit/format/ggml_blocks.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/read_tensor.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

// Sizes were checked against the file, so a tensor is never larger than the input times the values in a byte.
inline void ReadEveryTensor(const TensorSource& source) {
  for (const std::string& name : source.Names()) {
    const TensorView view = source.Get(name);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    if (const auto* type = std::get_if<GgmlType>(&view.type)) {
      DequantizeGgml(*type, view.bytes, values);
    } else {
      ReadFloats(view, 0, values);
    }
    source.Release(name);
  }
}

// Rejecting the input with an Error is fine; anything else is a finding.
template <typename Body>
void AllowErrors(Body body) {
  try {
    body();
  } catch (const Error&) {
  }
}

}  // namespace lowbit
