#include "lowbit/kernel/code_rows.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/kernel/code_scan.h"
#include "lowbit/kernel/hadamard.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_rows.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/hadamard-inl.h"
#include "lowbit/kernel/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

template <class T>
HWY_INLINE T SumOfEight(const T* lane) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// Squares of the entries that pass, j in sum j mod 8.
class SquareSums {
 public:
  SquareSums() {
    for (auto& sum : sum_) sum = hn::Zero(Row());
  }

  template <class V>
  HWY_INLINE void operator()(V v, int64_t i) {
    const V squares = hn::Mul(v, v);  // no fused product: not every target has one
#if HWY_MAX_BYTES >= 64
    if constexpr (hn::MaxLanes(hn::DFromV<V>()) > kLanes) {
      const hn::Half<hn::DFromV<V>> half;
      sum_[0] = hn::Add(sum_[0], hn::LowerHalf(half, squares));
      sum_[0] = hn::Add(sum_[0], hn::UpperHalf(half, squares));
      return;
    } else
#endif
    {
      auto& sum = sum_[static_cast<size_t>(i) / kLanes % kParts];
      sum = hn::Add(sum, squares);
    }
  }

  // With up to seven more entries.
  HWY_INLINE float Total(const float* rest, int64_t n) const {
    float lane[8];
    for (size_t p = 0; p < kParts; ++p) hn::StoreU(sum_[p], Row(), lane + p * kLanes);
    for (int64_t i = 0; i < n; ++i) lane[i] += rest[i] * rest[i];
    return SumOfEight(lane);
  }

 private:
  static constexpr size_t kLanes = hn::MaxLanes(Row()), kParts = 8 / kLanes;
  hn::Vec<Row> sum_[kParts];
};

float Squares(const float* x, int64_t n) {
  constexpr auto kL = static_cast<int64_t>(hn::MaxLanes(Row()));
  SquareSums sums;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t k = i; k < i + 8; k += kL) sums(hn::LoadU(Row(), x + k), k);
  }
  return sums.Total(x + i, n - i);
}

// y (width) = Pi x, and sum x_j^2. x and y are apart.
float RotateRow(const float* x, int64_t dim, int64_t width, int base, const RowRotation& rotation, float* y) {
  if (dim < width || rotation.rounds == 0) {
    std::copy(x, x + dim, y);
    std::fill(y + dim, y + width, 0.0f);
    x = y;
  }
  const float* factor = rotation.factor;
  if (rotation.rounds == 0 || rotation.length < width) {
    const float square = Squares(x, dim);
    if (x != y) std::copy(x, x + dim, y);
    NoObserver none;
    for (int t = 0; t < 2 * rotation.rounds; ++t, factor += rotation.length) {
      float* part = t % 2 == 0 ? y : y + width - rotation.length;
      Runs(part, factor, part, rotation.length, rotation.length / base, none);
      Chunks<false>(part, rotation.length, base);
    }
    return square;
  }
  SquareSums sums;
  NoObserver none;
  Runs(x, factor, y, width, width / base, sums);
  Chunks<false>(y, width, base);
  for (int round = 1; round < rotation.rounds; ++round) {
    factor += width;
    Runs(y, factor, y, width, width / base, none);
    Chunks<false>(y, width, base);
  }
  return sums.Total(nullptr, 0);
}

// Rows rotated side by side, where a few registers hold one.
constexpr int kRowsAtOnce = 2;
constexpr auto kRowLanes = static_cast<int64_t>(hn::MaxLanes(WideRow()));

constexpr bool RegistersHold(int64_t width) {
  return width == 2 * kRowLanes || width == 4 * kRowLanes || width == 8 * kRowLanes ||
         (HWY_MAX_BYTES >= 32 && (width == 12 * 8 || width == 12 * kRowLanes));
}

#if HWY_MAX_BYTES >= 32
// Rows of twelve runs of kRun entries: a register has one run of each of the rows that it has lanes for.
template <int kRun>
HWY_INLINE void TwelveRuns(const float* x, int64_t stride, const RowRotation& rotation, float* y,
                           RowSums* of) {
  const WideRow d;
  const hn::CappedTag<float, kRun> run;
  constexpr bool kTwo = kRowLanes > kRun;
  const auto load = [&](const float* first, const float* second) LOWBIT_STEP {
    if constexpr (kTwo) {
      return hn::Combine(d, hn::LoadU(run, second), hn::LoadU(run, first));
    } else {
      return hn::LoadU(d, first);
    }
  };
  for (int r = 0; r < kRowsAtOnce; r += kTwo ? 2 : 1) {
    const float* const from = x + r * stride;
    hn::Vec<WideRow> v[12];
    [[maybe_unused]] auto both = hn::Zero(d);
    SquareSums one;
    Unroll<0, 12>([&](auto k) LOWBIT_STEP {
      v[k] = load(from + k * kRun, from + stride + k * kRun);
      if constexpr (kTwo) {
        both = hn::Add(both, hn::Mul(v[k], v[k]));
      } else {
        one(v[k], k * kRun);
      }
    });
    const float* factor = rotation.factor;
    for (int round = 0; round < rotation.rounds; ++round, factor += 12 * kRun) {
      Unroll<0, 12>([&](auto k) LOWBIT_STEP {
        v[k] = InRegister<kRun>(d, hn::Mul(v[k], load(factor + k * kRun, factor + k * kRun)));
      });
      Twelve<false>(v);
    }
    float* const to = y + r * 12 * kRun;
    if constexpr (kTwo) {
      alignas(64) float lane[kRowLanes];
      hn::Store(both, d, lane);
      for (int i = 0; i < 2; ++i) of[r + i].square = SumOfEight(lane + 8 * i);
    } else {
      of[r].square = one.Total(nullptr, 0);
    }
    Unroll<0, 12>([&](auto k) LOWBIT_STEP {
      if constexpr (kTwo) {
        hn::StoreU(hn::LowerHalf(run, v[k]), run, to + k * kRun);
        hn::StoreU(hn::UpperHalf(run, v[k]), run, to + (12 + k) * kRun);
      } else {
        hn::StoreU(v[k], d, to + k * kRun);
      }
    });
  }
}
#endif

// y (kRowsAtOnce, 32 blocks) and the squares.
void RotateInRegisters(const float* x, int64_t stride, int64_t width, const RowRotation& rotation, float* y,
                       RowSums* of) {
#if HWY_MAX_BYTES >= 32
  if (width == 12 * 8) return TwelveRuns<8>(x, stride, rotation, y, of);
  if (width == 12 * kRowLanes) return TwelveRuns<kRowLanes>(x, stride, rotation, y, of);
#endif
  SquareSums sums[kRowsAtOnce];
  const auto rotate = [&](auto count) LOWBIT_STEP {
    RoundsInRegisters<kRowsAtOnce, count>(WideRow(), x, stride, rotation.factor, rotation.rounds, y, sums);
  };
  if (width == 2 * kRowLanes) {
    rotate(std::integral_constant<int, 2>());
  } else if (width == 4 * kRowLanes) {
    rotate(std::integral_constant<int, 4>());
  } else {
    rotate(std::integral_constant<int, 8>());
  }
  for (int r = 0; r < kRowsAtOnce; ++r) of[r].square = sums[r].Total(nullptr, 0);
}

#if HWY_MAX_BYTES >= 32

constexpr int kL = static_cast<int>(hn::MaxLanes(WideRow()));
constexpr int kRegisters = static_cast<int>(kCodeBlock) / kL;  // of a block
using Floats = hn::Vec<WideRow>;
using IntTag = hn::Rebind<int32_t, WideRow>;
using Ints = hn::Vec<IntTag>;

// Bisection with the thresholds of a level of the tree in one register. What is known of a rank, its top
// bits, is the index into the next level's register: as it is where the register holds 16 thresholds, else
// half of it.
template <int kBits>
class Ranks {
 public:
  explicit Ranks(const float* threshold) {
    for (int l = 0; l < kBits; ++l) {
      alignas(64) float node[16] = {};
      for (int r = 0; r < 1 << l; ++r)
        node[r << (kTop - l)] = threshold[((2 * r + 1) << (kBits - l - 1)) - 1];
      level_[l] = l == 0 ? hn::Set(WideRow(), node[0]) : hn::Load(WideRow(), node);
    }
  }

  HWY_INLINE Ints operator()(Floats u) const {
    const IntTag d;
    Ints rank = hn::Zero(d);
    for (int l = 0; l < kBits; ++l) {
      const Floats t =
          l == 0 ? level_[0] : hn::TableLookupLanes(level_[l], hn::IndicesFromVec(WideRow(), rank));
      const auto above = hn::RebindMask(d, hn::Ge(u, t));
      if (l < kTop) {
        rank = hn::IfThenElse(above, hn::Or(rank, hn::Set(d, 1 << kTop >> (l + 1))), rank);
      } else {
        rank = hn::Sub(hn::Add(rank, rank), hn::VecFromMask(d, above));
      }
    }
    return rank;
  }

 private:
  static constexpr int kTop = kL == 16 ? kBits : kBits - 1;
  Floats level_[kBits];
};

using EightTag = hn::CappedTag<int32_t, 8>;

// The plane of one bit from its bits 0, 2, 4 and 6 in eight lanes.
HWY_INLINE void StorePlaneOfOne(hn::Vec<EightTag> fields, uint8_t* to) {
  const hn::Half<EightTag> half;
  const auto four = hn::Or(hn::LowerHalf(half, fields), hn::ShiftLeft<1>(hn::UpperHalf(half, fields)));
  const hn::Rebind<uint8_t, decltype(half)> bytes;
  hn::StoreU(hn::DemoteTo(bytes, four), bytes, to);
}

// The layout of planes puts coordinates j, j + 16 of a block into one byte, j + 8 and j + 24 with them where
// a plane has two bits, and so on: halves are laid over halves.
template <int kBits>
HWY_INLINE void PackBlock(const Ints* rank, uint8_t* to) {
  const IntTag d;
  constexpr int kPairs = kRegisters / 2;
  Ints pair[kPairs];
  for (int k = 0; k < kPairs; ++k) pair[k] = hn::Or(rank[k], hn::ShiftLeft<4>(rank[k + kPairs]));
  if constexpr (kBits == 4) {
    const hn::Rebind<uint8_t, IntTag> bytes;
    for (int k = 0; k < kPairs; ++k) hn::StoreU(hn::DemoteTo(bytes, pair[k]), bytes, to + k * kL);
    return;
  }
  const auto fold = [](const Ints* p) {
    if constexpr (kPairs == 2) {
      return hn::Or(p[0], hn::ShiftLeft<2>(p[1]));
    } else {
      const hn::Half<IntTag> half;
      return hn::Or(hn::LowerHalf(half, p[0]), hn::ShiftLeft<2>(hn::UpperHalf(half, p[0])));
    }
  };
  if constexpr (kBits == 1) return StorePlaneOfOne(fold(pair), to);
  Ints low[kPairs];
  for (int k = 0; k < kPairs; ++k) low[k] = kBits == 2 ? pair[k] : hn::And(pair[k], hn::Set(d, 0x33));
  const hn::Rebind<uint8_t, EightTag> bytes;
  hn::StoreU(hn::DemoteTo(bytes, fold(low)), bytes, to);
  if constexpr (kBits == 3) {
    Ints top[kPairs];
    for (int k = 0; k < kPairs; ++k) top[k] = hn::And(hn::ShiftRight<2>(pair[k]), hn::Set(d, 0x11));
    StorePlaneOfOne(fold(top), to + 8);
  }
}

// v of ranks.
template <int kBits>
class Values {
 public:
  explicit Values(const float* value) {
    alignas(64) float table[16] = {};
    if (value != nullptr) std::copy(value, value + (1 << kBits), table);
    for (int k = 0; k < kTables; ++k) table_[k] = hn::Load(WideRow(), table + k * kL);
  }

  HWY_INLINE Floats operator()(Ints rank) const {
    const IntTag d;
    if constexpr (kTables == 1) {
      return hn::TableLookupLanes(table_[0], hn::IndicesFromVec(WideRow(), rank));
    } else {
      const auto index = hn::IndicesFromVec(WideRow(), hn::And(rank, hn::Set(d, 7)));
      return hn::IfThenElse(hn::RebindMask(WideRow(), hn::Gt(rank, hn::Set(d, 7))),
                            hn::TableLookupLanes(table_[1], index), hn::TableLookupLanes(table_[0], index));
    }
  }

 private:
  static constexpr int kTables = kBits == 4 && kL == 8 ? 2 : 1;
  Floats table_[kTables];
};

// sum y_j^2 and sum y_j v_j. Products of floats are exact, so a fused addition rounds as a plain one does.
class Products {
 public:
  Products() {
    for (int p = 0; p < kParts; ++p) square_[p] = product_[p] = hn::Zero(DoubleTag());
  }

  HWY_INLINE void Add(Floats y, Floats v) {
    const hn::Half<WideRow> half;
    AddHalf(hn::LowerHalf(half, y), hn::LowerHalf(half, v), 0);
    AddHalf(hn::UpperHalf(half, y), hn::UpperHalf(half, v), kParts - 1);
  }

  HWY_INLINE void Store(RowSums& sums) const {
    double lane[8];
    for (int p = 0; p < kParts; ++p) hn::StoreU(square_[p], DoubleTag(), lane + p * (8 / kParts));
    sums.rotated_square = SumOfEight(lane);
    for (int p = 0; p < kParts; ++p) hn::StoreU(product_[p], DoubleTag(), lane + p * (8 / kParts));
    sums.product = SumOfEight(lane);
  }

 private:
  using DoubleTag = hn::CappedTag<double, 8>;
  using Doubles = hn::Vec<DoubleTag>;
  static constexpr int kParts = 8 / static_cast<int>(hn::MaxLanes(DoubleTag()));

  template <class Half>
  HWY_INLINE void AddHalf(Half y, Half v, int part) {
    const Doubles wide = hn::PromoteTo(DoubleTag(), y);
    square_[part] = hn::MulAdd(wide, wide, square_[part]);
    product_[part] = hn::MulAdd(wide, hn::PromoteTo(DoubleTag(), v), product_[part]);
  }

  Doubles square_[kParts], product_[kParts];
};

// `see` gets the entries and their ranks.
template <int kBits, class See>
HWY_INLINE void RankRow(const Ranks<kBits>& ranks, const float* y, int64_t blocks, float scale,
                        uint8_t* packed, const See& see) {
  const auto s = hn::Set(WideRow(), scale);
  for (int64_t b = 0; b < blocks; ++b, y += kCodeBlock, packed += 4 * kBits) {
    Ints rank[kRegisters];
    for (int k = 0; k < kRegisters; ++k) {
      const auto v = hn::LoadU(WideRow(), y + k * kL);
      rank[k] = ranks(hn::Mul(v, s));
      see(v, rank[k]);
    }
    PackBlock<kBits>(rank, packed);
  }
}

// Ranks of rows, with the alphabet in registers.
template <int kBits>
class RowRanks {
 public:
  explicit RowRanks(const RowAlphabet& alphabet)
      : multiplies_(alphabet.value != nullptr), ranks_(alphabet.threshold), values_(alphabet.value) {}

  HWY_INLINE void operator()(const float* y, int64_t blocks, float scale, uint8_t* packed,
                             RowSums& sums) const {
    if (!multiplies_) return RankRow(ranks_, y, blocks, scale, packed, [](Floats, Ints) {});
    Products products;
    RankRow(ranks_, y, blocks, scale, packed, [&](Floats v, Ints rank) { products.Add(v, values_(rank)); });
    products.Store(sums);
  }

 private:
  bool multiplies_;
  Ranks<kBits> ranks_;
  Values<kBits> values_;
};

#else

template <int kBits>
class RowRanks {
 public:
  explicit RowRanks(const RowAlphabet& alphabet) : alphabet_(alphabet) {}

  void operator()(const float* y, int64_t blocks, float scale, uint8_t* packed, RowSums& sums) const {
    double square[8] = {}, product[8] = {};
    uint8_t codes[kCodeBlock];
    for (int64_t b = 0; b < blocks; ++b, y += kCodeBlock, packed += 4 * kBits) {
      RankCodes(y, kCodeBlock, scale, alphabet_.threshold, (1 << kBits) - 1, codes);
      PackCodes(kBits, codes, 1, packed);
      for (int64_t j = 0; alphabet_.value != nullptr && j < kCodeBlock; ++j) {
        square[j % 8] += double{y[j]} * y[j];
        product[j % 8] += double{y[j]} * alphabet_.value[codes[j]];
      }
    }
    sums.rotated_square = SumOfEight(square);
    sums.product = SumOfEight(product);
  }

 private:
  RowAlphabet alphabet_;
};

#endif  // HWY_MAX_BYTES >= 32

template <int kBits>
void Rank(const float* y, int64_t blocks, float scale, const float* threshold, uint8_t* packed) {
  RowSums sums;
  RowRanks<kBits>({.bits = kBits, .threshold = threshold})(y, blocks, scale, packed, sums);
}

void RankAny(const float* y, int64_t blocks, float scale, const float* threshold, int bits, uint8_t* packed) {
  if (bits == 1) return Rank<1>(y, blocks, scale, threshold, packed);
  if (bits == 2) return Rank<2>(y, blocks, scale, threshold, packed);
  if (bits == 3) return Rank<3>(y, blocks, scale, threshold, packed);
  Rank<4>(y, blocks, scale, threshold, packed);
}

// Asks for the memory of rows to come, which need not exist: the processor's own prefetching stops at the
// ends of pages. Longer rows, asked for in one go, would rather wait for each other.
constexpr int64_t kPage = 1024;  // floats
HWY_INLINE void FetchAhead(const float* row, int64_t n) {
  constexpr uintptr_t kBytes = sizeof(float), kLine = 64;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(row) + kPage * kBytes;
  const uintptr_t end = begin + static_cast<uintptr_t>(n) * kBytes;
  for (uintptr_t at = begin; at < end; at += kLine) __builtin_prefetch(reinterpret_cast<const void*>(at));
}

// y: room for kRowsAtOnce rows.
template <int kBits>
void Rows(MatrixView<const float> x, int64_t blocks, const RowRotation& rotation, const RowAlphabet& alphabet,
          uint8_t* packed, int64_t stride, RowSums* sums, float* y) {
  const RowRanks<kBits> rank(alphabet);
  const int64_t width = blocks * kCodeBlock;
  const int base = HadamardBase(rotation.length);
  const float root = std::sqrt(static_cast<float>(width));
  const bool in_registers = x.cols == width && rotation.length == width && RegistersHold(width);
  int64_t at_once = 1;
  for (int64_t i = 0; i < x.rows; i += at_once) {
    at_once = in_registers && i + kRowsAtOnce <= x.rows ? kRowsAtOnce : 1;
    if (width < kPage) FetchAhead(x.Row(i), at_once * x.stride);
    if (at_once == kRowsAtOnce) {
      RotateInRegisters(x.Row(i), x.stride, width, rotation, y, sums + i);
    } else {
      sums[i].square = RotateRow(x.Row(i), x.cols, width, base, rotation, y);
    }
    for (int64_t r = 0; r < at_once; ++r) {
      const float norm = std::sqrt(sums[i + r].square);
      rank(y + r * width, blocks, norm > 0 ? root / norm : 0.0f, packed + (i + r) * stride, sums[i + r]);
    }
  }
}

void RowsAny(MatrixView<const float> x, int64_t blocks, const RowRotation& rotation,
             const RowAlphabet& alphabet, uint8_t* packed, int64_t stride, RowSums* sums, float* y) {
  if (alphabet.bits == 1) return Rows<1>(x, blocks, rotation, alphabet, packed, stride, sums, y);
  if (alphabet.bits == 2) return Rows<2>(x, blocks, rotation, alphabet, packed, stride, sums, y);
  if (alphabet.bits == 3) return Rows<3>(x, blocks, rotation, alphabet, packed, stride, sums, y);
  Rows<4>(x, blocks, rotation, alphabet, packed, stride, sums, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(RankAny);
HWY_EXPORT(RowsAny);
HWY_EXPORT(Squares);

void RankRows(MatrixView<const float> x, int64_t blocks, const RowRotation& rotation,
              const RowAlphabet& alphabet, uint8_t* packed, int64_t stride, RowSums* sums) {
  if (alphabet.bits < 1 || alphabet.bits > 4) Fail("ranks of {} bits: 1 to 4 are possible", alphabet.bits);
  thread_local Buffer<float> room;
  room.Reserve(static_cast<size_t>(2 * blocks * kCodeBlock));
  LOWBIT_KERNEL(RowsAny)(x, blocks, rotation, alphabet, packed, stride, sums, room.data());
}

void RankCodes(const float* x, int64_t n, float scale, const float* threshold, int count, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i] * scale;
    codes[i] = static_cast<uint8_t>(std::upper_bound(threshold, threshold + count, v) - threshold);
  }
}

void RankAndPack(const float* x, int64_t blocks, float scale, const float* threshold, int bits,
                 uint8_t* packed) {
  if (bits < 1 || bits > 4) Fail("ranks of {} bits: 1 to 4 are possible", bits);
  LOWBIT_KERNEL(RankAny)(x, blocks, scale, threshold, bits, packed);
}

float SumOfSquares(const float* x, int64_t n) {
  return LOWBIT_KERNEL(Squares)(x, n);
}

}  // namespace lowbit
#endif  // HWY_ONCE
