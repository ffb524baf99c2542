#include "cli/calibration_text.h"

#include "lowbit/base/error.h"
#include "lowbit/metric/score.h"

namespace lowbit::cli {

const Tokenizer& NeedTokenizer(const Model& model) {
  if (!model.tokenizer)
    Fail("{}: no tokenizer lies with the model; give one with --tokenizer", model.path.string());
  return *model.tokenizer;
}

std::vector<int32_t> CalibrationTokens(const Model& model, const std::string& path) {
  std::vector<int32_t> tokens;
  for (const std::string& entry : ReadEntries(path)) {
    const std::vector<int32_t> ids = NeedTokenizer(model).Encode(entry);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }
  return tokens;
}

std::string Bytes(size_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b < 1e4) return fmt::format("{} B", bytes);
  if (b < 1e6) return fmt::format("{:.1f} kB", b / 1e3);
  if (b < 1e9) return fmt::format("{:.2f} MB", b / 1e6);
  return fmt::format("{:.2f} GB", b / 1e9);
}

}  // namespace lowbit::cli
