#include "lowbit/quantize/output_error.h"

#include <algorithm>

#include "lowbit/base/blas.h"
#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

namespace lowbit {

template <typename T>
std::vector<double> OutputError(MatrixView<const T> difference, MatrixView<const T> h, ThreadPool& pool) {
  const int64_t rows = difference.rows, columns = difference.cols;
  if (h.rows != columns || h.cols != columns) {
    Fail("Hessian of ({}, {}) for a layer of {} columns", h.rows, h.cols, columns);
  }
  RequireBlas();
  std::vector<double> error(static_cast<size_t>(rows), 0.0);
  constexpr int64_t kTile = 128;
  std::vector<Buffer<T>> products(static_cast<size_t>(pool.threads()));
  pool.Run((rows + kTile - 1) / kTile, [&](int64_t tile, int worker) {
    const int64_t row0 = tile * kTile, height = std::min(kTile, rows - row0);
    Buffer<T>& product = products[static_cast<size_t>(worker)];
    product.Reserve(static_cast<size_t>(kTile * columns));
    const MatrixView<T> p(product.data(), height, columns);
    SerialGemm<T>(Transpose::kNo, Transpose::kNo, T(1), difference.Block(row0, 0, height, columns), h, T(0),
                  p);
    for (int64_t r = 0; r < height; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c)
        sum += static_cast<double>(p(r, c)) * static_cast<double>(difference(row0 + r, c));
      error[static_cast<size_t>(row0 + r)] = sum;
    }
  });
  return error;
}

template std::vector<double> OutputError(MatrixView<const float>, MatrixView<const float>, ThreadPool&);
template std::vector<double> OutputError(MatrixView<const double>, MatrixView<const double>, ThreadPool&);

}  // namespace lowbit
