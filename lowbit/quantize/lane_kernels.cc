#include "lowbit/quantize/lane_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/quantize/lane_kernels.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lowbit::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::CappedTag<T, kLanes>;

template <typename T>
HWY_INLINE void Round(hn::Vec<Tag<T>> w, hn::Vec<Tag<T>> scale, hn::Vec<Tag<T>> zero,
                      hn::Vec<Tag<T>> max_code, hn::Vec<Tag<T>>& value, hn::Vec<Tag<T>>& code) {
  const Tag<T> d;
  code = hn::Min(hn::Max(hn::Add(hn::Round(hn::Div(w, scale)), zero), hn::Zero(d)), max_code);
  value = hn::Mul(scale, hn::Sub(code, zero));
}

template <typename T>
void Quantize(const T* w, const T* scale, const T* zero, T max_code, T* value, T* code) {
  const Tag<T> d;
  const auto top = hn::Set(d, max_code);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    auto v = hn::Zero(d), q = hn::Zero(d);
    Round<T>(hn::LoadU(d, w + r), hn::LoadU(d, scale + r), hn::LoadU(d, zero + r), top, v, q);
    hn::StoreU(v, d, value + r);
    hn::StoreU(q, d, code + r);
  }
}

template <typename T>
void QuantizeOffset(const T* w, const T* step, const T* offset, T zero, T max_code, T* value, T* code) {
  const Tag<T> d;
  const auto z = hn::Set(d, zero), top = hn::Set(d, max_code), none = hn::Zero(d);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    const auto s = hn::LoadU(d, step + r), o = hn::LoadU(d, offset + r);
    const auto level =
        hn::IfThenZeroElse(hn::Eq(s, none), hn::Round(hn::Div(hn::Add(hn::LoadU(d, w + r), o), s)));
    const auto q = hn::Min(hn::Max(hn::Add(level, z), none), top);
    hn::StoreU(hn::Sub(hn::Mul(s, hn::Sub(q, z)), o), d, value + r);
    hn::StoreU(q, d, code + r);
  }
}

template <typename T>
void Spread(const T* w, const T* value, T pivot, const T* u, int64_t columns, T* error, T* tile) {
  const Tag<T> d;
  const int step = static_cast<int>(hn::Lanes(d));
  const auto p = hn::Set(d, pivot);
  for (int r = 0; r < kLanes; r += 2 * step) {
    const auto e0 = hn::Div(hn::Sub(hn::LoadU(d, w + r), hn::LoadU(d, value + r)), p);
    hn::StoreU(e0, d, error + r);
    if (r + step >= kLanes) {  // vectors of kLanes or more elements
      for (int64_t j = 0; j < columns; ++j) {
        T* t = tile + j * kLanes + r;
        hn::StoreU(hn::NegMulAdd(e0, hn::Set(d, u[j]), hn::LoadU(d, t)), d, t);
      }
      return;
    }
    const auto e1 = hn::Div(hn::Sub(hn::LoadU(d, w + r + step), hn::LoadU(d, value + r + step)), p);
    hn::StoreU(e1, d, error + r + step);
    for (int64_t j = 0; j < columns; ++j) {
      T* t = tile + j * kLanes + r;
      const auto uj = hn::Set(d, u[j]);
      hn::StoreU(hn::NegMulAdd(e0, uj, hn::LoadU(d, t)), d, t);
      hn::StoreU(hn::NegMulAdd(e1, uj, hn::LoadU(d, t + step)), d, t + step);
    }
  }
}

template <typename T>
void Range(const T* x, int64_t columns, int64_t stride, T* min, T* max) {
  const Tag<T> d;
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    auto low = hn::Zero(d), high = hn::Zero(d);
    for (int64_t c = 0; c < columns; ++c) {
      const auto v = hn::LoadU(d, x + c * stride + r);
      low = hn::Min(low, v);
      high = hn::Max(high, v);
    }
    hn::StoreU(low, d, min + r);
    hn::StoreU(high, d, max + r);
  }
}

template <typename T>
void GridError(const T* x, int64_t columns, int64_t stride, const T* weight, const T* scale, const T* zero,
               T max_code, const T* unit, T norm, T* error) {
  const Tag<T> d;
  const auto top = hn::Set(d, max_code);
  const auto power = hn::Set(d, norm - T(2));
  const auto tiny = hn::Set(d, T(1e-30));
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    const auto s = hn::LoadU(d, scale + r), z = hn::LoadU(d, zero + r), n = hn::LoadU(d, unit + r);
    auto sum = hn::Zero(d);
    for (int64_t c = 0; c < columns; ++c) {
      const auto w = hn::LoadU(d, x + c * stride + r);
      auto v = hn::Zero(d), q = hn::Zero(d);
      Round<T>(w, s, z, top, v, q);
      const auto difference = hn::Abs(hn::Mul(hn::Sub(w, v), n));
      auto term = hn::Mul(difference, difference);
      // |d|^norm = d^2 exp((norm - 2) log |d|)
      if (norm != T(2))
        term = hn::Mul(term, hn::Exp(d, hn::Mul(power, hn::Log(d, hn::Max(difference, tiny)))));
      sum = weight == nullptr ? hn::Add(sum, term) : hn::MulAdd(term, hn::Set(d, weight[c]), sum);
    }
    hn::StoreU(sum, d, error + r);
  }
}

LaneKernels<float> KernelsF32() {
  return {Quantize<float>, QuantizeOffset<float>, Spread<float>, Range<float>, GridError<float>};
}
LaneKernels<double> KernelsF64() {
  return {Quantize<double>, QuantizeOffset<double>, Spread<double>, Range<double>, GridError<double>};
}

}  // namespace lowbit::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(KernelsF32);
HWY_EXPORT(KernelsF64);

template <>
const LaneKernels<float>& Lanes<float>() {
  static const LaneKernels<float> kernels = HWY_DYNAMIC_DISPATCH(KernelsF32)();
  return kernels;
}

template <>
const LaneKernels<double>& Lanes<double>() {
  static const LaneKernels<double> kernels = HWY_DYNAMIC_DISPATCH(KernelsF64)();
  return kernels;
}

}  // namespace lowbit
#endif
