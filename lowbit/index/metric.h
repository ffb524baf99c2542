// How near two vectors are. An index works with distances, of which less is nearer; users see scores:
//
//   kL2            score = distance = ||q - x||^2
//   kInnerProduct  score = <q, x> = -distance
//   kCosine        score = <q, x> / (||q|| ||x||) = -distance; the index stores x / ||x||
#pragma once

#include <cstdint>
#include <string_view>

#include "lowbit/base/error.h"

namespace lowbit {

enum class Metric : uint8_t { kL2, kInnerProduct, kCosine };

constexpr std::string_view NameOf(Metric metric) {
  switch (metric) {
    case Metric::kL2:
      return "l2";
    case Metric::kInnerProduct:
      return "ip";
    case Metric::kCosine:
      return "cosine";
  }
  return "";
}

// Throws UsageError for a name that is none.
inline Metric ParseMetric(std::string_view name) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    if (name == NameOf(metric)) return metric;
  }
  FailUsage("\"{}\" is not a metric; known: l2, ip (inner product), cosine", name);
}

// Its own inverse. No score is -0.
constexpr float ScoreOfDistance(Metric metric, float distance) {
  return metric == Metric::kL2 ? distance : 0.0f - distance;
}

}  // namespace lowbit
