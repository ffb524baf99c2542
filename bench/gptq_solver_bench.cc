// GPTQ of one layer from a given Hessian, against what the machine's sgemm could do in the same time.
//
//   bench_gptq_solver [columns [rows [threads]]]        4096 4096 2 by default
// Prints sgemm peak (all threads, our own tiling), seconds for each stage, and the ratio of the whole solve
// to (2/3 C^3 + R C^2) flop at that peak. The peak is measured before and after; the mean counts.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "lowbit/base/blas.h"
#include "lowbit/base/buffer.h"
#include "lowbit/base/random.h"
#include "lowbit/method/gptq.h"
#include "lowbit/quantize/gram.h"

namespace lowbit {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void FillRandom(Buffer<float>& values, uint64_t seed, float scale) {
  Random random(seed);
  for (float& v : values) v = (random.Uniform() - 0.5f) * scale;
}

// Best of three products of (2048, 2048) matrices, GFLOP/s.
double SgemmPeak(ThreadPool& pool) {
  constexpr int64_t kSize = 2048;
  Buffer<float> a(kSize * kSize), b(kSize * kSize), c(kSize * kSize);
  FillRandom(a, 1, 1.0f);
  FillRandom(b, 2, 1.0f);
  std::fill(c.begin(), c.end(), 0.0f);
  double best = 1e30;
  for (int i = 0; i < 4; ++i) {
    const double start = Seconds();
    Gemm<float>(Transpose::kNo, Transpose::kNo, 1.0f, {a.data(), kSize, kSize}, {b.data(), kSize, kSize},
                0.0f, {c.data(), kSize, kSize}, pool);
    if (i > 0) best = std::min(best, Seconds() - start);
  }
  return 2.0 * kSize * kSize * kSize / best * 1e-9;
}

void Run(int64_t columns, int64_t rows, int threads) {
  ThreadPool pool(threads);
  const BlasDescription blas = BlasInfo();
  fmt::print("OpenBLAS kernels {} ({}){}\n", blas.kernels, blas.config,
             blas.forced_type.empty() ? "" : ", forced by OPENBLAS_CORETYPE");
  RequireBlas();

  Buffer<float> w(static_cast<size_t>(rows * columns)), x(static_cast<size_t>(2048 * columns));
  FillRandom(w, 3, 0.1f);
  FillRandom(x, 4, 2.0f);
  // Correlated inputs: a moving average along the columns.
  for (int64_t t = 0; t < 2048; ++t) {
    for (int64_t c = 1; c < columns; ++c)
      x[static_cast<size_t>(t * columns + c)] += 0.8f * x[static_cast<size_t>(t * columns + c - 1)];
  }
  HessianAccumulator<float> gram(columns, pool);
  gram.Add({x.data(), 2048, columns});
  double start = Seconds();
  gram.Add({x.data(), 2048, columns});
  const double gram_seconds = Seconds() - start;
  const Buffer<float> h = gram.Finish();

  {  // the two halves of the factor on their own
    Buffer<float> l(h.size()), inverse(h.size());
    std::copy(h.data(), h.data() + h.size(), l.data());
    std::fill(inverse.begin(), inverse.end(), 0.0f);
    for (int64_t i = 0; i < columns; ++i) l[static_cast<size_t>(i * columns + i)] *= 1.05f;
    const double third = std::pow(static_cast<double>(columns), 3) / 3 * 1e-9;
    start = Seconds();
    Cholesky<float>({l.data(), columns, columns}, pool);
    const double middle = Seconds();
    InvertLower<float>({l.data(), columns, columns}, {inverse.data(), columns, columns}, pool);
    const double end = Seconds();
    fmt::print("Cholesky {:.3f} s ({:.0f} GFLOP/s), triangular inverse {:.3f} s ({:.0f} GFLOP/s)\n",
               middle - start, third / (middle - start), end - middle, third / (end - middle));
  }
  const double c = static_cast<double>(columns), r = static_cast<double>(rows);
  const double flop = 2.0 / 3.0 * c * c * c + r * c * c;
  const double gram_flop = 2048.0 * c * (c + 1);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const double before = SgemmPeak(pool);
    GptqTimes times;
    GptqOptions options;
    options.group = 128;
    start = Seconds();
    const GptqResult result =
        SolveGptq<float>({w.data(), rows, columns}, {h.data(), columns, columns}, options, pool, &times);
    const double seconds = Seconds() - start;
    const double peak = 0.5 * (before + SgemmPeak(pool));
    fmt::print("{}x{} group 128, {} threads: sgemm peak {:.0f} GFLOP/s, gram {:.0f}\n", rows, columns,
               threads, peak, gram_flop / gram_seconds * 1e-9);
    fmt::print("  factor {:.3f} s ({:.0f} GFLOP/s), sweep {:.3f} s ({:.0f} GFLOP/s), whole {:.3f} s\n",
               times.factor, 2.0 / 3.0 * c * c * c / times.factor * 1e-9, times.sweep,
               r * c * c / times.sweep * 1e-9, seconds);
    fmt::print("  {:.1f} GFLOP take {:.3f} s at the peak: ratio {:.2f} (target 2), loss {:.4g}\n",
               flop * 1e-9, flop * 1e-9 / peak, seconds / (flop * 1e-9 / peak), result.loss);
  }
  // What other grids cost on top: their fits run inside the sweep.
  GptqTimes times;
  GptqOptions searched;
  searched.group = 128;
  searched.grid.shrink_steps = 80;
  SolveGptq<float>({w.data(), rows, columns}, {h.data(), columns, columns}, searched, pool, &times);
  fmt::print("sweep with an 80-step search of each grid (norm 2.4): {:.3f} s\n", times.sweep);
  for (const GgmlGridType type : {GgmlGridType::kQ4_0, GgmlGridType::kQ4_K, GgmlGridType::kQ2_K}) {
    if (columns % GridOf(type).block != 0) continue;
    GptqGgmlOptions options;
    options.type = type;
    SolveGptqGgml<float>({w.data(), rows, columns}, {h.data(), columns, columns}, options, pool, &times);
    fmt::print("sweep on {}: {:.3f} s\n", GridOf(type).name, times.sweep);
  }
}

}  // namespace
}  // namespace lowbit

int main(int argc, char** argv) {
  const auto argument = [&](int i, int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
  lowbit::Run(argument(1, 4096), argument(2, 4096), static_cast<int>(argument(3, 2)));
}
