// Rounding of arrays to a table (lowbit/format/table.h), bit for bit as its plain version on every target.
//
// Up to 16 levels: one comparison a threshold and vector. More: the upper 16 bits of a float (sign, exponent,
// seven bits of the mantissa) look up where its rank starts, and one comparison, rarely more, finishes it:
// gathers are slower than loads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lowbit/format/table.h"

namespace lowbit {

// A table laid out for the kernels; the table itself is not referred to.
class TableRounder {
 public:
  explicit TableRounder(const Table& table);

  // codes[i] = code of x[i] / scale, n entries.
  void Round(const float* x, int64_t n, float scale, uint8_t* codes) const;

  // sum_i (x_i - scale * level(x_i / scale))^2, what rounding with this scale costs. NaN gives NaN. Products
  // in f32, sums of 4096 in f32 lanes, their sum in f64.
  double SquaredError(const float* x, int64_t n, float scale) const;

  // values[i] = value[codes[i]] * scale; codes are taken modulo 2^bits.
  void Decode(const uint8_t* codes, int64_t n, float scale, float* values) const;

  // Where the kernels find it.
  struct Layout {
    bool small = true;           // at most 16 levels
    int steps = 0;               // most thresholds in one bucket of `start`
    std::vector<uint8_t> start;  // (2^16) rank of the least float of a bucket; empty when small
    int32_t thresholds = 0;      // n - 1
    int32_t nan = 0;             // code
    alignas(
        64) std::array<int32_t, 256> below;    // threshold in total order less one; INT32_MAX beyond the last
    alignas(64) std::array<float, 256> level;  // by rank
    alignas(64) std::array<uint8_t, 256> code;  // by rank
    alignas(64) std::array<float, 256> value;   // by code, repeated
  };

 private:
  Layout layout_;
};

}  // namespace lowbit
