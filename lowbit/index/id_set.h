// A set of ids that a search is limited to, or that it leaves out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lowbit {

class IdSet {
 public:
  enum class Meaning : uint8_t { kOnly, kAllBut };

  IdSet(std::vector<int64_t> ids, Meaning meaning) : ids_(std::move(ids)), meaning_(meaning) {
    std::sort(ids_.begin(), ids_.end());
  }
  bool Admits(int64_t id) const {
    return std::binary_search(ids_.begin(), ids_.end(), id) == (meaning_ == Meaning::kOnly);
  }

 private:
  std::vector<int64_t> ids_;  // ascending
  Meaning meaning_;
};

}  // namespace lowbit
