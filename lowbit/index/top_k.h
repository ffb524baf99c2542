// The nearest candidates met so far.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

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

// Candidates gather in a reservoir of more than k places; when it is full the k nearest stay. An offer costs
// constant time on average, where a heap would take log k and mispredicted branches.
class TopK {
 public:
  // Keeps the `k` nearest of those within `limit`; k < 0: all of them.
  explicit TopK(int64_t k, float limit = std::numeric_limits<float>::infinity())
      : k_(static_cast<size_t>(std::max<int64_t>(k, 0))),
        capacity_(k < 0 ? std::numeric_limits<size_t>::max() : 2 * k_ + kSpare),
        limit_(limit) {}

  // A candidate farther than this changes nothing.
  float limit() const { return limit_; }
  void Offer(const Candidate& candidate) {
    if (!(candidate.distance <= limit_)) return;
    items_.push_back(candidate);
    if (items_.size() == capacity_) Shrink();
  }
  void OfferAll(const TopK& other) {
    for (const Candidate& candidate : other.items_) Offer(candidate);
  }
  // Nearest first.
  std::vector<Candidate> Sorted() && {
    if (capacity_ != std::numeric_limits<size_t>::max() && items_.size() > k_) Shrink();
    std::sort(items_.begin(), items_.end(), Nearer());
    return std::move(items_);
  }

 private:
  static constexpr size_t kSpare = 32;

  void Shrink() {
    if (k_ > 0) {
      const auto last = items_.begin() + static_cast<int64_t>(k_) - 1;
      std::nth_element(items_.begin(), last, items_.end(), Nearer());
      limit_ = last->distance;
    }
    items_.resize(k_);
  }

  size_t k_, capacity_;
  float limit_;
  std::vector<Candidate> items_;
};

}  // namespace lowbit
