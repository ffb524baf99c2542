// Checkpoints that other programs have quantized (GPTQ, AWQ, compressed-tensors). The input is the
// configuration, as JSON, up to the first line feed, and a safetensors file after it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "fuzz/exercise.h"
#include "lowbit/io/json.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/quantized_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* const end = std::find(data, data + size, '\n');
  if (end == data + size) return 0;
  const std::string_view config(reinterpret_cast<const char*>(data), static_cast<size_t>(end - data));
  const auto rest = std::as_bytes(std::span(end + 1, data + size));
  lowbit::AllowErrors([&] {
    const auto file = std::make_shared<lowbit::SafetensorsFile>(rest, "input");
    const lowbit::QuantizedCheckpoint checkpoint(file, lowbit::ParseJson(config, "config.json"),
                                                 "config.json");
    for (const std::string& name : checkpoint.Names()) {
      lowbit::AllowErrors([&] { checkpoint.Shape(name); });
      lowbit::AllowErrors([&] { checkpoint.StoredAs(name); });
      lowbit::AllowErrors([&] { checkpoint.Load(name); });
      lowbit::AllowErrors([&] { checkpoint.Floats(name); });
    }
  });
  return 0;
}
