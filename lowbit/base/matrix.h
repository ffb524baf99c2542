// A view of a row-major matrix: (rows, cols), `stride` elements from one row to the next. Owns nothing.
#pragma once

#include <cstdint>
#include <type_traits>

namespace lowbit {

template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;

  MatrixView() = default;
  MatrixView(T* data_in, int64_t rows_in, int64_t cols_in) : MatrixView(data_in, rows_in, cols_in, cols_in) {}
  MatrixView(T* data_in, int64_t rows_in, int64_t cols_in, int64_t stride_in)
      : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in) {}
  // A writable view serves where a read-only one is asked for.
  operator MatrixView<const T>() const  // NOLINT(google-explicit-constructor)
      requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }

  T* Row(int64_t row) const { return data + row * stride; }
  T& operator()(int64_t row, int64_t col) const { return data[row * stride + col]; }
  MatrixView Block(int64_t row, int64_t col, int64_t block_rows, int64_t block_cols) const {
    return {data + row * stride + col, block_rows, block_cols, stride};
  }
};

}  // namespace lowbit
