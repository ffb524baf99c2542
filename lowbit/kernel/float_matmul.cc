#include "lowbit/kernel/float_matmul.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/kernel/units.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/float_matmul.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Columns of a chunk: 6 tokens of x (24 KiB) stay in the L1 cache beside a few rows.
constexpr int64_t kChunkColumns = 1024;
constexpr int64_t kRowTile = 4;

using D = hn::CappedTag<float, 16>;
constexpr int kStep = static_cast<int>(hn::MaxLanes(D()));
constexpr int kVectors = 16 / kStep;  // 16 partial sums whatever the width: the same order on every target

// Registers: rows x tokens sums (times kVectors).
constexpr int kTokenTile = HWY_TARGET == HWY_AVX3 ? 6 : 1;

HWY_INLINE hn::Vec<D> Load(const float* p) {
  return hn::LoadU(D(), p);
}
HWY_INLINE hn::Vec<D> Load(const hwy::bfloat16_t* p) {
  const hn::Rebind<hwy::bfloat16_t, D> narrow;
  return hn::PromoteTo(D(), hn::LoadU(narrow, p));
}
HWY_INLINE hn::Vec<D> Load(const hwy::float16_t* p) {
  const hn::Rebind<hwy::float16_t, D> narrow;
  return hn::PromoteTo(D(), hn::LoadU(narrow, p));
}

// The 16 partial sums added: i and i + 8, then i + 4, i + 2, i + 1.
HWY_INLINE float Total(const hn::Vec<D>* v) {
  float s[16];
  for (int i = 0; i < kVectors; ++i) hn::StoreU(v[i], D(), s + i * kStep);
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) s[i] += s[i + n];
  }
  return s[0];
}

// y[t][r] += <w_r, x_t> over `columns`, a multiple of 16.
template <int kRows, int kTokens, typename T>
HWY_INLINE void Multiply(const T* w, int64_t w_stride, const float* x, int64_t x_stride, int64_t columns,
                         float* y, int64_t y_stride) {
  hn::Vec<D> sum[kRows][kTokens][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 16
      for (int i = 0; i < kVectors; ++i) sum[r][t][i] = hn::Zero(D());
    }
  }
  for (int64_t c = 0; c < columns; c += 16) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) {
      hn::Vec<D> rows[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) rows[r] = Load(w + r * w_stride + c + i * kStep);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const auto a = hn::LoadU(D(), x + t * x_stride + c + i * kStep);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sum[r][t][i] = hn::MulAdd(rows[r], a, sum[r][t][i]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) y[t * y_stride + r] += Total(sum[r][t]);
  }
}

template <typename T>
void Widen(const T* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) hn::StoreU(Load(from + i), D(), to + i);
  for (; i < count; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      to[i] = from[i];
    } else {
      uint16_t bits;
      std::memcpy(&bits, from + i, 2);
      to[i] = std::is_same_v<T, hwy::bfloat16_t> ? BF16ToFloat(bits) : F16ToFloat(bits);
    }
  }
}

// kRowTile rows for all tokens. Rows are widened once when many tokens use them.
template <typename T>
void Rows(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, int64_t row, float* y,
          int64_t y_stride) {
  const int64_t rows = std::min(kRowTile, w.rows - row);
  const auto* from = static_cast<const T*>(w.data) + row * w.cols;
  const bool widen = rows < kRowTile || (tokens > 2 && !std::is_same_v<T, float>);
  auto* scratch =
      reinterpret_cast<float*>(KernelScratch((kRowTile + kTokenTile) * kChunkColumns * sizeof(float)));
  float* x_tail = scratch + kRowTile * kChunkColumns;
  for (int64_t t = 0; t < tokens; ++t) std::fill_n(y + t * y_stride + row, rows, 0.0f);
  float out[kTokenTile * kRowTile];

  for (int64_t column = 0; column < w.cols; column += kChunkColumns) {
    const int64_t columns = std::min(kChunkColumns, w.cols - column), padded = (columns + 15) / 16 * 16;
    const bool tail = padded != columns;
    if (widen || tail) {
      for (int64_t r = 0; r < kRowTile; ++r) {
        float* to = scratch + r * kChunkColumns;
        const int64_t present = r < rows ? columns : 0;
        if (present > 0) Widen(from + r * w.cols + column, columns, to);
        std::fill(to + present, to + padded, 0.0f);
      }
    }
    const auto multiply = [&](auto count, int64_t t) HWY_ATTR {
      constexpr int kTokens = decltype(count)::value;
      const float* a = x + t * x_stride + column;
      int64_t a_stride = x_stride;
      if (tail) {
        for (int i = 0; i < kTokens; ++i) {
          std::copy_n(a + i * x_stride, columns, x_tail + i * kChunkColumns);
          std::fill_n(x_tail + i * kChunkColumns + columns, padded - columns, 0.0f);
        }
        a = x_tail;
        a_stride = kChunkColumns;
      }
      std::fill_n(out, kTokens * kRowTile, 0.0f);
      if (widen || tail) {
        Multiply<kRowTile, kTokens>(scratch, kChunkColumns, a, a_stride, padded, out, kRowTile);
      } else {
        Multiply<kRowTile, kTokens>(from + column, w.cols, a, a_stride, padded, out, kRowTile);
      }
      for (int i = 0; i < kTokens; ++i) {
        for (int64_t r = 0; r < rows; ++r) y[(t + i) * y_stride + row + r] += out[i * kRowTile + r];
      }
    };
    int64_t t = 0;
    for (; t + kTokenTile <= tokens; t += kTokenTile) multiply(std::integral_constant<int, kTokenTile>(), t);
    for (; t < tokens; ++t) multiply(std::integral_constant<int, 1>(), t);
  }
}

void AnyRows(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, int64_t row, float* y,
             int64_t y_stride) {
  if (w.type == DType::kF32) return Rows<float>(w, x, tokens, x_stride, row, y, y_stride);
  if (w.type == DType::kBF16) return Rows<hwy::bfloat16_t>(w, x, tokens, x_stride, row, y, y_stride);
  Rows<hwy::float16_t>(w, x, tokens, x_stride, row, y, y_stride);
}

void WidenAny(DType type, const void* from, int64_t count, float* to) {
  if (type == DType::kF32) return Widen(static_cast<const float*>(from), count, to);
  if (type == DType::kBF16) return Widen(static_cast<const hwy::bfloat16_t*>(from), count, to);
  Widen(static_cast<const hwy::float16_t*>(from), count, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(AnyRows);
HWY_EXPORT(WidenAny);

namespace {

void CheckType(DType type) {
  if (type != DType::kF32 && type != DType::kBF16 && type != DType::kF16) {
    Fail("float kernels take F32, BF16 and F16, not {}", NameOf(type));
  }
}

}  // namespace

void MatMul(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
            int64_t y_stride, ThreadPool& pool) {
  CheckType(w.type);
  const auto rows = LOWBIT_KERNEL(AnyRows);
  constexpr int64_t kTile = 4;            // rows of one call
  constexpr int64_t kTokensOfTask = 120;  // x of a chunk stays in the L2 cache
  // Rows of one task: enough work to pay for taking it.
  const int64_t tiles = (w.rows + kTile - 1) / kTile;
  const int64_t tiles_of_task =
      std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, w.cols * std::min<int64_t>(tokens, 32)));
  const int64_t row_tasks = (tiles + tiles_of_task - 1) / tiles_of_task;
  const int64_t blocks = (tokens + kTokensOfTask - 1) / kTokensOfTask;
  pool.Run(row_tasks * blocks, [&](int64_t task, int) {
    const int64_t begin = task / row_tasks * kTokensOfTask;
    const int64_t first = task % row_tasks * tiles_of_task, last = std::min(tiles, first + tiles_of_task);
    for (int64_t tile = first; tile < last; ++tile) {
      rows(w, x + begin * x_stride, std::min(kTokensOfTask, tokens - begin), x_stride, tile * kTile,
           y + begin * y_stride, y_stride);
    }
  });
}

void ConvertToFloat(DType type, const void* from, int64_t count, float* to) {
  CheckType(type);
  LOWBIT_KERNEL(WidenAny)(type, from, count, to);
}

void ConvertFromFloat(const float* from, int64_t count, DType type, void* to) {
  CheckType(type);
  if (type == DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  auto* bytes = static_cast<uint8_t*>(to);
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t half = type == DType::kBF16 ? FloatToBF16(from[i]) : FloatToF16(from[i]);
    std::memcpy(bytes + 2 * i, &half, 2);
  }
}

}  // namespace lowbit
#endif  // HWY_ONCE
