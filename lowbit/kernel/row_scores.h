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

// The k-th smallest of n values, 1 <= k <= n, none of them NaN: by bisection over their bits, counting in
// vectors, which no branch depends on. -0 counts as less than 0.
float KthSmallest(const float* values, int64_t n, int64_t k);

}  // namespace lowbit
