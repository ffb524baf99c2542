#include "lowbit/quantize/table_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

namespace lowbit {
namespace {

constexpr int kShrinkSteps = 24;
constexpr size_t kFew = 128;

const Table& E4M3() {
  static const Table table = FloatTable(FloatGrid::Standard(4, 3));
  return table;
}

// The scale under which the greatest magnitudes of both signs would just reach `factor` times the outermost
// levels.
float Reach(const Table& table, std::span<const float> x, float factor = 1) {
  float low = 0, high = 0;
  for (float v : x) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const float bottom = factor * table.level.front(), top = factor * table.level.back();
  return std::max(top > 0 ? high / top : 0, bottom < 0 ? low / bottom : 0);
}

}  // namespace

float RoundScale(ScaleFormat format, float wanted, float tensor) {
  switch (format) {
    case ScaleFormat::kF32:
      return std::max(wanted, std::numeric_limits<float>::min());
    case ScaleFormat::kF16:
      return F16ToFloat(FloatToF16(std::clamp(wanted, 0x1p-24f, 65504.0f)));
    case ScaleFormat::kE8M0: {
      const int floor = FloorLog2(wanted);
      return E8M0ToFloat(E8M0OfExponent(floor + (wanted > std::ldexp(std::sqrt(2.0), floor) ? 1 : 0)));
    }
    case ScaleFormat::kE4M3:
      return E4M3().value[RoundToCode(E4M3(), std::clamp(wanted / tensor, 0x1p-9f, 448.0f))] * tensor;
  }
  return wanted;
}

float TensorScale(const ScalarFormat& format, const Table& table, std::span<const float> values) {
  if (format.scale != ScaleFormat::kE4M3) return 1;
  const float reach = Reach(table, values, E4M3().MaxMagnitude());
  return reach > 0 ? std::max(reach, std::numeric_limits<float>::min()) : 1;
}

TableScaler::TableScaler(const ScalarFormat& format, float tensor)
    : format_(format), tensor_(tensor), table_(TableOf(format.alphabet)), rounder_(table_) {}

std::span<const float> TableScaler::Shifted(std::span<const float> x, float offset) {
  if (offset == 0) return x;
  shifted_.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) shifted_[i] = x[i] + offset;
  return shifted_;
}

GroupScale TableScaler::At(std::span<const float> x, float scale, int zero) {
  const std::span<const float> shifted = Shifted(x, scale * static_cast<float>(zero));
  const auto count = static_cast<int64_t>(x.size());
  if (weight_.empty()) return {scale, zero, rounder_.SquaredError(shifted.data(), count, scale)};
  codes_.resize(x.size());
  values_.resize(x.size());
  rounder_.Round(shifted.data(), count, scale, codes_.data());
  rounder_.Decode(codes_.data(), count, scale, values_.data());
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const float e = shifted[i] - values_[i];
    error += weight_[i] * e * e;
  }
  return {scale, zero, error};
}

void TableScaler::Try(std::span<const float> x, float wanted, GroupScale& best) {
  const float scale = RoundScale(format_.scale, wanted, tensor_);
  if (std::find(tried_.begin(), tried_.end(), scale) != tried_.end()) return;
  tried_.push_back(scale);
  const GroupScale here = At(x, scale, 0);
  if (here.error < best.error) best = here;
}

GroupScale TableScaler::FitSymmetric(std::span<const float> x) {
  tried_.clear();
  const float reach = Reach(table_, x);
  if (!(reach > 0)) return At(x, RoundScale(format_.scale, std::numeric_limits<float>::min(), tensor_), 0);
  double square = 0, sum = 0;
  for (float v : x) {
    square += static_cast<double>(v) * v;
    sum += std::abs(v);
  }
  GroupScale best{.error = std::numeric_limits<double>::infinity()};
  switch (format_.rule) {
    case ScaleRule::kAbsMax:
      if (format_.scale == ScaleFormat::kE8M0) {
        // Microscaling: the exponents of the greatest magnitude and of the greatest level meet, so that a
        // maximum in the top part of its binade saturates.
        float most = 0;
        for (float v : x) most = std::max(most, std::abs(v));
        return At(x, E8M0ToFloat(E8M0OfExponent(FloorLog2(most) - FloorLog2(table_.MaxMagnitude()))), 0);
      }
      Try(x, reach, best);
      return best;
    case ScaleRule::kMean:
      Try(x, static_cast<float>(sum / static_cast<double>(x.size())), best);
      return best;
    case ScaleRule::kMedian: {
      values_.assign(x.begin(), x.end());
      for (float& v : values_) v = std::abs(v);
      const auto middle = values_.begin() + static_cast<std::ptrdiff_t>((values_.size() - 1) / 2);
      std::nth_element(values_.begin(), middle, values_.end());
      // With half of the values 0 the median says nothing: the mean.
      const float median = *middle;
      Try(x, median > 0 ? median : static_cast<float>(sum / static_cast<double>(x.size())), best);
      return best;
    }
    case ScaleRule::kSquaredError:
      break;
  }
  const double deviation = std::sqrt(square / static_cast<double>(x.size()));
  const double low = std::min(0.5 * deviation / table_.MaxMagnitude(), 0.25 * reach);
  // In a small group a level below the outermost may suit the greatest value better (4 rather than 6 in
  // E2M1).
  const bool few = x.size() <= kFew;
  const double high = (few ? 2.0 : 1.1) * reach;
  const bool byte = format_.scale == ScaleFormat::kE8M0 || format_.scale == ScaleFormat::kE4M3;
  const double step = std::exp2(byte ? 1 / 24.0 : few ? 1 / 16.0 : 1 / 8.0);
  for (double wanted = high; wanted > low; wanted /= step) Try(x, static_cast<float>(wanted), best);
  if (byte) return best;
  for (int round = 0; round < 2; ++round) {
    // The best scale for the codes of the best scale so far.
    codes_.resize(x.size());
    values_.resize(x.size());
    rounder_.Round(x.data(), static_cast<int64_t>(x.size()), best.scale, codes_.data());
    rounder_.Decode(codes_.data(), static_cast<int64_t>(x.size()), 1.0f, values_.data());
    double cross = 0, own = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double weighted = (weight_.empty() ? 1.0 : double{weight_[i]}) * values_[i];
      cross += weighted * x[i];
      own += weighted * values_[i];
    }
    if (own > 0 && cross > 0) Try(x, static_cast<float>(cross / own), best);
  }
  const float middle = best.scale;
  for (int k = -3; k <= 3; ++k) {
    if (k != 0) Try(x, middle * static_cast<float>(std::exp2(k / 32.0)), best);
  }
  return best;
}

GroupScale TableScaler::FitAffine(std::span<const float> x) {
  float low = 0, high = 0;
  for (float v : x) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const float most = table_.level.back();
  GroupScale best{.error = std::numeric_limits<double>::infinity()};
  const int steps = format_.rule == ScaleRule::kSquaredError ? kShrinkSteps : 1;
  for (int i = 0; i < steps; ++i) {
    const float shrink = 1 - static_cast<float>(i) * 0.03f;
    const float scale = RoundScale(
        format_.scale, std::max((high - low) * shrink / most, std::numeric_limits<float>::min()), tensor_);
    const int zero = static_cast<int>(std::clamp(std::rint(-low * shrink / scale), 0.0f, most));
    const GroupScale here = At(x, scale, zero);
    if (here.error < best.error) best = here;
  }
  return best;
}

GroupScale TableScaler::Fit(std::span<const float> x, std::span<const float> weight) {
  if (!weight.empty() && weight.size() != x.size()) Fail("{} weights for {} values", weight.size(), x.size());
  weight_ = weight;
  return format_.zero_point ? FitAffine(x) : FitSymmetric(x);
}

void TableScaler::Encode(std::span<const float> x, const GroupScale& scale, std::span<uint8_t> codes) {
  if (codes.size() != x.size()) Fail("{} codes for {} values", codes.size(), x.size());
  const auto shifted = Shifted(x, scale.scale * static_cast<float>(scale.zero));
  rounder_.Round(shifted.data(), static_cast<int64_t>(x.size()), scale.scale, codes.data());
}

void TableScaler::Decode(std::span<const uint8_t> codes, const GroupScale& scale,
                         std::span<float> values) const {
  if (codes.size() != values.size()) Fail("{} values for {} codes", values.size(), codes.size());
  rounder_.Decode(codes.data(), static_cast<int64_t>(codes.size()), scale.scale, values.data());
  const float offset = scale.scale * static_cast<float>(scale.zero);
  if (scale.zero != 0) {
    for (float& v : values) v -= offset;
  }
}

}  // namespace lowbit
