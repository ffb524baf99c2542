// The nearest candidates met so far.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

namespace lowbit {

// A vector met in a search: its distance (metric.h), id and place (segment number times 2^32 plus row).
struct Candidate {
  float distance;
  int64_t id;
  uint64_t place;
};
// Of equal distances the lower id is nearer, so that the result does not depend on the order of the scan.
inline bool Nearer(const Candidate& a, const Candidate& b) {
  return std::tie(a.distance, a.id) < std::tie(b.distance, b.id);
}

class TopK {
 public:
  // Keeps the `k` nearest of those within `limit`; k < 0: all of them.
  explicit TopK(int64_t k, float limit = std::numeric_limits<float>::infinity()) : k_(k), limit_(limit) {}

  // A candidate farther than this changes nothing.
  float limit() const { return limit_; }
  void Offer(const Candidate& candidate) {
    if (!(candidate.distance <= limit_)) return;
    if (k_ < 0) {
      heap_.push_back(candidate);
      return;
    }
    if (static_cast<int64_t>(heap_.size()) == k_) {
      if (k_ == 0 || !Nearer(candidate, heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end(), Nearer);
      heap_.back() = candidate;
    } else {
      heap_.push_back(candidate);
    }
    std::push_heap(heap_.begin(), heap_.end(), Nearer);
    if (static_cast<int64_t>(heap_.size()) == k_) limit_ = heap_.front().distance;
  }
  void OfferAll(const TopK& other) {
    for (const Candidate& candidate : other.heap_) Offer(candidate);
  }
  // Nearest first.
  std::vector<Candidate> Sorted() && {
    std::sort(heap_.begin(), heap_.end(), Nearer);
    return std::move(heap_);
  }

 private:
  int64_t k_;
  float limit_;
  std::vector<Candidate> heap_;  // the farthest at the front
};

}  // namespace lowbit
