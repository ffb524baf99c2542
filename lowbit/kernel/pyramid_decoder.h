// Many indices of a pyramid (format/pyramid.h) decoded at once: points lie across the SIMD lanes, a step
// decodes one pair of coordinates of each.
//
// A step costs a look-up of p, one division and no branch. The quotient of an index and the V(n, k) it was
// divided by, less the whole t, says where the rest lies among the indices of the next pair: six bits of that
// look up the p to begin with, and one comparison, rarely more, finishes it. Quotients are taken in f64 and
// checked by the exact remainder, so every target gives the points of PyramidCodec::Decode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/format/pyramid.h"

namespace lowbit {

class PyramidDecoder {
 public:
  explicit PyramidDecoder(PyramidCodec codec);

  const PyramidCodec& codec() const { return codec_; }

  // indices (count, words()) -> y (count, dimension). T is int8_t (K <= 127), int16_t or float. Throws as
  // PyramidCodec::Decode.
  template <typename T>
  void Decode(std::span<const uint64_t> indices, std::span<T> y) const;

  // Where the kernels find it. Of each pair but the last of an even dimension, which needs none, and of k and
  // j from 0 to K:
  //   start   where the indices with p pulses in the pair begin, p = 0 to k, and all ones behind them; the
  //           highest bit of each word is turned
  //   count   V(n, j), and 1 / V(n, j) as f64; with two words a fourth makes them even
  //   guide   64 bytes: the largest p whose start is surely not above a part of the indices
  struct Layout {
    int dimension, pulses, words;
    int steps = 0;          // pairs with tables
    int wide = 0;           // the first so many have numbers of two words
    int guide_shift = 0;    // the guide holds p >> guide_shift
    double reciprocal = 0;  // 1 / V(N, K)
    std::vector<uint64_t> start, count, guide;
  };

 private:
  void MakeTables();
  void MakePair(int pair, int words);

  PyramidCodec codec_;
  // Without tables, which is slow, when they would exceed 16 MiB, an index has more than two words, or V(N-2,
  // K) takes all their bits.
  Layout layout_;
};

}  // namespace lowbit
