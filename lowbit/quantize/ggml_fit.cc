#include "lowbit/quantize/ggml_fit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lowbit/base/float16.h"
#include "lowbit/quantize/ggml_kernels.h"

namespace lowbit {
namespace {

// To f16 and back; what is not zero stays so, and finite.
float Stored(float value) {
  if (value == 0) return 0;
  const float magnitude = std::clamp(F16ToFloat(FloatToF16(std::abs(value))), 0x1p-24f, 65504.0f);
  return std::copysign(magnitude, value);
}

// Integers n_j in [low, high] and a common factor d with sum_j weight_j (value_j - d n_j)^2 small: the value
// of largest magnitude is tried near each end of the range.
float CommonFactor(int count, const float* value, const float* weight, float low, float high) {
  float largest = 0;
  for (int j = 0; j < count; ++j) {
    if (std::abs(value[j]) > std::abs(largest)) largest = value[j];
  }
  if (largest == 0) return 0;
  float best_factor = 0, best = std::numeric_limits<float>::infinity();
  const auto attempt = [&](float inverse) {
    float xl = 0, ll = 0, xx = 0;
    for (int j = 0; j < count; ++j) {
      const float n = std::clamp(std::nearbyint(value[j] * inverse), low, high);
      xl += weight[j] * value[j] * n;
      ll += weight[j] * n * n;
      xx += weight[j] * value[j] * value[j];
    }
    if (!(ll > 0)) return;
    const float error = xx - xl * xl / ll;
    if (error < best) {
      best = error;
      best_factor = xl / ll;
    }
  };
  for (int step = -9; step <= 9; ++step) {
    const float shift = 0.1f * static_cast<float>(step);
    attempt((high + shift) / largest);
    if (low < 0) attempt((low - shift) / largest);
  }
  return best_factor != 0 ? best_factor : largest / high;
}

class BlockFit {
 public:
  BlockFit(const GgmlGrid& grid, const float* x, const float* w, GgmlLaneFit& fit)
      : grid_(grid),
        range_{static_cast<float>(grid.code_max), static_cast<float>(grid.code_zero)},
        subs_(grid.block / grid.sub),
        x_(x),
        w_(w),
        fit_(fit) {}

  void Run(float* error) {
    Start();
    float total[kLanes];
    Evaluate(fit_, error_, total);
    // Codes of few bits react strongly to their scale, so more neighbours pay; with many bits one step is
    // plenty.
    const int reach = grid_.code_max <= 7 ? 2 : 1;
    for (int round = 0; round < 4; ++round) {
      bool changed = false;
      if (grid_.has_scales()) changed |= TryNeighbours(reach);
      changed |= RefitFactors();
      if (!changed) break;
    }
    if (error == nullptr) return;
    std::fill_n(error, kLanes, 0.0f);
    for (int j = 0; j < subs_; ++j) {
      for (int r = 0; r < kLanes; ++r) error[r] += error_[j][r];
    }
  }

 private:
  const float* X(int sub) const { return x_ + sub * grid_.sub * kLanes; }
  const float* W(int sub) const { return w_ + sub * grid_.sub * kLanes; }

  void SubError(int sub, const float* d, const float* dmin, const float* scale, const float* min,
                float* error) const {
    float step[kLanes], offset[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      step[r] = d[r] * scale[r];
      offset[r] = dmin[r] * min[r];
    }
    GgmlLanes().error(X(sub), W(sub), grid_.sub, range_, step, offset, error);
  }

  void Evaluate(const GgmlLaneFit& fit, float (*error)[kLanes], float* total) const {
    std::fill_n(total, kLanes, 0.0f);
    for (int j = 0; j < subs_; ++j) {
      SubError(j, fit.d, fit.dmin, fit.scale[j], fit.min[j], error[j]);
      for (int r = 0; r < kLanes; ++r) total[r] += error[j][r];
    }
  }

  // Steps 1 and 2.
  void Start() {
    float scale[16][kLanes], offset[16][kLanes] = {}, weight[16][kLanes];
    const float limit =
        grid_.has_scales() ? 0.0f : 3e38f;  // an integer min is never negative, an f16 one may be
    for (int j = 0; j < subs_; ++j) {
      if (grid_.has_offset()) {
        GgmlLanes().fit_offset(X(j), W(j), grid_.sub, range_, limit, scale[j], offset[j]);
      } else {
        GgmlLanes().fit_signed(X(j), W(j), grid_.sub, range_, scale[j]);
      }
      std::fill_n(weight[j], kLanes, 0.0f);
      for (int c = 0; c < grid_.sub; ++c) {
        for (int r = 0; r < kLanes; ++r) weight[j][r] += W(j)[c * kLanes + r];
      }
    }
    for (int r = 0; r < kLanes; ++r) {
      if (!grid_.has_scales()) {
        fit_.d[r] = Stored(scale[0][r]);
        fit_.dmin[r] = Stored(offset[0][r]);
        fit_.scale[0][r] = 1;
        fit_.min[0][r] = grid_.has_offset() ? 1 : 0;
        continue;
      }
      float s[16], o[16], sw[16];
      for (int j = 0; j < subs_; ++j) {
        s[j] = scale[j][r];
        o[j] = offset[j][r];
        sw[j] = weight[j][r];
      }
      const float low = static_cast<float>(grid_.scale_min), high = static_cast<float>(grid_.scale_max);
      const float min_high = static_cast<float>(grid_.min_max);
      fit_.d[r] = Stored(CommonFactor(subs_, s, sw, low, high));
      fit_.dmin[r] = grid_.has_offset() ? Stored(CommonFactor(subs_, o, sw, 0, min_high)) : 0;
      for (int j = 0; j < subs_; ++j) {
        fit_.scale[j][r] = fit_.d[r] == 0 ? 0 : std::clamp(std::nearbyint(s[j] / fit_.d[r]), low, high);
        fit_.min[j][r] =
            fit_.dmin[r] == 0 ? 0 : std::clamp(std::nearbyint(o[j] / fit_.dmin[r]), 0.0f, min_high);
      }
    }
  }

  bool TryNeighbours(int reach) {
    bool changed = false;
    const int min_reach = grid_.has_offset() ? reach : 0;
    const float low = static_cast<float>(grid_.scale_min), high = static_cast<float>(grid_.scale_max);
    for (int j = 0; j < subs_; ++j) {
      float scale0[kLanes], min0[kLanes], scale[kLanes], min[kLanes], error[kLanes];
      std::copy_n(fit_.scale[j], kLanes, scale0);
      std::copy_n(fit_.min[j], kLanes, min0);
      for (int a = -reach; a <= reach; ++a) {
        for (int b = -min_reach; b <= min_reach; ++b) {
          if (a == 0 && b == 0) continue;
          for (int r = 0; r < kLanes; ++r) {
            scale[r] = std::clamp(scale0[r] + static_cast<float>(a), low, high);
            min[r] = std::clamp(min0[r] + static_cast<float>(b), 0.0f, static_cast<float>(grid_.min_max));
          }
          SubError(j, fit_.d, fit_.dmin, scale, min, error);
          for (int r = 0; r < kLanes; ++r) {
            if (error[r] < error_[j][r]) {
              error_[j][r] = error[r];
              fit_.scale[j][r] = scale[r];
              fit_.min[j][r] = min[r];
              changed = true;
            }
          }
        }
      }
    }
    return changed;
  }

  // min over d, dmin of sum w (x - d (scale l) + dmin min)^2 for fixed l, scale and min.
  bool RefitFactors() {
    double dd[kLanes] = {}, dm[kLanes] = {}, mm[kLanes] = {}, xd[kLanes] = {}, xm[kLanes] = {};
    for (int j = 0; j < subs_; ++j) {
      float step[kLanes], offset[kLanes];
      for (int r = 0; r < kLanes; ++r) {
        step[r] = fit_.d[r] * fit_.scale[j][r];
        offset[r] = fit_.dmin[r] * fit_.min[j][r];
      }
      LaneMoments m;
      GgmlLanes().moments(X(j), W(j), grid_.sub, range_, step, offset, &m);
      for (int r = 0; r < kLanes; ++r) {
        const double s = fit_.scale[j][r], n = fit_.min[j][r];
        dd[r] += s * s * m.ll[r];
        dm[r] += s * n * m.l[r];
        mm[r] += n * n * m.w[r];
        xd[r] += s * m.xl[r];
        xm[r] += n * m.x[r];
      }
    }
    GgmlLaneFit trial;
    std::memcpy(trial.scale, fit_.scale, sizeof(trial.scale));
    std::memcpy(trial.min, fit_.min, sizeof(trial.min));
    for (int r = 0; r < kLanes; ++r) {
      trial.d[r] = fit_.d[r];
      trial.dmin[r] = fit_.dmin[r];
      const double determinant = dd[r] * mm[r] - dm[r] * dm[r];
      if (grid_.has_offset() && determinant > 1e-9 * dd[r] * mm[r]) {
        const double d = (xd[r] * mm[r] - xm[r] * dm[r]) / determinant;
        const double dmin = (xd[r] * dm[r] - xm[r] * dd[r]) / determinant;
        if (d > 0 && (dmin >= 0 || !grid_.has_scales())) {
          trial.d[r] = Stored(static_cast<float>(d));
          trial.dmin[r] = Stored(static_cast<float>(dmin));
        }
      } else if (dd[r] > 0) {
        const double d = (xd[r] + static_cast<double>(fit_.dmin[r]) * dm[r]) / dd[r];
        if (d > 0 || !grid_.has_offset()) trial.d[r] = Stored(static_cast<float>(d));
      }
    }
    float error[16][kLanes], total[kLanes];
    Evaluate(trial, error, total);
    bool changed = false;
    for (int r = 0; r < kLanes; ++r) {
      float before = 0;
      for (int j = 0; j < subs_; ++j) before += error_[j][r];
      if (!(total[r] < before)) continue;
      changed = true;
      fit_.d[r] = trial.d[r];
      fit_.dmin[r] = trial.dmin[r];
      for (int j = 0; j < subs_; ++j) error_[j][r] = error[j][r];
    }
    return changed;
  }

  const GgmlGrid& grid_;
  LaneRange range_;
  int subs_;
  const float *x_, *w_;
  GgmlLaneFit& fit_;
  float error_[16][kLanes];  // of each sub-block as it stands
};

}  // namespace

void FitGgmlBlock(const GgmlGrid& grid, const float* x, const float* w, GgmlLaneFit& fit, float* error) {
  BlockFit(grid, x, w, fit).Run(error);
}

}  // namespace lowbit
