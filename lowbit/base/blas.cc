#include "lowbit/base/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

// Weak, so that a program linked to the reference BLAS starts and can say what is wrong.
extern "C" {
#pragma weak openblas_get_corename
#pragma weak openblas_get_config
#pragma weak openblas_set_num_threads
}

namespace lowbit {
namespace {

// ---- The typed routines
// --------------------------------------------------------------------------------------

CBLAS_TRANSPOSE Cblas(Transpose t) {
  return t == Transpose::kYes ? CblasTrans : CblasNoTrans;
}

void CallGemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float* a,
              int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void CallGemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha, const double* a,
              int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void CallSyrkUpper(int n, int k, float alpha, const float* x, int ldx, float* h, int ldh) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, k, alpha, x, ldx, 1.0f, h, ldh);
}
void CallSyrkUpper(int n, int k, double alpha, const double* x, int ldx, double* h, int ldh) {
  cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, n, k, alpha, x, ldx, 1.0, h, ldh);
}

// A -= X X^T on the lower triangle.
void CallSyrkLower(int n, int k, const float* x, int ldx, float* a, int lda) {
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, n, k, -1.0f, x, ldx, 1.0f, a, lda);
}
void CallSyrkLower(int n, int k, const double* x, int ldx, double* a, int lda) {
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, n, k, -1.0, x, ldx, 1.0, a, lda);
}

// B = B L^-T.
void CallTrsmRight(int m, int n, const float* l, int ldl, float* b, int ldb) {
  cblas_strsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, m, n, 1.0f, l, ldl, b, ldb);
}
void CallTrsmRight(int m, int n, const double* l, int ldl, double* b, int ldb) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, m, n, 1.0, l, ldl, b, ldb);
}

// B = -L B, L lower triangular.
void CallTrmmLeft(int m, int n, const float* l, int ldl, float* b, int ldb) {
  cblas_strmm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, m, n, -1.0f, l, ldl, b, ldb);
}
void CallTrmmLeft(int m, int n, const double* l, int ldl, double* b, int ldb) {
  cblas_dtrmm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, m, n, -1.0, l, ldl, b, ldb);
}

// LAPACK is column-major: our lower triangle is its upper one. The _work forms skip LAPACKE's own NaN scan.
int CallPotrfLower(int n, float* a, int lda) {
  return LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', n, a, lda);
}
int CallPotrfLower(int n, double* a, int lda) {
  return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, a, lda);
}
int CallTrtriLower(int n, float* a, int lda) {
  return LAPACKE_strtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a, lda);
}
int CallTrtriLower(int n, double* a, int lda) {
  return LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a, lda);
}

template <typename T>
void RawGemm(Transpose ta, Transpose tb, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
             MatrixView<T> c) {
  const int64_t k = ta == Transpose::kYes ? a.rows : a.cols;
  CallGemm(Cblas(ta), Cblas(tb), static_cast<int>(c.rows), static_cast<int>(c.cols), static_cast<int>(k),
           alpha, a.data, static_cast<int>(a.stride), b.data, static_cast<int>(b.stride), beta, c.data,
           static_cast<int>(c.stride));
}

// Tile edge for an output of `size` columns: at least eight tiles along the edge for the pool to share, yet
// wide enough that the packing of panels (1/edge of the work) stays small. Depends on the size alone.
int64_t TileEdge(int64_t size) {
  return std::clamp<int64_t>((size / 8 + 63) / 64 * 64, 128, 512);
}

// ---- The self-check
// ------------------------------------------------------------------------------------------

// A fixed pattern without structure a faulty kernel could hide behind.
template <typename T>
std::vector<T> Pattern(int64_t size, uint32_t seed) {
  std::vector<T> values(static_cast<size_t>(size));
  for (T& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<T>(static_cast<int32_t>(seed >> 16) - 32768) / T(32768);
  }
  return values;
}

template <typename T>
void CheckClose(const char* routine, const std::vector<T>& got, const std::vector<double>& expected,
                int64_t depth) {
  const double tolerance = 8.0 * static_cast<double>(depth) * (sizeof(T) == 4 ? 6e-8 : 1.2e-16);
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) continue;  // not part of the result
    if (!(std::abs(static_cast<double>(got[i]) - expected[i]) <= tolerance)) {
      Fail(
          "OpenBLAS computes {} ({}) wrongly with its {} kernels on this machine: {} where {} is right. "
          "Set OPENBLAS_CORETYPE=Haswell (or another older set) and start again",
          routine, sizeof(T) == 4 ? "float" : "double", BlasInfo().kernels, static_cast<double>(got[i]),
          expected[i]);
    }
  }
}

template <typename T>
void CheckGemm(Transpose ta, Transpose tb, int64_t m, int64_t n, int64_t k) {
  const std::vector<T> a = Pattern<T>(m * k, 1), b = Pattern<T>(k * n, 2);
  std::vector<T> c = Pattern<T>(m * n, 3);
  std::vector<double> expected(c.begin(), c.end());
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      const double x = ta == Transpose::kYes ? a[p * m + i] : a[i * k + p];
      for (int64_t j = 0; j < n; ++j)
        expected[i * n + j] -= x * (tb == Transpose::kYes ? b[j * k + p] : b[p * n + j]);
    }
  }
  const MatrixView<const T> av =
      ta == Transpose::kYes ? MatrixView<const T>(a.data(), k, m) : MatrixView<const T>(a.data(), m, k);
  const MatrixView<const T> bv =
      tb == Transpose::kYes ? MatrixView<const T>(b.data(), n, k) : MatrixView<const T>(b.data(), k, n);
  RawGemm<T>(ta, tb, T(-1), av, bv, T(1), {c.data(), m, n});
  CheckClose("gemm", c, expected, k);
}

template <typename T>
void CheckSyrkAndPotrf(int64_t n, int64_t k) {
  const std::vector<T> x = Pattern<T>(k * n, 4);
  std::vector<T> h(static_cast<size_t>(n * n));
  std::vector<double> expected(h.size(), std::nan(""));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) expected[i * n + j] = 0;
    for (int64_t p = 0; p < k; ++p) {
      for (int64_t j = i; j < n; ++j) expected[i * n + j] += static_cast<double>(x[p * n + i]) * x[p * n + j];
    }
  }
  CallSyrkUpper(static_cast<int>(n), static_cast<int>(k), T(1), x.data(), static_cast<int>(n), h.data(),
                static_cast<int>(n));
  CheckClose("syrk", h, expected, k);

  // A diagonally dominant matrix, so that the factor is as accurate as the arithmetic.
  std::vector<T> a(h.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) a[i * n + j] = h[j * n + i] / static_cast<T>(k) + (i == j ? T(2) : T(0));
  }
  std::vector<double> l(a.begin(), a.end());
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) {
      double sum = l[i * n + j];
      for (int64_t p = 0; p < j; ++p) sum -= l[i * n + p] * l[j * n + p];
      l[i * n + j] = i == j ? std::sqrt(sum) : sum / l[j * n + j];
    }
  }
  for (int64_t i = 0; i < n; ++i) std::fill(l.begin() + i * n + i + 1, l.begin() + (i + 1) * n, std::nan(""));
  if (CallPotrfLower(static_cast<int>(n), a.data(), static_cast<int>(n)) != 0) {
    Fail(
        "OpenBLAS cannot factor a positive definite matrix with its {} kernels on this machine; set "
        "OPENBLAS_CORETYPE=Haswell (or another older set) and start again",
        BlasInfo().kernels);
  }
  CheckClose("potrf", a, l, n);
}

template <typename T>
void SelfCheck() {
  // Up to 100^3 goes to the small-matrix kernels of the AVX-512 sets, above it to the packed ones.
  for (const int64_t size : {int64_t{37}, int64_t{131}}) {
    CheckGemm<T>(Transpose::kNo, Transpose::kNo, size, size + 5, size + 10);
    CheckGemm<T>(Transpose::kYes, Transpose::kNo, size, size + 5, size + 10);
    CheckGemm<T>(Transpose::kNo, Transpose::kYes, size, size + 5, size + 10);
    CheckSyrkAndPotrf<T>(size, size + 10);
  }
}

}  // namespace

BlasDescription BlasInfo() {
  if (openblas_get_corename == nullptr || openblas_set_num_threads == nullptr) {
    Fail(
        "the linked libblas is not OpenBLAS (probably the reference BLAS, some 50 times slower): install "
        "libopenblas0-pthread and select it with update-alternatives --config libblas.so.3-$(uname "
        "-m)-linux-gnu");
  }
  // OpenBLAS may be present and yet shadowed by another library's gemm.
  void* const gemm = dlsym(RTLD_DEFAULT, "cblas_sgemm");
  void* const name = dlsym(RTLD_DEFAULT, "openblas_get_corename");
  Dl_info gemm_library, name_library;
  if (gemm != nullptr && name != nullptr && dladdr(gemm, &gemm_library) != 0 &&
      dladdr(name, &name_library) != 0 && std::strcmp(gemm_library.dli_fname, name_library.dli_fname) != 0) {
    Fail(
        "cblas_sgemm comes from {}, not from OpenBLAS ({}): remove the other BLAS from LD_PRELOAD or the "
        "link line",
        gemm_library.dli_fname, name_library.dli_fname);
  }
  const char* forced = std::getenv("OPENBLAS_CORETYPE");
  return {openblas_get_corename(), openblas_get_config(), forced == nullptr ? "" : forced};
}

void BlasSelfCheck() {
  BlasInfo();
  openblas_set_num_threads(1);
  SelfCheck<float>();
  SelfCheck<double>();
}

void RequireBlas() {
  static std::once_flag once;
  std::call_once(once, BlasSelfCheck);  // runs again on the next call when it threw
}

template <typename T>
void SerialGemm(Transpose ta, Transpose tb, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                MatrixView<T> c) {
  RequireBlas();
  if (c.rows > 0 && c.cols > 0) RawGemm(ta, tb, alpha, a, b, beta, c);
}

template <typename T>
void Gemm(Transpose ta, Transpose tb, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c, ThreadPool& pool) {
  RequireBlas();
  const bool at = ta == Transpose::kYes, bt = tb == Transpose::kYes;
  const int64_t m = at ? a.cols : a.rows, k = at ? a.rows : a.cols, n = bt ? b.rows : b.cols;
  if (m != c.rows || n != c.cols || k != (bt ? b.cols : b.rows)) {
    Fail("matrix product of ({}, {}) and ({}, {}) does not fit into ({}, {})", m, k, bt ? b.cols : b.rows, n,
         c.rows, c.cols);
  }
  if (m == 0 || n == 0) return;
  const int64_t row_edge = TileEdge(m), col_edge = TileEdge(n);
  const int64_t row_tiles = (m + row_edge - 1) / row_edge, col_tiles = (n + col_edge - 1) / col_edge;
  pool.Run(row_tiles * col_tiles, [&](int64_t tile, int) {
    const int64_t i = tile / col_tiles * row_edge, j = tile % col_tiles * col_edge;
    const int64_t rows = std::min(row_edge, m - i), cols = std::min(col_edge, n - j);
    RawGemm(ta, tb, alpha, at ? a.Block(0, i, k, rows) : a.Block(i, 0, rows, k),
            bt ? b.Block(j, 0, cols, k) : b.Block(0, j, k, cols), beta, c.Block(i, j, rows, cols));
  });
}

template <typename T>
void Syrk(T alpha, MatrixView<const T> x, MatrixView<T> h, ThreadPool& pool) {
  RequireBlas();
  const int64_t n = h.cols, k = x.rows;
  if (h.rows != n || x.cols != n) Fail("X^T X with {} columns does not fit into ({}, {})", x.cols, h.rows, n);
  if (n == 0 || k == 0) return;
  const int64_t edge = TileEdge(n), tiles = (n + edge - 1) / edge;
  pool.Run(tiles * (tiles + 1) / 2, [&](int64_t task, int) {
    int64_t ti = 0;  // tiles of the upper triangle, row by row
    while (task >= tiles - ti) task -= tiles - ti++;
    const int64_t i = ti * edge, j = (ti + task) * edge;
    const int64_t rows = std::min(edge, n - i), cols = std::min(edge, n - j);
    if (i == j) {
      CallSyrkUpper(static_cast<int>(rows), static_cast<int>(k), alpha, x.data + i,
                    static_cast<int>(x.stride), &h(i, i), static_cast<int>(h.stride));
    } else {
      RawGemm(Transpose::kYes, Transpose::kNo, alpha, x.Block(0, i, k, rows), x.Block(0, j, k, cols), T(1),
              h.Block(i, j, rows, cols));
    }
  });
}

template <typename T>
void MirrorUpper(MatrixView<T> a, ThreadPool& pool) {
  constexpr int64_t kEdge = 64;  // two tiles stay in L1 whatever the stride
  const int64_t n = a.rows, tiles = (n + kEdge - 1) / kEdge;
  pool.Run(tiles, [&](int64_t ti, int) {
    const int64_t i0 = ti * kEdge, i1 = std::min(n, i0 + kEdge);
    for (int64_t j0 = 0; j0 <= i0; j0 += kEdge) {
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = j0; j < std::min(i, j0 + kEdge); ++j) a(i, j) = a(j, i);
      }
    }
  });
}

// Right-looking: factor a diagonal block, solve the panel below it, subtract the panel's outer product from
// everything to the right. The last step has the parallelism and nearly all of the work.
template <typename T>
std::optional<int64_t> Cholesky(MatrixView<T> a, ThreadPool& pool) {
  RequireBlas();
  const int64_t n = a.rows;
  if (a.cols != n) Fail("Cholesky factor of a matrix that is not square: ({}, {})", a.rows, a.cols);
  const int64_t block = std::clamp<int64_t>(n / 16 / 32 * 32, 64, 256);
  for (int64_t k = 0; k < n; k += block) {
    const int64_t width = std::min(block, n - k), rest = n - k - width;
    const int info = CallPotrfLower(static_cast<int>(width), &a(k, k), static_cast<int>(a.stride));
    for (int64_t i = k; i < k + width; ++i) {  // potrf lets NaN pass
      if (info > 0 && i >= k + info - 1) return i;
      if (!(a(i, i) > T(0)) || !std::isfinite(a(i, i))) return i;
    }
    if (rest == 0) break;
    const int64_t first = k + width;
    pool.Run((rest + block - 1) / block, [&](int64_t tile, int) {
      const int64_t i = first + tile * block;
      CallTrsmRight(static_cast<int>(std::min(block, n - i)), static_cast<int>(width), &a(k, k),
                    static_cast<int>(a.stride), &a(i, k), static_cast<int>(a.stride));
    });
    const int64_t edge = TileEdge(rest), tiles = (rest + edge - 1) / edge;
    pool.Run(tiles * (tiles + 1) / 2, [&](int64_t task, int) {
      int64_t ti = tiles - 1;  // tiles of the lower triangle, from the bottom row up
      while (task > ti) task -= ti-- + 1;
      const int64_t i = first + ti * edge, j = first + task * edge;
      const int64_t rows = std::min(edge, n - i), cols = std::min(edge, n - j);
      if (i == j) {
        CallSyrkLower(static_cast<int>(rows), static_cast<int>(width), &a(i, k), static_cast<int>(a.stride),
                      &a(i, i), static_cast<int>(a.stride));
      } else {
        RawGemm<T>(Transpose::kNo, Transpose::kYes, T(-1), a.Block(i, k, rows, width),
                   a.Block(j, k, cols, width), T(1), a.Block(i, j, rows, cols));
      }
    });
  }
  return std::nullopt;
}

// Column tiles of the inverse are independent: X_j solves L X_j = I_j by forward substitution over blocks,
//   X_i = -inv(L_ii) sum_{k=j}^{i-1} L_ik X_k,   X_j = inv(L_jj),
// with the diagonal blocks inverted beforehand.
template <typename T>
void InvertLower(MatrixView<const T> l, MatrixView<T> inverse, ThreadPool& pool) {
  RequireBlas();
  const int64_t n = l.rows;
  if (l.cols != n || inverse.rows != n || inverse.cols != n) {
    Fail("inverse of ({}, {}) does not fit into ({}, {})", l.rows, l.cols, inverse.rows, inverse.cols);
  }
  const int64_t block = std::clamp<int64_t>(n / 16 / 32 * 32, 64, 256), tiles = (n + block - 1) / block;
  Buffer<T> diagonal(static_cast<size_t>(tiles * block * block));
  pool.Run(tiles, [&](int64_t tile, int) {
    const int64_t i = tile * block, width = std::min(block, n - i);
    const MatrixView<T> d(diagonal.data() + tile * block * block, width, width, block);
    for (int64_t r = 0; r < width; ++r) {
      std::copy(l.Row(i + r) + i, l.Row(i + r) + i + r + 1, d.Row(r));
      std::fill(d.Row(r) + r + 1, d.Row(r) + width, T(0));
    }
    CallTrtriLower(static_cast<int>(width), d.data, static_cast<int>(block));
  });
  pool.Run(tiles, [&](int64_t tile, int) {  // the first tile is the longest: greedy scheduling balances
    const int64_t j = tile * block, cols = std::min(block, n - j);
    for (int64_t r = 0; r < j; ++r) std::fill(inverse.Row(r) + j, inverse.Row(r) + j + cols, T(0));
    for (int64_t i = j; i < n; i += block) {
      const int64_t rows = std::min(block, n - i);
      const MatrixView<T> x = inverse.Block(i, j, rows, cols);
      const T* d = diagonal.data() + i / block * block * block;
      if (i == j) {
        for (int64_t r = 0; r < rows; ++r) std::copy(d + r * block, d + r * block + cols, x.Row(r));
        continue;
      }
      RawGemm<T>(Transpose::kNo, Transpose::kNo, T(1), l.Block(i, j, rows, i - j),
                 inverse.Block(j, j, i - j, cols), T(0), x);
      CallTrmmLeft(static_cast<int>(rows), static_cast<int>(cols), d, static_cast<int>(block), x.data,
                   static_cast<int>(x.stride));
    }
  });
}

#define LOWBIT_INSTANTIATE(T)                                                                                \
  template void SerialGemm<T>(Transpose, Transpose, T, MatrixView<const T>, MatrixView<const T>, T,          \
                              MatrixView<T>);                                                                \
  template void Gemm<T>(Transpose, Transpose, T, MatrixView<const T>, MatrixView<const T>, T, MatrixView<T>, \
                        ThreadPool&);                                                                        \
  template void Syrk<T>(T, MatrixView<const T>, MatrixView<T>, ThreadPool&);                                 \
  template void MirrorUpper<T>(MatrixView<T>, ThreadPool&);                                                  \
  template std::optional<int64_t> Cholesky<T>(MatrixView<T>, ThreadPool&);                                   \
  template void InvertLower<T>(MatrixView<const T>, MatrixView<T>, ThreadPool&);
LOWBIT_INSTANTIATE(float)
LOWBIT_INSTANTIATE(double)
#undef LOWBIT_INSTANTIATE

}  // namespace lowbit
