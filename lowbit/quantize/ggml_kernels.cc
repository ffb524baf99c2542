#include "lowbit/quantize/ggml_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/quantize/ggml_kernels.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lowbit::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kLanes>;
using V = hn::Vec<D>;

// The codes a lane may use, as signed levels.
struct Levels {
  V low, high;
};

HWY_INLINE Levels LevelsOf(LaneRange range) {
  const D d;
  return {hn::Set(d, -range.code_zero), hn::Set(d, range.code_max - range.code_zero)};
}

HWY_INLINE V Clamp(V l, const Levels& levels) {
  return hn::Min(hn::Max(hn::Round(l), levels.low), levels.high);
}

// 1 / scale, 0 where scale is 0. The final rounding divides truly; a search may use the reciprocal.
HWY_INLINE V Reciprocal(V scale) {
  const D d;
  return hn::IfThenZeroElse(hn::Eq(scale, hn::Zero(d)), hn::Div(hn::Set(d, 1.0f), scale));
}

// sum w (x - value)^2 for the lanes at r.
HWY_INLINE V ErrorOf(const float* x, const float* w, int n, const Levels& levels, V scale, V offset) {
  const D d;
  const V inverse = Reciprocal(scale);
  V sum = hn::Zero(d);
  for (int c = 0; c < n; ++c) {
    const V shifted = hn::Add(hn::LoadU(d, x + c * kLanes), offset);
    const V difference = hn::NegMulAdd(scale, Clamp(hn::Mul(shifted, inverse), levels), shifted);
    sum = hn::MulAdd(hn::Mul(difference, difference), hn::LoadU(d, w + c * kLanes), sum);
  }
  return sum;
}

struct Sums {
  V ll, l, xl, x, w;
};

// Moments of the codes rint((x + offset) * inverse).
HWY_INLINE Sums SumsOf(const float* x, const float* w, int n, const Levels& levels, V inverse, V offset) {
  const D d;
  Sums s{hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int c = 0; c < n; ++c) {
    const V xc = hn::LoadU(d, x + c * kLanes), wc = hn::LoadU(d, w + c * kLanes);
    const V l = Clamp(hn::Mul(hn::Add(xc, offset), inverse), levels);
    const V wl = hn::Mul(wc, l);
    s.ll = hn::MulAdd(wl, l, s.ll);
    s.l = hn::Add(s.l, wl);
    s.xl = hn::MulAdd(wl, xc, s.xl);
    s.x = hn::MulAdd(wc, xc, s.x);
    s.w = hn::Add(s.w, wc);
  }
  return s;
}

void FitOffset(const float* x, const float* w, int n, LaneRange range, float limit, float* scale,
               float* offset) {
  const D d;
  const V zero = hn::Zero(d);
  const Levels levels = LevelsOf(range);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    V low = hn::Set(d, limit), high = hn::Set(d, -3e38f);
    for (int c = 0; c < n; ++c) {
      const V v = hn::LoadU(d, x + c * kLanes + r);
      low = hn::Min(low, v);
      high = hn::Max(high, v);
    }
    const V span = hn::Max(hn::Sub(high, low), zero);
    const auto flat = hn::Eq(span, zero);
    V best_scale = hn::Div(span, hn::Set(d, range.code_max)), best_offset = hn::Neg(low);
    V best = ErrorOf(x + r, w + r, n, levels, best_scale, best_offset);
    // Least squares for fixed codes: scale and minimum together, or the scale alone where the minimum is at
    // its limit.
    const auto improve = [&](V inverse, V shift) HWY_ATTR {
      const Sums s = SumsOf(x + r, w + r, n, levels, inverse, shift);
      const V determinant = hn::Sub(hn::Mul(s.w, s.ll), hn::Mul(s.l, s.l));
      const auto solvable = hn::Gt(determinant, hn::Mul(hn::Set(d, 1e-6f), hn::Mul(s.w, s.ll)));
      const V divisor = hn::IfThenElse(solvable, determinant, hn::Set(d, 1.0f));
      V new_scale = hn::Div(hn::Sub(hn::Mul(s.w, s.xl), hn::Mul(s.x, s.l)), divisor);
      V minimum = hn::Div(hn::Sub(hn::Mul(s.ll, s.x), hn::Mul(s.l, s.xl)), divisor);
      const auto limited = hn::Gt(minimum, hn::Set(d, limit));
      minimum = hn::IfThenElse(limited, hn::Set(d, limit), minimum);
      const V alone = hn::Div(hn::NegMulAdd(minimum, s.l, s.xl),
                              hn::IfThenElse(hn::Gt(s.ll, zero), s.ll, hn::Set(d, 1.0f)));
      new_scale = hn::IfThenElse(limited, alone, new_scale);
      const V new_offset = hn::Neg(minimum);
      const V error = ErrorOf(x + r, w + r, n, levels, new_scale, new_offset);
      const auto better = hn::And(hn::And(solvable, hn::Gt(new_scale, zero)), hn::Lt(error, best));
      best = hn::IfThenElse(better, error, best);
      best_scale = hn::IfThenElse(better, new_scale, best_scale);
      best_offset = hn::IfThenElse(better, new_offset, best_offset);
    };
    const V anchor = hn::Neg(low), inverse_span = Reciprocal(span);
    for (int step = -18; step <= 18; ++step) {
      improve(hn::Mul(hn::Set(d, range.code_max + 0.05f * static_cast<float>(step)), inverse_span), anchor);
    }
    for (int again = 0; again < 2; ++again) improve(Reciprocal(best_scale), best_offset);
    hn::StoreU(hn::IfThenZeroElse(flat, best_scale), d, scale + r);
    hn::StoreU(best_offset, d, offset + r);
  }
}

void FitSigned(const float* x, const float* w, int n, LaneRange range, float* scale) {
  const D d;
  const V zero = hn::Zero(d);
  const Levels levels = LevelsOf(range);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    V largest = zero;  // the x of largest magnitude, with its sign
    for (int c = 0; c < n; ++c) {
      const V v = hn::LoadU(d, x + c * kLanes + r);
      largest = hn::IfThenElse(hn::Gt(hn::Abs(v), hn::Abs(largest)), v, largest);
    }
    V best_scale = hn::Div(largest, levels.low);
    V best = ErrorOf(x + r, w + r, n, levels, best_scale, zero);
    const auto improve = [&](V inverse) HWY_ATTR {
      const Sums s = SumsOf(x + r, w + r, n, levels, inverse, zero);
      const V new_scale = hn::Div(s.xl, hn::IfThenElse(hn::Gt(s.ll, zero), s.ll, hn::Set(d, 1.0f)));
      const V error = ErrorOf(x + r, w + r, n, levels, new_scale, zero);
      const auto better = hn::And(hn::Gt(s.ll, zero), hn::Lt(error, best));
      best = hn::IfThenElse(better, error, best);
      best_scale = hn::IfThenElse(better, new_scale, best_scale);
    };
    const V inverse_largest = Reciprocal(largest);
    for (int step = -9; step <= 9;
         ++step) {  // the largest weight on the end of the longer, then the shorter side
      const float shift = 0.1f * static_cast<float>(step);
      improve(hn::Mul(hn::Sub(levels.low, hn::Set(d, shift)), inverse_largest));
      improve(hn::Mul(hn::Add(levels.high, hn::Set(d, shift)), inverse_largest));
    }
    for (int again = 0; again < 2; ++again) improve(Reciprocal(best_scale));
    hn::StoreU(best_scale, d, scale + r);
  }
}

void Error(const float* x, const float* w, int n, LaneRange range, const float* scale, const float* offset,
           float* error) {
  const D d;
  const Levels levels = LevelsOf(range);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    hn::StoreU(ErrorOf(x + r, w + r, n, levels, hn::LoadU(d, scale + r), hn::LoadU(d, offset + r)), d,
               error + r);
  }
}

void Moments(const float* x, const float* w, int n, LaneRange range, const float* scale, const float* offset,
             LaneMoments* m) {
  const D d;
  const Levels levels = LevelsOf(range);
  for (int r = 0; r < kLanes; r += static_cast<int>(hn::Lanes(d))) {
    const Sums s =
        SumsOf(x + r, w + r, n, levels, Reciprocal(hn::LoadU(d, scale + r)), hn::LoadU(d, offset + r));
    hn::StoreU(s.ll, d, m->ll + r);
    hn::StoreU(s.l, d, m->l + r);
    hn::StoreU(s.xl, d, m->xl + r);
    hn::StoreU(s.x, d, m->x + r);
    hn::StoreU(s.w, d, m->w + r);
  }
}

GgmlKernels Kernels() {
  return {FitOffset, FitSigned, Error, Moments};
}

}  // namespace lowbit::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Kernels);

const GgmlKernels& GgmlLanes() {
  static const GgmlKernels kernels = HWY_DYNAMIC_DISPATCH(Kernels)();
  return kernels;
}

}  // namespace lowbit
#endif
