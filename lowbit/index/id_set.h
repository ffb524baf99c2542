// Which ids a search may find: any rule, or a set that it is limited to or that it leaves out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lowbit {

class IdFilter {
 public:
  virtual ~IdFilter() = default;
  // Called from several threads at once.
  virtual bool Admits(int64_t id) const = 0;
};

class IdSet final : public IdFilter {
 public:
  enum class Meaning : uint8_t { kOnly, kAllBut };

  IdSet(std::vector<int64_t> ids, Meaning meaning) : ids_(std::move(ids)), meaning_(meaning) {
    std::sort(ids_.begin(), ids_.end());
  }
  bool Admits(int64_t id) const override {
    return std::binary_search(ids_.begin(), ids_.end(), id) == (meaning_ == Meaning::kOnly);
  }

 private:
  std::vector<int64_t> ids_;  // ascending
  Meaning meaning_;
};

}  // namespace lowbit
