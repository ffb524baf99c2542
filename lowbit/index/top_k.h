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

// The ids of places, which are looked up for those that stay to the end and for ties.
class PlaceIds {
 public:
  virtual int64_t IdOf(uint64_t place) const = 0;

 protected:
  ~PlaceIds() = default;
};

// Candidates gather in a reservoir of more than k places; when it is full the k nearest stay, and a few more
// where that saves finding the k-th exactly. An offer costs constant time on average, where a heap would take
// log k and mispredicted branches.
class TopK {
 public:
  // Keeps the `k` nearest of those within `limit`; k < 0: all of them. Without `ids` a place is its own id.
  explicit TopK(int64_t k, float limit = std::numeric_limits<float>::infinity(),
                const PlaceIds* ids = nullptr)
      : k_(static_cast<size_t>(std::max<int64_t>(k, 0))),
        capacity_(k < 0 ? kUnbounded : 2 * k_ + kSpare),
        limit_(limit),
        ids_(ids) {}

  // A candidate farther than this changes nothing.
  float limit() const { return limit_; }
  void Offer(float distance, uint64_t place) {
    const int32_t row = 0;
    if (distance <= limit_) OfferAll(&distance, &row, 1, place);
  }
  // n candidates that were within the limit at some time, in rows after `first`.
  void OfferAll(const float* distances, const int32_t* rows, int64_t n, uint64_t first) {
    if (places_.empty() && capacity_ <= kReserved) {
      distances_.reserve(capacity_);
      places_.reserve(capacity_);
    }
    for (auto left = static_cast<size_t>(n); left > 0;) {
      const size_t begin = places_.size(), count = std::min(left, capacity_ - begin);
      distances_.resize(begin + count);
      places_.resize(begin + count);
      for (size_t i = 0; i < count; ++i) {
        distances_[begin + i] = distances[i] + 0.0f;  // 0 and -0 are one distance
        places_[begin + i] = first + static_cast<uint64_t>(rows[i]);
      }
      left -= count, distances += count, rows += count;
      if (places_.size() == capacity_) Shrink(kSpare / 4 + k_ / 8);
    }
  }
  // Nearest first.
  std::vector<Candidate> Sorted() && {
    if (capacity_ != kUnbounded && places_.size() > k_) Shrink(0);
    // Numbers of the same order, each with the place of its candidate: faster to sort than candidates.
    std::vector<uint64_t> keys(places_.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto bits = std::bit_cast<uint32_t>(distances_[i]);
      const uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
      keys[i] = uint64_t{ordered} << 32 | i;
    }
    std::sort(keys.begin(), keys.end());
    std::vector<Candidate> sorted(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t from = keys[i] & 0xffffffffu;
      sorted[i] = {distances_[from], IdOf(places_[from]), places_[from]};
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

  int64_t IdOf(uint64_t place) const {
    return ids_ != nullptr ? ids_->IdOf(place) : static_cast<int64_t>(place);
  }
  // Leaves k candidates, or up to `slack` more.
  void Shrink(size_t slack) {
    const size_t n = places_.size();
    size_t within = 0;
    if (k_ > 0) {
      within = static_cast<size_t>(LimitOfSmallest(distances_.data(), static_cast<int64_t>(n),
                                                   static_cast<int64_t>(k_), static_cast<int64_t>(slack),
                                                   &limit_));
    }
    // More than that are within the limit only where some lie on it.
    const bool tied = within > k_ + slack;
    std::vector<uint64_t> ties;
    size_t kept = 0;
    for (size_t i = 0; i < n && k_ > 0; ++i) {
      distances_[kept] = distances_[i];
      places_[kept] = places_[i];
      const bool ends = tied && distances_[i] == limit_;
      if (ends) ties.push_back(places_[i]);
      kept += distances_[i] <= limit_ && !ends ? 1 : 0;
    }
    std::sort(ties.begin(), ties.end(), [&](uint64_t a, uint64_t b) { return IdOf(a) < IdOf(b); });
    for (size_t t = 0; tied && kept < k_; ++t, ++kept) {
      distances_[kept] = limit_;
      places_[kept] = ties[t];
    }
    distances_.resize(kept);
    places_.resize(kept);
  }

  size_t k_, capacity_;
  float limit_;
  std::vector<float> distances_;
  std::vector<uint64_t> places_;  // of each distance
  const PlaceIds* ids_;
};

}  // namespace lowbit
