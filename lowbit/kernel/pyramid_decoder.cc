#include "lowbit/kernel/pyramid_decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/pyramid_decoder.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<uint64_t>;
using DI = hn::RebindToSigned<D>;
using DF = hn::RebindToFloat<D>;
using U = hn::Vec<D>;
using F = hn::Vec<DF>;
using Mask = hn::Mask<D>;
using Layout = PyramidDecoder::Layout;
constexpr size_t kLanes = hn::MaxLanes(D());
// Vectors of points whose chains of dependent steps overlap.
constexpr size_t kVectors = kLanes == 1 ? 4 : 2;
constexpr size_t kPoints = kVectors * kLanes;
constexpr int kGuideWords = 8;
// Added to a small f64, it leaves the nearest integer in the lower bits.
constexpr double kToInteger = 0x1.8p52;

// One word or two of each index.
struct One {
  static constexpr int kWords = 1, kRecord = 2;
  U low;
};
struct Two {
  static constexpr int kWords = 2, kRecord = 4;
  U low, high;
};

HWY_INLINE U Load(const uint64_t* from, U at) {
  return hn::GatherIndex(D(), from, hn::BitCast(DI(), at));
}
template <class N>
HWY_INLINE N LoadNumber(const uint64_t* from, U at) {
  if constexpr (N::kWords == 1) {
    return {Load(from, at)};
  } else {
    return {Load(from, at), Load(from + 1, at)};
  }
}

// Of the lower 32 bits.
HWY_INLINE U Product(U a, U b) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(D(),
                 uint64_t{static_cast<uint32_t>(hn::GetLane(a))} * static_cast<uint32_t>(hn::GetLane(b)));
#else
  const hn::Repartition<uint32_t, D> half;
  return hn::MulEven(hn::BitCast(half, a), hn::BitCast(half, b));
#endif
}

HWY_INLINE One Select(Mask mask, One yes, One no) {
  return {hn::IfThenElse(mask, yes.low, no.low)};
}
HWY_INLINE Two Select(Mask mask, Two yes, Two no) {
  return {hn::IfThenElse(mask, yes.low, no.low), hn::IfThenElse(mask, yes.high, no.high)};
}

HWY_INLINE Mask Less(One a, One b) {
  return hn::Lt(a.low, b.low);
}
HWY_INLINE Mask Less(Two a, Two b) {
  return hn::Or(hn::Lt(a.high, b.high), hn::And(hn::Eq(a.high, b.high), hn::Lt(a.low, b.low)));
}

HWY_INLINE One Minus(One a, One b) {
  return {hn::Sub(a.low, b.low)};
}
HWY_INLINE Two Minus(Two a, Two b) {
  const U borrow = hn::VecFromMask(D(), hn::Lt(a.low, b.low));
  return {hn::Sub(a.low, b.low), hn::Add(hn::Sub(a.high, b.high), borrow)};
}

HWY_INLINE One Quarter(One a) {
  return {hn::ShiftRight<2>(a.low)};
}
HWY_INLINE Two Quarter(Two a) {
  return {hn::Or(hn::ShiftRight<2>(a.low), hn::ShiftLeft<62>(a.high)), hn::ShiftRight<2>(a.high)};
}

// Below 2^32 times a number, modulo the length of the number.
HWY_INLINE One Times(U t, One a) {
  return {hn::Add(Product(t, a.low), hn::ShiftLeft<32>(Product(t, hn::ShiftRight<32>(a.low))))};
}
HWY_INLINE Two Times(U t, Two a) {
  const U low = Product(t, a.low), middle = Product(t, hn::ShiftRight<32>(a.low));
  const U sum = hn::Add(low, hn::ShiftLeft<32>(middle));
  const U carry = hn::VecFromMask(D(), hn::Lt(sum, low));
  const U high = hn::Add(Times(t, One{a.high}).low, hn::ShiftRight<32>(middle));
  return {sum, hn::Sub(high, carry)};
}

HWY_INLINE F ToDouble(One a) {
  return hn::ConvertTo(DF(), a.low);
}
HWY_INLINE F ToDouble(Two a) {
  const DF d;
  return hn::MulAdd(hn::ConvertTo(d, a.high), hn::Set(d, 0x1p64), hn::ConvertTo(d, a.low));
}

template <class N>
struct State {
  N index;   // among those of the coordinates to come,
  U left;    // of so many pulses,
  F within;  // and as a share of their number
};

// Tables of one pair.
struct Pair {
  const uint64_t *start, *count, *guide;
  U row;  // from the starts of k to those of k + 1
  int guide_shift;
};

// What a number of pulses in the pair, p, makes of the rest.
template <class N>
struct Split {
  N rest;
  U t, quarters, behind;  // behind: pulses left
  F within;
  hn::Mask<DI> beyond;  // p is too small
};

template <class N>
HWY_INLINE Split<N> SplitAt(const Pair& pair, N inside, U left, U p) {
  const D d;
  const DI di;
  const DF df;
  Split<N> split;
  split.behind = hn::Sub(left, p);
  split.quarters = inside.low;
  const Mask pulses = hn::Ne(p, hn::Zero(d));
  const N value = Select(pulses, Quarter(inside), inside);
  const U at = hn::ShiftLeft < N::kRecord == 2 ? 1 : 2 > (split.behind);
  const N count = LoadNumber<N>(pair.count, at);
  const F reciprocal = hn::BitCast(df, Load(pair.count + N::kWords, at));
  // The quotient less one half, rounded to the nearest integer: what divides evenly may come out one short,
  // nothing too large.
  const F quotient = hn::MulAdd(ToDouble(value), reciprocal, hn::Set(df, -0.5));
  const F whole = hn::Add(quotient, hn::Set(df, kToInteger));
  const U t = hn::And(hn::BitCast(d, whole), hn::Set(d, 0xFFFFFFFF));
  const N rest = Minus(value, Times(t, count));
  const Mask enough = Less(rest, count);
  split.rest = Select(enough, rest, Minus(rest, count));
  split.t = hn::IfThenElse(enough, t, hn::Add(t, hn::Set(d, 1)));
  const F share = hn::Sub(quotient, hn::Sub(whole, hn::Set(df, kToInteger)));
  const F correction = hn::IfThenElse(hn::RebindMask(df, enough), hn::Set(df, 0.5), hn::Set(df, -0.5));
  split.within = hn::Add(share, correction);
  // 0 <= t < p, and t = 0 for p = 0.
  const U most = hn::Add(p, hn::VecFromMask(d, pulses));
  split.beyond = hn::Gt(hn::BitCast(di, split.t), hn::BitCast(di, most));
  return split;
}

// The pair (p - t, t) turned by the lower two bits of `quarters`, as two int16 in the lower 32 bits.
HWY_INLINE U Turned(U p, U t, U quarters) {
  const D d;
  const U a = hn::Sub(p, t), one = hn::Set(d, 1), two = hn::Set(d, 2);
  const Mask odd = hn::TestBit(quarters, one);
  U x = hn::IfThenElse(odd, t, a), y = hn::IfThenElse(odd, a, t);
  x = hn::IfThenElse(hn::TestBit(hn::Add(quarters, one), two), hn::Sub(hn::Zero(d), x), x);
  y = hn::IfThenElse(hn::TestBit(quarters, two), hn::Sub(hn::Zero(d), y), y);
  const U lower = hn::Set(d, 0xFFFF);
  return hn::Or(hn::And(x, lower), hn::ShiftLeft<16>(hn::And(y, lower)));
}

// Decodes one pair.
template <class N>
HWY_INLINE U Step(const Pair& pair, State<N>& state) {
  const D d;
  const DF df;
  const F place = hn::MulAdd(state.within, hn::Set(df, 63.0), hn::Set(df, kToInteger));
  const U bucket = hn::And(hn::BitCast(d, place), hn::Set(d, 63));
  const U eight = Load(pair.guide, hn::Add(hn::ShiftLeft<3>(state.left), hn::ShiftRight<3>(bucket)));
  const U byte = hn::And(hn::Shr(eight, hn::ShiftLeft<3>(hn::And(bucket, hn::Set(d, 7)))), hn::Set(d, 255));
  U p = hn::ShiftLeftSame(byte, pair.guide_shift);
  const U row = Product(state.left, pair.row);
  const auto start = [&](U pulses) {
    return LoadNumber<N>(pair.start, hn::ShiftLeft<N::kWords - 1>(hn::Add(row, pulses)));
  };
  const U next = hn::Add(p, hn::Set(d, 1));
  const N above = start(next);
  const Mask below = Less(state.index, above);
  const N from = Select(below, start(p), above);
  p = hn::IfThenElse(below, p, next);
  Split<N> split = SplitAt(pair, Minus(state.index, from), state.left, p);
  while (HWY_UNLIKELY(!hn::AllFalse(DI(), split.beyond))) {  // several starts in one part
    p = hn::Sub(p, hn::BitCast(d, hn::VecFromMask(DI(), split.beyond)));
    split = SplitAt(pair, Minus(state.index, start(p)), state.left, p);
  }
  state = {split.rest, split.behind, split.within};
  return Turned(p, split.t, split.quarters);
}

// Nothing lies behind the last pair of an even dimension: it has all pulses left.
HWY_INLINE U LastPair(const State<One>& state) {
  return Turned(state.left, hn::ShiftRight<2>(state.index.low), state.index.low);
}
// The last coordinate of an odd one.
HWY_INLINE U LastCoordinate(const State<One>& state) {
  const D d;
  const U left = state.left;
  const Mask plus = hn::Eq(state.index.low, hn::Zero(d));
  return hn::And(hn::IfThenElse(plus, left, hn::Sub(hn::Zero(d), left)), hn::Set(d, 0xFFFF));
}

// kPoints points, step by step; two steps give four coordinates of each.
template <typename T>
class Decoding {
 public:
  Decoding(const Layout& layout, const uint64_t* indices, T* y) : layout_(layout), y_(y) {
    const D d;
    const DF df;
    const U left = hn::Set(d, static_cast<uint64_t>(layout.pulses));
    const F reciprocal = hn::Set(df, layout.reciprocal);
    for (size_t v = 0; v < kVectors; ++v) {
      if (layout.words == 2) {
        hn::LoadInterleaved2(d, indices + 2 * v * kLanes, wide_[v].index.low, wide_[v].index.high);
      } else {
        wide_[v].index = {hn::LoadU(d, indices + v * kLanes), hn::Zero(d)};
      }
      wide_[v].left = left;
      wide_[v].within = hn::Mul(ToDouble(wide_[v].index), reciprocal);
      narrow_[v] = {{wide_[v].index.low}, left, wide_[v].within};
    }
  }

  void Run() {
    pair_ = TablesOf(layout_);
    int step = 0;
    for (; step < layout_.wide; ++step) Take<Two>(wide_);
    if (step > 0) {
      for (size_t v = 0; v < kVectors; ++v)
        narrow_[v] = {{wide_[v].index.low}, wide_[v].left, wide_[v].within};
    }
    for (; step < layout_.steps; ++step) Take<One>(narrow_);
    const bool odd = layout_.dimension % 2 == 1;
    for (size_t v = 0; v < kVectors; ++v) Keep(v, odd ? LastCoordinate(narrow_[v]) : LastPair(narrow_[v]));
    done_ += odd ? 1 : 2;
    Write(layout_.dimension - (done_ - 1) / 4 * 4);
  }

 private:
  static Pair TablesOf(const Layout& layout) {
    return {layout.start.data(), layout.count.data(), layout.guide.data(),
            hn::Set(D(), static_cast<uint64_t>(layout.pulses) + 2), layout.guide_shift};
  }

  template <class N>
  HWY_INLINE void Take(State<N>* states) {
    for (size_t v = 0; v < kVectors; ++v) Keep(v, Step(pair_, states[v]));
    const int64_t rows = layout_.pulses + 1;
    pair_.start += rows * (layout_.pulses + 2) * N::kWords;
    pair_.count += rows * N::kRecord;
    pair_.guide += rows * kGuideWords;
    done_ += 2;
    if (done_ % 4 == 0) Write(4);
  }

  HWY_INLINE void Keep(size_t v, U pair) {
    if (done_ % 4 == 0) {
      first_[v] = pair;
    } else {
      first_[v] = hn::Or(first_[v], hn::ShiftLeft<32>(pair));
    }
  }

  // The last `width` of the coordinates done.
  HWY_INLINE void Write(int width) {
    alignas(64) int16_t values[kPoints * 4];
    for (size_t v = 0; v < kVectors; ++v)
      hn::Store(first_[v], D(), reinterpret_cast<uint64_t*>(values) + v * kLanes);
    T out[kPoints * 4];
    for (size_t i = 0; i < kPoints * 4; ++i) out[i] = static_cast<T>(values[i]);
    T* to = y_ + (done_ - width);
    if (width == 4) {
      for (size_t i = 0; i < kPoints; ++i, to += layout_.dimension)
        std::memcpy(to, out + 4 * i, 4 * sizeof(T));
    } else {
      for (size_t i = 0; i < kPoints; ++i, to += layout_.dimension) std::copy_n(out + 4 * i, width, to);
    }
  }

  const Layout& layout_;
  T* const y_;
  Pair pair_;
  int done_ = 0;  // coordinates
  U first_[kVectors];
  State<Two> wide_[kVectors];
  State<One> narrow_[kVectors];
};

template <typename T>
void DecodeRange(const Layout& layout, const uint64_t* indices, int64_t count, T* y) {
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kPoints) <= count; i += kPoints)
    Decoding<T>(layout, indices + i * layout.words, y + i * layout.dimension).Run();
  if (i == count) return;
  uint64_t rest[2 * kPoints] = {};  // index 0 is a point of every pyramid
  std::copy(indices + i * layout.words, indices + count * layout.words, rest);
  std::vector<T> points(kPoints * static_cast<size_t>(layout.dimension));
  Decoding<T>(layout, rest, points.data()).Run();
  std::copy_n(points.data(), (count - i) * layout.dimension, y + i * layout.dimension);
}

void DecodeBytes(const Layout& layout, const uint64_t* indices, int64_t count, int8_t* y) {
  DecodeRange(layout, indices, count, y);
}
void DecodeShorts(const Layout& layout, const uint64_t* indices, int64_t count, int16_t* y) {
  DecodeRange(layout, indices, count, y);
}
void DecodeFloats(const Layout& layout, const uint64_t* indices, int64_t count, float* y) {
  DecodeRange(layout, indices, count, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(DecodeBytes);
HWY_EXPORT(DecodeShorts);
HWY_EXPORT(DecodeFloats);

namespace {

constexpr int64_t kGuideBytes = 64;

// A number of one or two words.
struct Number {
  uint64_t words[2] = {};

  double value() const { return static_cast<double>(words[1]) * 0x1p64 + static_cast<double>(words[0]); }
  // Surely not above 1 / value, by less than 2^-48 of it.
  double reciprocal() const { return (1 - 0x1p-49) / value(); }
};

Number ToNumber(std::span<const uint64_t> words) {
  Number number;
  std::copy(words.begin(), words.end(), number.words);
  return number;
}

}  // namespace

PyramidDecoder::PyramidDecoder(PyramidCodec codec) : codec_(std::move(codec)) {
  layout_.dimension = codec_.dimension();
  layout_.pulses = codec_.pulses();
  layout_.words = codec_.words();
  const int64_t rows = codec_.pulses() + 1, row = codec_.pulses() + 2;
  if (codec_.words() <= 2 && codec_.dimension() / 2 * rows * row * codec_.words() * 8 <= (16 << 20))
    MakeTables();
}

void PyramidDecoder::MakeTables() {
  Layout& l = layout_;
  l.steps = (l.dimension - 1) / 2;
  while (l.pulses >> l.guide_shift > 255) ++l.guide_shift;
  l.reciprocal = ToNumber(codec_.count()).reciprocal();
  // A pair is wide when what it decodes is: the first, and those behind a count of two words.
  if (l.words == 2) {
    l.wide = 1;
    while (l.wide < l.steps && codec_.CountBehind(l.wide - 1, l.pulses)[1] != 0) ++l.wide;
  }
  for (int pair = 0; pair < l.steps; ++pair) MakePair(pair, pair < l.wide ? 2 : 1);
}

void PyramidDecoder::MakePair(int pair, int words) {
  Layout& l = layout_;
  const auto append = [&](std::vector<uint64_t>& table, const Number& number) {
    table.insert(table.end(), number.words, number.words + words);
  };
  std::vector<double> start(static_cast<size_t>(l.pulses) + 2);
  for (int64_t k = 0; k <= l.pulses; ++k) {
    const Number count = ToNumber(codec_.CountBehind(pair, k));
    append(l.count, count);
    l.count.push_back(std::bit_cast<uint64_t>(count.reciprocal()));
    if (words == 2) l.count.push_back(0);
    for (int64_t p = 0; p <= l.pulses + 1; ++p) {
      Number number{{~uint64_t{0}, ~uint64_t{0}}};
      if (p <= k) number = ToNumber(codec_.Start(pair, k, p));
      append(l.start, number);
      start[static_cast<size_t>(p)] = number.value();
    }
    const double all = k == 0 ? 1 : ToNumber(codec_.Start(pair, k, k + 1)).value();
    uint64_t guide[kGuideBytes / 8] = {};
    int64_t p = 0;
    for (int64_t i = 0; i < kGuideBytes; ++i) {
      // Parts are rounded to the nearest 63rd; what f64 may be off is far less than the margin.
      const double lowest = ((static_cast<double>(i) - 0.5) / 63 - 1e-6) * all;
      while (p < k && start[static_cast<size_t>(p + 1)] <= lowest) ++p;
      guide[i / 8] |= static_cast<uint64_t>(p >> l.guide_shift) << (i % 8 * 8);
    }
    l.guide.insert(l.guide.end(), guide, guide + kGuideBytes / 8);
  }
}

template <typename T>
void PyramidDecoder::Decode(std::span<const uint64_t> indices, std::span<T> y) const {
  const int words = codec_.words(), dimension = codec_.dimension();
  const auto count = static_cast<int64_t>(indices.size()) / words;
  if (static_cast<int64_t>(indices.size()) != count * words ||
      static_cast<int64_t>(y.size()) != count * dimension)
    Fail("{} index words and {} coordinates do not make whole points of a pyramid with {} and {} each",
         indices.size(), y.size(), words, dimension);
  if (std::is_same_v<T, int8_t> && codec_.pulses() > 127)
    Fail("coordinates of a pyramid with {} pulses do not fit bytes", codec_.pulses());
  for (int64_t i = 0; i < count; ++i) codec_.CheckIndex(indices.data() + i * words);
  if (layout_.reciprocal == 0) {
    std::vector<int16_t> one(static_cast<size_t>(dimension));
    for (int64_t i = 0; i < count; ++i) {
      codec_.Decode(indices.subspan(static_cast<size_t>(i * words), static_cast<size_t>(words)), one);
      std::transform(one.begin(), one.end(), y.begin() + i * dimension,
                     [](int16_t v) { return static_cast<T>(v); });
    }
  } else if constexpr (std::is_same_v<T, int8_t>) {
    LOWBIT_KERNEL(DecodeBytes)(layout_, indices.data(), count, y.data());
  } else if constexpr (std::is_same_v<T, int16_t>) {
    LOWBIT_KERNEL(DecodeShorts)(layout_, indices.data(), count, y.data());
  } else {
    LOWBIT_KERNEL(DecodeFloats)(layout_, indices.data(), count, y.data());
  }
}

template void PyramidDecoder::Decode(std::span<const uint64_t>, std::span<int8_t>) const;
template void PyramidDecoder::Decode(std::span<const uint64_t>, std::span<int16_t>) const;
template void PyramidDecoder::Decode(std::span<const uint64_t>, std::span<float>) const;

}  // namespace lowbit
#endif  // HWY_ONCE
