#include "lowbit/kernel/vector_ops.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/vector_ops.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;

void RmsNormRow(const float* x, const float* weight, float* y, int64_t n, float eps) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t c = 0;
  for (; c + lanes <= n; c += lanes) {
    const auto v = hn::LoadU(d, x + c);
    sum = hn::MulAdd(v, v, sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (int64_t i = c; i < n; ++i) total += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(total / static_cast<float>(n) + eps);
  const auto s = hn::Set(d, scale);
  for (c = 0; c + lanes <= n; c += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + c), s), hn::LoadU(d, weight + c)), d, y + c);
  }
  for (; c < n; ++c) y[c] = x[c] * scale * weight[c];
}

void Rotate(float* x, int64_t heads, int64_t head_size, const float* cos, const float* sin, int64_t half) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t h = 0; h < heads; ++h, x += head_size) {
    int64_t i = 0;
    for (; i + lanes <= half; i += lanes) {
      const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
      const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
      hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
      hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, x + half + i);
    }
    for (; i < half; ++i) {
      const float a = x[i], b = x[half + i];
      x[i] = a * cos[i] - b * sin[i];
      x[half + i] = b * cos[i] + a * sin[i];
    }
  }
}

// x * sigmoid(z): both activations have this form, gelu_tanh with z = 2 sqrt(2/pi) (x + 0.044715 x^3).
HWY_INLINE hn::Vec<D> Gate(D d, hn::Vec<D> x, hn::Vec<D> z) {
  const auto bounded = hn::Min(hn::Max(z, hn::Set(d, -87.0f)), hn::Set(d, 87.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(bounded))));
}

HWY_INLINE hn::Vec<D> Activate(D d, GluActivation activation, hn::Vec<D> x) {
  if (activation == GluActivation::kSilu) return Gate(d, x, x);
  const auto cubic = hn::Mul(hn::Mul(hn::Mul(x, x), x), hn::Set(d, 0.044715f));
  return Gate(d, x, hn::Mul(hn::Add(x, cubic), hn::Set(d, 1.5957691216057308f)));
}

void GluRange(GluActivation activation, const float* gate, const float* up, float* y, int64_t n) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(Activate(d, activation, hn::LoadU(d, gate + i)), hn::LoadU(d, up + i)), d, y + i);
  }
  if (i < n) {
    float g[16] = {}, u[16] = {}, out[16];
    std::copy(gate + i, gate + n, g);
    std::copy(up + i, up + n, u);
    hn::StoreU(hn::Mul(Activate(d, activation, hn::LoadU(d, g)), hn::LoadU(d, u)), d, out);
    std::copy(out, out + (n - i), y + i);
  }
}

void AddRange(const float* a, const float* b, float* y, int64_t n) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  for (; i < n; ++i) y[i] = a[i] + b[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(Rotate);
HWY_EXPORT(GluRange);
HWY_EXPORT(AddRange);

namespace {

constexpr int64_t kTask = 16384;  // entries worth a task; a multiple of every vector

template <typename F>
void InParts(int64_t n, ThreadPool& pool, F f) {
  pool.Run((n + kTask - 1) / kTask,
           [&](int64_t task, int) { f(task * kTask, std::min(n, (task + 1) * kTask)); });
}

}  // namespace

void RmsNorm(const float* x, const float* weight, float* y, int64_t n, float eps) {
  LOWBIT_KERNEL(RmsNormRow)(x, weight, y, n, eps);
}

void RotateHeads(float* x, int64_t heads, int64_t head_size, const float* cos, const float* sin,
                 int64_t half) {
  LOWBIT_KERNEL(Rotate)(x, heads, head_size, cos, sin, half);
}

void Glu(GluActivation activation, const float* gate, const float* up, float* y, int64_t n,
         ThreadPool& pool) {
  InParts(n, pool, [&](int64_t begin, int64_t end) {
    LOWBIT_KERNEL(GluRange)(activation, gate + begin, up + begin, y + begin, end - begin);
  });
}

void Add(const float* a, const float* b, float* y, int64_t n, ThreadPool& pool) {
  InParts(n, pool, [&](int64_t begin, int64_t end) {
    LOWBIT_KERNEL(AddRange)(a + begin, b + begin, y + begin, end - begin);
  });
}

void AddBias(float* y, const float* bias, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) LOWBIT_KERNEL(AddRange)(y + r * width, bias, y + r * width, width);
}

}  // namespace lowbit
#endif  // HWY_ONCE
