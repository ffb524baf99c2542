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
constexpr int64_t kStep = static_cast<int64_t>(hn::MaxLanes(D()));
constexpr int64_t kVectors = 16 / kStep;

// Calls f(vector of x, ...) on whole vectors and on a padded copy of the tail. f: (a, b) -> c.
template <class F>
HWY_INLINE void Map(const float* a, const float* b, int64_t n, float* out, F&& f) {
  const D d;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  if (i < n) {
    float ta[16] = {}, tb[16] = {};
    std::copy(a + i, a + n, ta);
    std::copy(b + i, b + n, tb);
    hn::StoreU(f(hn::LoadU(d, ta), hn::LoadU(d, tb)), d, ta);
    std::copy_n(ta, n - i, out + i);
  }
}

// sum of f(a, b) with 16 partial sums.
template <class F>
HWY_INLINE float Reduce(const float* a, const float* b, int64_t n, F&& f) {
  const D d;
  hn::Vec<D> sum[kVectors];
  for (auto& s : sum) s = hn::Zero(d);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t v = 0; v < kVectors; ++v) {
      sum[v] = f(hn::LoadU(d, a + i + v * kStep), hn::LoadU(d, b + i + v * kStep), sum[v]);
    }
  }
  if (i < n) {
    float ta[16] = {}, tb[16] = {};
    std::copy(a + i, a + n, ta);
    std::copy(b + i, b + n, tb);
    for (int64_t v = 0; v < kVectors; ++v) {
      sum[v] = f(hn::LoadU(d, ta + v * kStep), hn::LoadU(d, tb + v * kStep), sum[v]);
    }
  }
  float s[16];
  for (int64_t v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, s + v * kStep);
  for (int width = 8; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) s[j] += s[j + width];
  }
  return s[0];
}

float DotOf(const float* a, const float* b, int64_t n) {
  return Reduce(a, b, n, [](auto x, auto y, auto sum) HWY_ATTR { return hn::MulAdd(x, y, sum); });
}

void RmsNormOf(const float* x, const float* weight, float epsilon, int64_t n, float* out) {
  const float mean = DotOf(x, x, n) / static_cast<float>(n);
  const auto factor = hn::Set(D(), 1.0f / std::sqrt(mean + epsilon));
  if (weight == nullptr) {
    Map(x, x, n, out, [&](auto a, auto) HWY_ATTR { return hn::Mul(a, factor); });
  } else {
    Map(x, weight, n, out, [&](auto a, auto w) HWY_ATTR { return hn::Mul(hn::Mul(a, factor), w); });
  }
}

void AddOf(const float* x, int64_t n, float* y) {
  Map(x, y, n, y, [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); });
}

void ScaleOf(float factor, int64_t n, float* x) {
  Map(x, x, n, x, [&](auto a, auto) HWY_ATTR { return hn::Mul(a, hn::Set(D(), factor)); });
}

// v / (1 + exp(-u)); beyond +-88 the sigmoid is 0 or 1 to every bit that matters.
template <class V>
HWY_INLINE V TimesSigmoid(V v, V u) {
  const D d;
  const auto limit = hn::Set(d, 88.0f);
  const auto bounded = hn::Min(hn::Max(u, hn::Neg(limit)), limit);
  return hn::Div(v, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(bounded))));
}

void SiluGluOf(const float* gate, const float* up, int64_t n, float* out) {
  Map(gate, up, n, out, [](auto g, auto u) HWY_ATTR { return hn::Mul(TimesSigmoid(g, g), u); });
}

void GeluTanhGluOf(const float* gate, const float* up, int64_t n, float* out) {
  const D d;
  const auto two_root = hn::Set(d, 1.5957691216057308f), cubic = hn::Set(d, 0.044715f);
  Map(gate, up, n, out, [&](auto g, auto u) HWY_ATTR {
    const auto inner = hn::Mul(two_root, hn::MulAdd(hn::Mul(cubic, g), hn::Mul(g, g), g));
    return hn::Mul(TimesSigmoid(g, inner), u);
  });
}

void SoftCapOf(float cap, int64_t n, float* x) {
  const D d;
  const auto inverse = hn::Set(d, 2.0f / cap), top = hn::Set(d, cap);
  // tanh(v) = 2 sigmoid(2 v) - 1
  Map(x, x, n, x, [&](auto a, auto) HWY_ATTR {
    const auto s = TimesSigmoid(hn::Set(d, 2.0f), hn::Mul(a, inverse));
    return hn::Mul(top, hn::Sub(s, hn::Set(d, 1.0f)));
  });
}

float MaxOf(const float* x, int64_t n) {
  const D d;
  auto most = hn::Set(d, x[0]);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) most = hn::Max(most, hn::LoadU(d, x + i));
  float result = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < n; ++i) result = std::max(result, x[i]);
  return result;
}

void SoftmaxOf(float* x, int64_t n) {
  const D d;
  const auto most = hn::Set(d, MaxOf(x, n)), low = hn::Set(d, -87.0f);
  Map(x, x, n, x, [&](auto a, auto) HWY_ATTR {
    const auto shifted = hn::Sub(a, most);
    return hn::IfThenElseZero(hn::Ge(shifted, low), hn::Exp(d, hn::Max(shifted, low)));
  });
  const float sum = Reduce(x, x, n, [](auto a, auto, auto s) HWY_ATTR { return hn::Add(s, a); });
  ScaleOf(1.0f / sum, n, x);
}

void RotateOf(const float* cosine, const float* sine, int64_t half, float* x) {
  const D d;
  int64_t i = 0;
  for (; i + kStep <= half; i += kStep) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, x + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    x[i] = a * cosine[i] - b * sine[i];
    x[half + i] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(DotOf);
HWY_EXPORT(RmsNormOf);
HWY_EXPORT(AddOf);
HWY_EXPORT(ScaleOf);
HWY_EXPORT(SiluGluOf);
HWY_EXPORT(GeluTanhGluOf);
HWY_EXPORT(SoftCapOf);
HWY_EXPORT(SoftmaxOf);
HWY_EXPORT(RotateOf);
HWY_EXPORT(MaxOf);

void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out) {
  LOWBIT_KERNEL(RmsNormOf)(x, weight, epsilon, n, out);
}
void Add(const float* x, int64_t n, float* y) {
  LOWBIT_KERNEL(AddOf)(x, n, y);
}
void Scale(float factor, int64_t n, float* x) {
  LOWBIT_KERNEL(ScaleOf)(factor, n, x);
}
void SiluGlu(const float* gate, const float* up, int64_t n, float* out) {
  LOWBIT_KERNEL(SiluGluOf)(gate, up, n, out);
}
void GeluTanhGlu(const float* gate, const float* up, int64_t n, float* out) {
  LOWBIT_KERNEL(GeluTanhGluOf)(gate, up, n, out);
}
void Softmax(float* x, int64_t n) {
  LOWBIT_KERNEL(SoftmaxOf)(x, n);
}
void SoftCap(float cap, int64_t n, float* x) {
  LOWBIT_KERNEL(SoftCapOf)(cap, n, x);
}
void Rotate(const float* cosine, const float* sine, int64_t half, float* x) {
  LOWBIT_KERNEL(RotateOf)(cosine, sine, half, x);
}
float Dot(const float* a, const float* b, int64_t n) {
  return LOWBIT_KERNEL(DotOf)(a, b, n);
}
int64_t ArgMax(const float* x, int64_t n) {
  return std::find(x, x + n, LOWBIT_KERNEL(MaxOf)(x, n)) - x;
}

}  // namespace lowbit
#endif  // HWY_ONCE
