#include "reproduce/claim.h"

#include <algorithm>

#include "lowbit/base/error.h"

namespace lowbit::reproduce {

namespace fs = std::filesystem;

bool Outcome::holds() const {
  return !claims.empty() &&
         std::all_of(claims.begin(), claims.end(), [](const Claim& claim) { return claim.holds; });
}

fs::path FirstModel(const fs::path& data) {
  std::vector<fs::path> folders;
  if (!fs::is_directory(data)) Fail("--data {}: no such folder", data.string());
  for (const auto& entry : fs::directory_iterator(data)) {
    if (fs::exists(entry.path() / "config.json") && fs::exists(entry.path() / "tokenizer.json"))
      folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  if (folders.empty())
    Fail("--data {}: no item holds a language model (config.json and tokenizer.json)", data.string());
  return folders.front();
}

const std::vector<std::pair<std::string, System>>& Systems() {
  static const std::vector<std::pair<std::string, System>> kSystems = {{"gptq", ReproduceGptq},
                                                                       {"pvq", ReproducePvq},
                                                                       {"turboquant", ReproduceTurboQuant},
                                                                       {"vidkv", ReproduceVidKv}};
  return kSystems;
}

}  // namespace lowbit::reproduce
