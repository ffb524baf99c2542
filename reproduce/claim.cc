#include "reproduce/claim.h"

#include <algorithm>

namespace lowbit::reproduce {

bool Outcome::holds() const {
  return !claims.empty() &&
         std::all_of(claims.begin(), claims.end(), [](const Claim& claim) { return claim.holds; });
}

const std::vector<std::pair<std::string, System>>& Systems() {
  static const std::vector<std::pair<std::string, System>> kSystems = {{"gptq", ReproduceGptq},
                                                                       {"turboquant", ReproduceTurboQuant}};
  return kSystems;
}

}  // namespace lowbit::reproduce
