// A model of any shape with random weights in any format, made in memory: to measure speed without a big
// file.
#pragma once

#include <memory>
#include <string>

#include "lowbit/model/model.h"

namespace lowbit {

// "llama-1.1b" (TinyLlama), "llama-7b", "smollm2-135m". Throws UsageError naming the known ones.
LlamaConfig ShapeByName(const std::string& name);

// Linear layers in `format`, embedding and head in `embedding`. Values are uniform codes with scales that
// keep activations finite. Deterministic for a seed.
Model RandomModel(const LlamaConfig& config, const Format& format, const Format& embedding, uint64_t seed);

}  // namespace lowbit
