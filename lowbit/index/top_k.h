// The nearest candidates met so far.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "lowbit/kernel/row_scores.h"

namespace lowbit {

// A vector met in a search: its distance (metric.h), id and place (segment number times 2^32 plus row).
struct Candidate {
  float distance;
  int64_t id;
  uint64_t place;
};
// Of equal distances the lower id is nearer, so that the result does not depend on the order of the scan.
struct Nearer {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  }
};

// Candidates gather in a reservoir of more than k places; when it is full the k nearest stay, and a few more
// where that saves finding the k-th exactly. An offer costs constant time on average, where a heap would take
// log k and mispredicted branches.
class TopK {
 public:
  // Keeps the `k` nearest of those within `limit`; k < 0: all of them.
  explicit TopK(int64_t k, float limit = std::numeric_limits<float>::infinity())
      : k_(static_cast<size_t>(std::max<int64_t>(k, 0))),
        capacity_(k < 0 ? kUnbounded : 2 * k_ + kSpare),
        limit_(limit) {}

  // A candidate farther than this changes nothing.
  float limit() const { return limit_; }
  void Offer(const Candidate& candidate) {
    if (!(candidate.distance <= limit_)) return;
    if (names_.empty() && capacity_ <= kReserved) {
      distances_.reserve(capacity_);
      names_.reserve(capacity_);
    }
    distances_.push_back(candidate.distance + 0.0f);  // 0 and -0 are one distance
    names_.push_back({candidate.id, candidate.place});
    if (names_.size() == capacity_) Shrink(kSpare / 4 + k_ / 8);
  }
  // Nearest first.
  std::vector<Candidate> Sorted() && {
    if (capacity_ != kUnbounded && names_.size() > k_) Shrink(0);
    // Numbers of the same order, each with the place of its candidate: faster to sort than candidates.
    std::vector<uint64_t> keys(names_.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto bits = std::bit_cast<uint32_t>(distances_[i]);
      const uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
      keys[i] = uint64_t{ordered} << 32 | i;
    }
    std::sort(keys.begin(), keys.end());
    std::vector<Candidate> sorted(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t from = keys[i] & 0xffffffffu;
      sorted[i] = {distances_[from], names_[from].id, names_[from].place};
    }
    for (size_t begin = 0; begin < sorted.size();) {
      size_t end = begin + 1;
      while (end < sorted.size() && sorted[end].distance == sorted[begin].distance) ++end;
      if (end - begin > 1)
        std::sort(sorted.begin() + static_cast<int64_t>(begin), sorted.begin() + static_cast<int64_t>(end),
                  Nearer());
      begin = end;
    }
    return sorted;
  }

 private:
  static constexpr size_t kSpare = 32, kReserved = 4096, kUnbounded = std::numeric_limits<size_t>::max();
  struct Name {
    int64_t id;
    uint64_t place;
  };

  // Leaves k candidates, or up to `slack` more.
  void Shrink(size_t slack) {
    const size_t n = names_.size();
    size_t within = 0;
    if (k_ > 0) {
      within = static_cast<size_t>(LimitOfSmallest(distances_.data(), static_cast<int64_t>(n),
                                                   static_cast<int64_t>(k_), static_cast<int64_t>(slack),
                                                   &limit_));
    }
    // More than that are within the limit only where some lie on it.
    const bool tied = within > k_ + slack;
    std::vector<Name> ties;
    size_t kept = 0;
    for (size_t i = 0; i < n && k_ > 0; ++i) {
      distances_[kept] = distances_[i];
      names_[kept] = names_[i];
      const bool ends = tied && distances_[i] == limit_;
      if (ends) ties.push_back(names_[i]);
      kept += distances_[i] <= limit_ && !ends ? 1 : 0;
    }
    std::sort(ties.begin(), ties.end(), [](const Name& a, const Name& b) { return a.id < b.id; });
    for (size_t t = 0; tied && kept < k_; ++t, ++kept) {
      distances_[kept] = limit_;
      names_[kept] = ties[t];
    }
    distances_.resize(kept);
    names_.resize(kept);
  }

  size_t k_, capacity_;
  float limit_;
  std::vector<float> distances_;
  std::vector<Name> names_;  // of each distance
};

}  // namespace lowbit
