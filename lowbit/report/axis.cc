#include "lowbit/report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace lowbit::report {
namespace {

constexpr double kMargin = 0.05;
constexpr int kMostTicks = 7;

std::string PowerOfTen(int exponent) {
  if (exponent >= -3 && exponent <= 4)
    return fmt::format("{:.{}f}", std::pow(10.0, exponent), std::max(0, -exponent));
  constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string label = exponent < 0 ? "10⁻" : "10";
  for (const char c : std::to_string(std::abs(exponent))) label += kDigits[c - '0'];
  return label;
}

std::vector<Tick> LinearTicks(double low, double high) {
  const double rough = (high - low) / kMostTicks;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double nice : {1.0, 2.0, 2.5, 5.0}) {
    if (nice * power >= rough * (1 - 1e-9)) {
      step = nice * power;
      break;
    }
  }
  // As many decimals as the step needs; 2.5 needs one more than its power.
  const int power_of_step = static_cast<int>(std::floor(std::log10(step) + 1e-9));
  const double lead = step / std::pow(10.0, power_of_step);
  const int decimals = std::max(0, -power_of_step + (std::abs(lead - std::round(lead)) > 1e-6 ? 1 : 0));
  const double largest = std::max(std::abs(low), std::abs(high));
  const bool plain = largest < 1e6 && decimals <= 4;
  std::vector<Tick> ticks;
  const auto first = static_cast<int64_t>(std::ceil(low / step - 1e-9));
  const auto last = static_cast<int64_t>(std::floor(high / step + 1e-9));
  for (int64_t i = first; i <= last; ++i) {
    const double value = static_cast<double>(i) * step;
    ticks.push_back({value, plain ? fmt::format("{:.{}f}", value, decimals) : fmt::format("{:.4g}", value)});
  }
  return ticks;
}

std::vector<Tick> LogTicks(double low, double high) {
  const double decades = std::log10(high / low);
  if (decades < 0.6) return LinearTicks(low, high);
  std::vector<Tick> ticks;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / kMostTicks)));
  for (int exponent = first; exponent <= last; ++exponent) {
    for (const int lead : {1, 2, 5}) {
      if (lead > 1 && decades > 2.5) continue;
      if (exponent % stride != 0) continue;
      const double value = lead * std::pow(10.0, exponent);
      if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9)) continue;
      const std::string label = lead == 1 ? PowerOfTen(exponent) : fmt::format("{:.{}g}", value, 3);
      ticks.push_back({value, label});
    }
  }
  return ticks;
}

}  // namespace

AxisRange::AxisRange(const Axis& axis, std::span<const double> values) : scale_(axis.scale) {
  const bool log = scale_ == Scale::kLog;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values) {
    if (!CanDraw(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) low = log ? 1 : 0, high = log ? 10 : 1;
  const bool fixed_low = axis.min.has_value() && CanDraw(*axis.min);
  const bool fixed_high = axis.max.has_value() && CanDraw(*axis.max);
  if (fixed_low) low = *axis.min;
  if (fixed_high) high = *axis.max;
  if (log) {
    if (high <= low) low /= 2, high = low * 4;
    const double margin = std::pow(high / low, kMargin);
    low_ = fixed_low ? low : low / margin;
    high_ = fixed_high ? high : high * margin;
    ticks_ = LogTicks(low_, high_);
  } else {
    // A range too small for its magnitude would have ticks that read the same.
    const double least = std::max(std::abs(low), std::abs(high)) * 1e-6;
    if (high - low <= least) {
      const double pad = std::max(std::abs(high) * 0.1, low == 0 ? 1.0 : least);
      if (!fixed_low || fixed_high) low -= pad;
      high += pad;
    }
    const double margin = (high - low) * kMargin;
    low_ = fixed_low ? low : low - margin;
    high_ = fixed_high ? high : high + margin;
    ticks_ = LinearTicks(low_, high_);
  }
}

bool AxisRange::CanDraw(double value) const {
  // Half the largest double: the span of two drawable values must be a number too.
  return std::abs(value) < std::numeric_limits<double>::max() / 4 &&
         (scale_ == Scale::kLinear || value > std::numeric_limits<double>::min() * 4);
}

double AxisRange::Position(double value) const {
  if (scale_ == Scale::kLog) return std::log(value / low_) / std::log(high_ / low_);
  return (value - low_) / (high_ - low_);
}

}  // namespace lowbit::report
