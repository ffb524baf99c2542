#include "lowbit/kernel/table_rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/table_rounding.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<D>;
using Layout = TableRounder::Layout;
constexpr size_t kLanes = hn::MaxLanes(D());

// Floats as integers in total order: sign and magnitude turned into two's complement.
HWY_INLINE hn::Vec<DI> OrderOf(hn::Vec<D> t) {
  const DI d;
  const auto bits = hn::BitCast(d, t);
  return hn::Xor(bits, hn::And(hn::ShiftRight<31>(bits), hn::Set(d, std::numeric_limits<int32_t>::max())));
}

// Ranks of up to 16 levels. NaN may get any.
HWY_INLINE hn::Vec<DI> SmallRanks(const Layout& table, hn::Vec<D> t) {
  const DI d;
  const auto order = OrderOf(t);
  auto rank = hn::Zero(d);
  for (int32_t i = 0; i < table.thresholds; ++i) {
    const auto below = hn::Set(d, table.below[static_cast<size_t>(i)]);
    rank = hn::Sub(rank, hn::VecFromMask(d, hn::Gt(order, below)));
  }
  return rank;
}

// Ranks of more levels, left in memory.
HWY_INLINE void LargeRanks(const Layout& table, hn::Vec<D> t, uint8_t* HWY_RESTRICT ranks) {
  alignas(64) int32_t order[kLanes];
  hn::Store(OrderOf(t), DI(), order);
  for (size_t k = 0; k < kLanes; ++k) {
    uint8_t rank = table.start[static_cast<size_t>((order[k] >> 16) + 32768)];
    for (int step = 0; step < table.steps; ++step) {
      rank = static_cast<uint8_t>(rank + (order[k] > table.below[rank] ? 1 : 0));
    }
    ranks[k] = rank;
  }
}

// Codes of one vector, kLanes bytes.
HWY_INLINE void Codes(const Layout& table, hn::Vec<D> t, uint8_t* HWY_RESTRICT codes) {
  const DI d;
  if (!table.small) {
    LargeRanks(table, t, codes);
    for (size_t k = 0; k < kLanes; ++k) codes[k] = table.code[codes[k]];
    if (!hn::AllTrue(D(), hn::Eq(t, t))) {
      alignas(64) float lanes[kLanes];
      hn::Store(t, D(), lanes);
      for (size_t k = 0; k < kLanes; ++k) {
        if (std::isnan(lanes[k])) codes[k] = static_cast<uint8_t>(table.nan);
      }
    }
    return;
  }
  const auto rank = SmallRanks(table, t);
#if HWY_TARGET == HWY_SCALAR
  auto code = hn::Set(d, int32_t{table.code[static_cast<size_t>(hn::GetLane(rank))]});
#else
  const hn::Repartition<uint8_t, DI> bytes;
  const auto lookup = hn::LoadDup128(bytes, table.code.data());
  auto code =
      hn::And(hn::BitCast(d, hn::TableLookupBytes(lookup, hn::BitCast(bytes, rank))), hn::Set(d, 255));
#endif
  code = hn::IfThenElse(hn::RebindMask(d, hn::Eq(t, t)), code, hn::Set(d, table.nan));
  const hn::Rebind<uint8_t, D> narrow;
  hn::StoreU(hn::DemoteTo(narrow, code), narrow, codes);
}

HWY_INLINE hn::Vec<D> Levels(const Layout& table, hn::Vec<D> t) {
  const D d;
  if (table.small) return hn::GatherIndex(d, table.level.data(), SmallRanks(table, t));
  uint8_t ranks[kLanes];
  alignas(64) float levels[kLanes];
  LargeRanks(table, t, ranks);
  for (size_t k = 0; k < kLanes; ++k) levels[k] = table.level[ranks[k]];
  return hn::Load(d, levels);
}

void RoundRange(const Layout& table, const float* HWY_RESTRICT x, int64_t n, float scale,
                uint8_t* HWY_RESTRICT codes) {
  const D d;
  const auto s = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= n; i += kLanes) {
    Codes(table, hn::Div(hn::LoadU(d, x + i), s), codes + i);
  }
  if (i < n) {
    alignas(64) float rest[kLanes] = {};
    alignas(64) uint8_t out[kLanes];
    std::copy(x + i, x + n, rest);
    Codes(table, hn::Div(hn::Load(d, rest), s), out);
    std::copy(out, out + (n - i), codes + i);
  }
}

float ErrorOfBlock(const Layout& table, const float* HWY_RESTRICT x, int64_t n, float scale) {
  const D d;
  const auto s = hn::Set(d, scale);
  const auto error = [&](hn::Vec<D> v) {
    const auto t = hn::Div(v, s);
    const auto difference = hn::Sub(v, hn::Mul(s, Levels(table, t)));
    return hn::IfThenElse(hn::Eq(t, t), hn::Mul(difference, difference), t);
  };
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= n; i += kLanes) sum = hn::Add(sum, error(hn::LoadU(d, x + i)));
  if (i < n) {
    alignas(64) float rest[kLanes] = {}, out[kLanes];
    std::copy(x + i, x + n, rest);
    hn::Store(error(hn::Load(d, rest)), d, out);
    std::fill(out + (n - i), out + kLanes, 0.0f);
    sum = hn::Add(sum, hn::Load(d, out));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void DecodeRange(const Layout& table, const uint8_t* HWY_RESTRICT codes, int64_t n, float scale,
                 float* HWY_RESTRICT values) {
  const D d;
  const hn::Rebind<uint8_t, D> narrow;
  const auto s = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= n; i += kLanes) {
    const auto index = hn::PromoteTo(DI(), hn::LoadU(narrow, codes + i));
    hn::StoreU(hn::Mul(hn::GatherIndex(d, table.value.data(), index), s), d, values + i);
  }
  for (; i < n; ++i) values[i] = table.value[codes[i]] * scale;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(RoundRange);
HWY_EXPORT(ErrorOfBlock);
HWY_EXPORT(DecodeRange);

TableRounder::TableRounder(const Table& table) {
  Layout& l = layout_;
  l.thresholds = static_cast<int32_t>(table.threshold.size());
  l.small = table.size() <= 16;
  l.nan = table.nan;
  l.below.fill(std::numeric_limits<int32_t>::max());
  l.level.fill(0);
  l.code.fill(0);
  for (size_t i = 0; i < table.threshold.size(); ++i) {
    const int32_t bits = std::bit_cast<int32_t>(table.threshold[i]);
    l.below[i] = (bits ^ ((bits >> 31) & std::numeric_limits<int32_t>::max())) - 1;
  }
  std::copy(table.level.begin(), table.level.end(), l.level.begin());
  std::copy(table.code.begin(), table.code.end(), l.code.begin());
  if (!l.small) {
    l.start.resize(65536);
    size_t rank = 0;
    for (int32_t bucket = 0; bucket < 65536; ++bucket) {
      const auto greatest = static_cast<int32_t>((static_cast<int64_t>(bucket) - 32768) * 65536 + 65535);
      l.start[static_cast<size_t>(bucket)] = static_cast<uint8_t>(rank);
      const size_t first = rank;
      while (rank < table.threshold.size() && l.below[rank] < greatest) ++rank;
      l.steps = std::max(l.steps, static_cast<int>(rank - first));
    }
  }
  for (size_t c = 0; c < 256; ++c) l.value[c] = table.value[c % table.value.size()];
}

void TableRounder::Round(const float* x, int64_t n, float scale, uint8_t* codes) const {
  LOWBIT_KERNEL(RoundRange)(layout_, x, n, scale, codes);
}

double TableRounder::SquaredError(const float* x, int64_t n, float scale) const {
  constexpr int64_t kBlock = 4096;
  double sum = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    sum += LOWBIT_KERNEL(ErrorOfBlock)(layout_, x + i, std::min(kBlock, n - i), scale);
  }
  return sum;
}

void TableRounder::Decode(const uint8_t* codes, int64_t n, float scale, float* values) const {
  LOWBIT_KERNEL(DecodeRange)(layout_, codes, n, scale, values);
}

}  // namespace lowbit
#endif  // HWY_ONCE
