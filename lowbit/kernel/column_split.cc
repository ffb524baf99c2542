#include "lowbit/kernel/column_split.h"

#include "lowbit/base/buffer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/column_split.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kSplitSlack>;
constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

HWY_INLINE int64_t Bit(const uint8_t* mask, int64_t j) {
  return mask[j / 8] >> (j % 8) & 1;
}

// Stores what goes to either part in front of whole registers and says how many are chosen. Compressing by a
// mask is an instruction of AVX-512 alone; elsewhere the orders of the lanes are worked out first, into
// `room` of 3 cols numbers.
class Registers {
 public:
#if HWY_TARGET == HWY_AVX3
  Registers(const uint8_t* mask, int64_t /*cols*/, int32_t* /*room*/) : mask_(mask) {}

  HWY_INLINE int64_t operator()(const float* row, int64_t j, float* chosen, float* rest) const {
    const auto v = hn::LoadU(D(), row + j);
    const auto m = hn::LoadMaskBits(D(), mask_ + j / 8);
    hn::StoreU(hn::Compress(v, m), D(), chosen);
    hn::StoreU(hn::CompressNot(v, m), D(), rest);
    return static_cast<int64_t>(hn::CountTrue(D(), m));
  }

 private:
  const uint8_t* mask_;
#else
  Registers(const uint8_t* mask, int64_t cols, int32_t* room)
      : first_(room), last_(room + cols), ones_(room + 2 * cols) {
    for (int64_t j = 0; j + kLanes <= cols; j += kLanes) {
      int64_t ones = 0, one = 0;
      for (int64_t k = 0; k < kLanes; ++k) ones += Bit(mask, j + k);
      ones_[j / kLanes] = static_cast<int32_t>(ones);
      for (int64_t k = 0; k < kLanes; ++k) {  // without branches: nobody could foretell them
        const int64_t bit = Bit(mask, j + k), zero = k - one;
        first_[j + bit * one + (1 - bit) * (ones + zero)] = static_cast<int32_t>(k);
        last_[j + (1 - bit) * zero + bit * (kLanes - ones + one)] = static_cast<int32_t>(k);
        one += bit;
      }
    }
  }

  HWY_INLINE int64_t operator()(const float* row, int64_t j, float* chosen, float* rest) const {
    const auto v = hn::LoadU(D(), row + j);
    hn::StoreU(hn::TableLookupLanes(v, hn::SetTableIndices(D(), first_ + j)), D(), chosen);
    hn::StoreU(hn::TableLookupLanes(v, hn::SetTableIndices(D(), last_ + j)), D(), rest);
    return ones_[j / kLanes];
  }

 private:
  int32_t *first_, *last_, *ones_;
#endif
};

void SplitAny(MatrixView<const float> x, const uint8_t* mask, float* chosen, float* rest, int32_t* room) {
  const Registers split(mask, x.cols, room);
  const auto ahead = static_cast<uintptr_t>(x.rows * x.stride) * sizeof(float);
  for (int64_t i = 0; i < x.rows; ++i) {
    const float* const row = x.Row(i);
    int64_t j = 0;
    for (; j + kLanes <= x.cols; j += kLanes) {
      __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(row + j) + ahead));
      // The next store, or the next row, begins where the entries of this one end.
      const int64_t ones = split(row, j, chosen, rest);
      chosen += ones;
      rest += kLanes - ones;
    }
    for (; j < x.cols; ++j) {
      const int64_t one = Bit(mask, j);
      *chosen = *rest = row[j];
      chosen += one;
      rest += 1 - one;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(SplitAny);

void SplitColumns(MatrixView<const float> x, const uint8_t* mask, float* chosen, float* rest) {
  thread_local Buffer<int32_t> room;
  room.Reserve(static_cast<size_t>(3 * x.cols));
  LOWBIT_KERNEL(SplitAny)(x, mask, chosen, rest, room.data());
}

}  // namespace lowbit
#endif  // HWY_ONCE
