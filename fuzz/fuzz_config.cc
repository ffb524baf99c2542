// config.json: a configuration that is accepted makes a graph, and is read again from what is written.
#include <nlohmann/json.hpp>

#include "fuzz/exercise.h"
#include "lowbit/model/hf_config.h"

namespace lowbit {
namespace {

// The number of layers is checked against the weights before a graph is built; here there are no weights.
constexpr int64_t kMostLayers = 64;

void Exercise(const nlohmann::json& json) {
  const LlamaConfig config = ParseHfConfig(json, "config.json");
  const nlohmann::json written = ToHfConfig(config);
  // What was accepted once is accepted again, and writes the same.
  bool same = false;
  AllowErrors([&] { same = ToHfConfig(ParseHfConfig(written, "written")) == written; });
  if (!same) __builtin_trap();
  if (config.layers <= kMostLayers) BuildLlama(config);
}

}  // namespace
}  // namespace lowbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const nlohmann::json json = nlohmann::json::parse(data, data + size, nullptr, false);
  if (!json.is_discarded()) lowbit::AllowErrors([&] { lowbit::Exercise(json); });
  return 0;
}
