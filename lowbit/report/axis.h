// Axes of charts: which range, which ticks, where a value lies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lowbit::report {

enum class Scale : uint8_t { kLinear, kLog };

struct Axis {
  std::string title;  // with its unit: "bits per weight"
  Scale scale = Scale::kLinear;
  // The ends, where the data should not choose them; ignored on a log axis when not positive.
  std::optional<double> min = {}, max = {};
};

struct Tick {
  double value;
  std::string label;
};

// An axis with its range and ticks chosen.
class AxisRange {
 public:
  // Covers the values that can be drawn, with a margin of a twentieth on the sides that `axis` leaves open.
  // Values that are not finite, and on a log axis those that are not positive, are passed over; without any,
  // the range is 0 to 1 (log: 1 to 10).
  AxisRange(const Axis& axis, std::span<const double> values);

  // Share of the axis, 0 at its low end and 1 at its high end. Meaningful where CanDraw.
  double Position(double value) const;
  bool CanDraw(double value) const;

  double low() const { return low_; }
  double high() const { return high_; }
  // Ascending, inside the range. Linear: steps of 1, 2, 2.5 or 5 times a power of ten, four to eight of them.
  // Log: powers of ten, with 2 and 5 between them where the range is short; linear steps below a factor of
  // four.
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  Scale scale_;
  double low_, high_;
  std::vector<Tick> ticks_;
};

}  // namespace lowbit::report
