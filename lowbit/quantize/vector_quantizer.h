// What every vector alphabet offers: points (d) to a few integer codes and back, and what that costs in bits.
//
// The alphabets: one codebook, product, residual, group-residual, masked-channel residual
// (codebook_quantizer.h), additive (additive_quantizer.h), sign-split (sign_split_quantizer.h), pyramid
// (pyramid_quantizer.h). Each has a Train that returns the quantizer; encoding, decoding and accounting are
// the same calls for all.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/point_source.h"

namespace lowbit {

class VectorQuantizer {
 public:
  virtual ~VectorQuantizer() = default;
  virtual int64_t dimension() const = 0;
  // The width in bits, 0 to 16, of each code of a point; codes below 2^width.
  virtual const std::vector<int>& code_bits() const = 0;
  // Numbers that all points share (codewords, gain levels).
  virtual int64_t table_values() const = 0;

  // points (n, d) -> codes (n, code_bits().size()) and back. A point's codes depend on nothing but the point.
  virtual void Encode(MatrixView<const float> points, MatrixView<uint16_t> codes,
                      ThreadPool& pool = ThreadPool::Global()) const = 0;
  virtual void Decode(MatrixView<const uint16_t> codes, MatrixView<float> points,
                      ThreadPool& pool = ThreadPool::Global()) const = 0;

  int64_t codes() const { return static_cast<int64_t>(code_bits().size()); }
  int64_t bits_per_point() const {
    return std::accumulate(code_bits().begin(), code_bits().end(), int64_t{0});
  }
  // Bits a channel when `count` points share the tables, whose values are stored in `table_bits` bits each.
  double bits_per_value(int64_t count, int table_bits = 16) const {
    const auto shared = static_cast<double>(table_values() * table_bits) / static_cast<double>(count);
    return (static_cast<double>(bits_per_point()) + shared) / static_cast<double>(dimension());
  }

 protected:
  // Throws lowbit::Error when points and codes do not fit this quantizer or each other.
  void CheckShapes(int64_t points, int64_t channels, int64_t coded, int64_t codes_each) const;
};

// Weighted mean of |x - Decode(Encode(x))|^2 over the points of a source.
double Distortion(const VectorQuantizer& quantizer, const PointSource& source,
                  ThreadPool& pool = ThreadPool::Global());

// Bits that name one of n things: ceil(log2 n).
int BitsToName(int64_t n);

}  // namespace lowbit
