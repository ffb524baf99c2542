#include "lowbit/kernel/float_matmul.h"

#include <algorithm>

#include "lowbit/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/float_matmul.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;

struct Bf16 {
  uint16_t bits;
};

HWY_INLINE hn::Vec<D> LoadWeights(D d, const float* p) {
  return hn::LoadU(d, p);
}
HWY_INLINE hn::Vec<D> LoadWeights(D d, const hwy::float16_t* p) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(d, hn::LoadU(half, p));
}
HWY_INLINE hn::Vec<D> LoadWeights(D d, const Bf16* p) {
  const hn::Rebind<uint16_t, D> half;
  const hn::Rebind<uint32_t, D> wide;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(half, &p->bits))));
}

// The last columns, copied so that nothing past the row is read.
template <typename W>
HWY_INLINE hn::Vec<D> LoadTail(D d, const W* p, int64_t count) {
  HWY_ALIGN W lanes[16] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return LoadWeights(d, lanes);
}

template <int kRows, int kTokens, typename W>
HWY_INLINE void Block(const W* w, int64_t cols, const float* x, int64_t x_stride, float* y,
                      int64_t y_stride) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[kRows][kTokens];
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) sum[r][t] = hn::Zero(d);
  }
  int64_t c = 0;
  for (; c + lanes <= cols; c += lanes) {
    hn::Vec<D> xs[kTokens];
    for (int t = 0; t < kTokens; ++t) xs[t] = hn::LoadU(d, x + t * x_stride + c);
    for (int r = 0; r < kRows; ++r) {
      const auto ws = LoadWeights(d, w + r * cols + c);
      for (int t = 0; t < kTokens; ++t) sum[r][t] = hn::MulAdd(ws, xs[t], sum[r][t]);
    }
  }
  if (c < cols) {
    hn::Vec<D> xs[kTokens];
    for (int t = 0; t < kTokens; ++t) xs[t] = LoadTail(d, x + t * x_stride + c, cols - c);
    for (int r = 0; r < kRows; ++r) {
      const auto ws = LoadTail(d, w + r * cols + c, cols - c);
      for (int t = 0; t < kTokens; ++t) sum[r][t] = hn::MulAdd(ws, xs[t], sum[r][t]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) y[t * y_stride + r] = hn::GetLane(hn::SumOfLanes(d, sum[r][t]));
  }
}

template <typename W>
void RowsOf(const W* w, int64_t rows, int64_t cols, const float* x, int64_t tokens, int64_t x_stride,
            float* y, int64_t y_stride) {
  // 32 vector registers hold 4 x 4 sums, 16 hold 4 x 2.
  constexpr int kTokens = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  for (int64_t r = 0; r < rows;) {
    const int64_t n = rows - r >= 4 ? 4 : 1;
    int64_t t = 0;
    for (; t + kTokens <= tokens; t += kTokens) {
      if (n == 4) {
        Block<4, kTokens>(w + r * cols, cols, x + t * x_stride, x_stride, y + t * y_stride + r, y_stride);
      } else {
        Block<1, kTokens>(w + r * cols, cols, x + t * x_stride, x_stride, y + t * y_stride + r, y_stride);
      }
    }
    for (; t < tokens; ++t) {
      if (n == 4) {
        Block<4, 1>(w + r * cols, cols, x + t * x_stride, x_stride, y + t * y_stride + r, y_stride);
      } else {
        Block<1, 1>(w + r * cols, cols, x + t * x_stride, x_stride, y + t * y_stride + r, y_stride);
      }
    }
    r += n;
  }
}

void FloatRows(const FloatMatrix& w, int64_t begin, int64_t end, const float* x, int64_t tokens,
               int64_t x_stride, float* y, int64_t y_stride) {
  const int64_t at = begin * w.cols;
  switch (w.type) {
    case DType::kF32:
      RowsOf(reinterpret_cast<const float*>(w.bytes) + at, end - begin, w.cols, x, tokens, x_stride,
             y + begin, y_stride);
      break;
    case DType::kF16:
      RowsOf(reinterpret_cast<const hwy::float16_t*>(w.bytes) + at, end - begin, w.cols, x, tokens, x_stride,
             y + begin, y_stride);
      break;
    default:
      RowsOf(reinterpret_cast<const Bf16*>(w.bytes) + at, end - begin, w.cols, x, tokens, x_stride, y + begin,
             y_stride);
      break;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(FloatRows);

void MatMulFloat(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
                 int64_t y_stride, ThreadPool& pool) {
  if (w.type != DType::kF32 && w.type != DType::kF16 && w.type != DType::kBF16) {
    Fail("a float matrix must be F32, F16 or BF16, not {}", NameOf(w.type));
  }
  constexpr int64_t kTaskRows = 64;
  // Tokens whose activations stay in the second-level cache while the rows of a task pass.
  const int64_t token_block =
      std::max<int64_t>(4, (int64_t{384} << 10) / (4 * std::max<int64_t>(w.cols, 1)) / 4 * 4);
  const int64_t blocks = (tokens + token_block - 1) / token_block,
                row_tasks = (w.rows + kTaskRows - 1) / kTaskRows;
  pool.Run(row_tasks * blocks, [&](int64_t task, int) {
    const int64_t begin = task % row_tasks * kTaskRows, first = task / row_tasks * token_block;
    LOWBIT_KERNEL(FloatRows)
    (w, begin, std::min(w.rows, begin + kTaskRows), x + first * x_stride,
     std::min(token_block, tokens - first), x_stride, y + first * y_stride, y_stride);
  });
}

}  // namespace lowbit
#endif  // HWY_ONCE
