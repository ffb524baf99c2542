// A map from 64-bit keys to 64-bit values for tables built once and read often: open addressing, one array.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace lowbit {

class FlatMap {
 public:
  static constexpr uint64_t kAbsent = ~uint64_t{0};  // neither a key nor a value

  explicit FlatMap(size_t expected = 0) : slots_(std::bit_ceil(2 * expected + 2), Slot{kAbsent, kAbsent}) {}

  void Set(uint64_t key, uint64_t value) {
    if (2 * (size_ + 1) > slots_.size()) Grow();
    Slot& slot = slots_[Find(key)];
    size_ += slot.key == kAbsent;
    slot = {key, value};
  }
  uint64_t Get(uint64_t key) const { return slots_[Find(key)].value; }  // kAbsent when there is none
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key, value;
  };
  size_t Find(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t at = hash & mask;
    while (slots_[at].key != key && slots_[at].key != kAbsent) at = (at + 1) & mask;
    return at;
  }
  void Grow() {
    std::vector<Slot> old(2 * slots_.size(), Slot{kAbsent, kAbsent});
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != kAbsent) slots_[Find(slot.key)] = slot;
    }
  }
  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace lowbit
