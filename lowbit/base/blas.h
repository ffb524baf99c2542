// Dense linear algebra: OpenBLAS with ONE thread, called on tiles by our own pool.
//
// Every function splits its output into tiles whose sizes and order depend on the shapes alone, and never
// splits a reduction, so results are bit-identical for any number of threads. All matrices are row-major. T
// is float or double. Sizes that do not fit together are a programming error and throw lowbit::Error.
//
// OpenBLAS picks its kernels at load time; OPENBLAS_CORETYPE (a user's choice, made for instance because
// newer kernels compute wrong results on a machine) is obeyed and reported, never overridden. The first use
// checks the library against plain loops (BlasSelfCheck) and refuses to work with the reference BLAS, which
// is some 50 times slower.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

struct BlasDescription {
  std::string kernels;      // the kernel set in use ("SkylakeX", "Zen", "Haswell" ...)
  std::string config;       // OpenBLAS's own version and build options
  std::string forced_type;  // value of OPENBLAS_CORETYPE, empty when unset
};

// What the linked BLAS is. Throws when it is not OpenBLAS.
BlasDescription BlasInfo();

// Compares gemm, syrk and potrf with plain loops, in float and double, at sizes that reach the small-matrix
// and the packed kernels. Throws naming the routine, the kernel set and a remedy. A few milliseconds.
void BlasSelfCheck();

// Called by everything below: on first use sets one BLAS thread and runs BlasInfo and BlasSelfCheck.
void RequireBlas();

enum class Transpose { kNo, kYes };

// C = alpha op(A) op(B) + beta C on the calling thread. For use inside tasks of the pool.
template <typename T>
void SerialGemm(Transpose a_transpose, Transpose b_transpose, T alpha, MatrixView<const T> a,
                MatrixView<const T> b, T beta, MatrixView<T> c);

// The same on all threads of the pool.
template <typename T>
void Gemm(Transpose a_transpose, Transpose b_transpose, T alpha, MatrixView<const T> a, MatrixView<const T> b,
          T beta, MatrixView<T> c, ThreadPool& pool = ThreadPool::Global());

// Upper triangle of H (C, C) += alpha X^T X with X (rows, C); the strict lower triangle is left unspecified.
template <typename T>
void Syrk(T alpha, MatrixView<const T> x, MatrixView<T> h, ThreadPool& pool = ThreadPool::Global());

// Copies the upper triangle of a square matrix onto the lower one.
template <typename T>
void MirrorUpper(MatrixView<T> a, ThreadPool& pool = ThreadPool::Global());

// A = L L^T in place: reads the lower triangle, leaves L there and the strict upper triangle unspecified.
// Returns nothing on success, else the index of the first pivot that is not positive and finite (A is then
// spoiled).
template <typename T>
std::optional<int64_t> Cholesky(MatrixView<T> a, ThreadPool& pool = ThreadPool::Global());

// inverse = L^-1 for a lower triangular L with a non-zero diagonal; the strict upper triangle of `inverse` is
// zero.
template <typename T>
void InvertLower(MatrixView<const T> l, MatrixView<T> inverse, ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
