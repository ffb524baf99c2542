// Scores of rows of floats against queries, and the choice of those that are good enough: the inner loops of
// exhaustive search. Lower scores are nearer.
//
// A sum runs over the vector lanes in the order of the channels and then over the lanes; it does not depend
// on how many rows or queries are given.
#pragma once

#include <cstdint>

namespace lowbit {

enum class ScoreKind : uint8_t {
  kNegativeProduct,  // -<q, x>
  kSquaredDistance,  // ||q - x||^2
};

// scores[r n + i] of queries (count, dim) and rows (n, dim).
void ScoreRows(ScoreKind kind, const float* queries, int64_t count, const float* rows, int64_t n, int64_t dim,
               float* scores);

// Writes to index, which has room for n, those i with scores[i] <= threshold, ascending; returns how many.
int64_t SelectAtMost(const float* scores, int64_t n, float threshold, int32_t* index);

// Of n scored rows, what passes the limits of several queries: found[r] pairs of a row and its score from
// place r n on, rows ascending. There is room for all of them.
struct PassedRows {
  int64_t count;       // queries
  const float* limit;  // (count): scores at most this pass
  int64_t* found;      // (count)
  int32_t* row;        // (count, n)
  float* score;        // (count, n)
};

// From all scores (count, n), which lie in passed.score.
void SelectPassed(int64_t n, const PassedRows& passed);

// A limit that at least k of n values do not exceed, 1 <= k <= n, and at most k + slack; where equal values
// leave no such limit, the k-th smallest value. Returns how many do not exceed it. No value may be NaN. By
// bisection over the bits, counting in vectors, which no branch depends on; some slack ends it after a few
// steps.
int64_t LimitOfSmallest(const float* values, int64_t n, int64_t k, int64_t slack, float* limit);

}  // namespace lowbit
