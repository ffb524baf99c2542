// Pyramid vector quantization: integer points of the L1 sphere, named by their index (Fischer 1986)
// [pvq-llm].
//
//   P(N, K) = { y in Z^N : |y_1| + ... + |y_N| = K }         N dimensions, K pulses
// Directions of R^N are quantized to y / |y|; a gain is coded apart. The lattice needs no table of centroids:
// points are counted, V(n, k) = |P(n, k)|,
//   V(n, 0) = 1,  V(0, k) = 0 for k > 0,  V(n, k) = V(n-1, k) + V(n-1, k-1) + V(n, k-1),
// and the index of a point is an integer below V(N, K). The order used here, and stored, takes two
// coordinates at a time. With k pulses left, p of them in the pair, n coordinates behind it and `rest` their
// index:
//   p = 0:  index = rest                                                      rest < V(n, k)
//   p > 0:  index = V(n, k) + 4 (E(n, k, p) + t V(n, k-p) + rest) + r         rest < V(n, k-p),  0 <= t < p
//           E(n, k, p) = sum_{q=1}^{p-1} q V(n, k-q)
// and the pair is (p - t, t) turned by r quarters: (-t, p - t), (t - p, -t), (t, t - p) for r = 1, 2, 3.
// The last coordinate of an odd N is k for index 0 and -k for index 1. A pair costs one search in one row of
// a table and one division, so that decoding takes half as many steps as there are coordinates.
//
// Indices are `words()` 64-bit words, least significant first: as many as V(N, K) needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

class PyramidCodec {
 public:
  // 1 <= dimension <= 1024, 0 <= pulses <= 32767. Throws lowbit::Error otherwise, and when the tables would
  // exceed 64 MiB.
  PyramidCodec(int dimension, int pulses);

  int dimension() const { return dimension_; }
  int pulses() const { return pulses_; }
  int words() const { return words_; }
  // ceil(log2 V(N, K)): bits of an index.
  int bits() const { return bits_; }
  // V(N, K), words() words.
  std::span<const uint64_t> count() const { return count_; }

  // y (dimension) -> index (words()). Throws lowbit::Error when the magnitudes do not sum to K.
  void Encode(std::span<const int16_t> y, std::span<uint64_t> index) const;
  // Throws lowbit::Error when the index is not below V(N, K).
  void Decode(std::span<const uint64_t> index, std::span<int16_t> y) const;

  // What kernel/pyramid_decoder.h makes its tables of. Of a pair with n = dimension() - 2 - 2 pair
  // coordinates behind it: V(n, k), and where the indices with p of k pulses in the pair begin, 0 for p = 0;
  // they end at p = k + 1. words() words each.
  std::vector<uint64_t> CountBehind(int pair, int64_t k) const;
  std::vector<uint64_t> Start(int pair, int64_t k, int64_t p) const;
  // Throws lowbit::Error when the index, words() words, is not below V(N, K).
  void CheckIndex(const uint64_t* index) const;

 private:
  // Of the pair with n = dimension - 2 - 2 pair coordinates behind it, for j from -1 to pulses:
  // A(n, j) = V(n, 0) + ... + V(n, j), and the same sum of A. words() words each.
  const uint64_t* Sum(int pair, int64_t j) const;
  const uint64_t* SumOfSums(int pair, int64_t j) const;
  template <typename F>
  void WithNumbers(F f) const;
  // V(n, k).
  template <typename U>
  U CountAs(int pair, int64_t k) const;
  // V(n, k) + 4 E(n, k, p), p > 0.
  template <typename U>
  U StartAs(int pair, int64_t k, int64_t p) const;
  template <typename U>
  void EncodeAs(std::span<const int16_t> y, uint64_t* index) const;
  template <typename U>
  void DecodeAs(const uint64_t* index, int16_t* y) const;

  int dimension_, pulses_, words_, bits_;
  std::vector<uint64_t> sums_, sums_of_sums_, count_;
};

// The largest K for which an index of P(dimension, K) fits `bits` bits; at least 0.
int PyramidPulses(int dimension, int bits);

// What a search found: y with |y|_1 = K.
struct PyramidFit {
  float dot;      // <x, y>
  float squares;  // <y, y>; dot / squares is the gain that minimises |x - g y|
};

// The y of P(N, K) of the largest cosine with x: greedy pulses, then moves of single pulses while they help
// (among the four coordinates most above and below the gain: exact for N <= 4 in all cases tried, near it
// beyond). Signs agree with x; when all of x is zero all pulses go to the first coordinate. K = 0 gives
// zeros. Finite values are the caller's duty.
PyramidFit PyramidDirection(std::span<const float> x, int pulses, std::span<int16_t> y);

// The y of P(N, K) nearest to x itself, min |x - y|^2, exactly (the problem is separable and convex, so that
// single pulses by their marginal cost end in the optimum).
PyramidFit PyramidNearest(std::span<const float> x, int pulses, std::span<int16_t> y);

}  // namespace lowbit
