#include "lowbit/kernel/pyramid_decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

#ifndef LOWBIT_KERNEL_PYRAMID_DECODER_GUIDE
#define LOWBIT_KERNEL_PYRAMID_DECODER_GUIDE
namespace lowbit {
namespace {

// The guide has an entry for every 62nd part of the indices; shares between -1/2 and 1/2 round to 1 to 63.
constexpr double kParts = 62, kMiddle = 32;
constexpr int kGuideBytes = 64;

}  // namespace
}  // namespace lowbit
#endif

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
// Added to a small f64, it leaves the nearest integer in the lower bits.
constexpr double kToInteger = 0x1.8p52;

// One word or two of each index. Here and below, the constructors are written out because those of the
// compiler would not be compiled for the target.
struct One {
  static constexpr int kWords = 1, kRecord = 2;
  U low;

  HWY_INLINE One() {}
  HWY_INLINE One(U word) : low(word) {}  // NOLINT(google-explicit-constructor)
};
struct Two {
  static constexpr int kWords = 2, kRecord = 4;
  U low, high;

  HWY_INLINE Two() {}
  HWY_INLINE Two(U first, U second) : low(first), high(second) {}
};

HWY_INLINE U Load(const uint64_t* from, U at) {
  return hn::GatherIndex(D(), from, hn::BitCast(DI(), at));
}
// A lane's words from[at] and from[at + 1].
struct Words {
  U first, second;
};
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_AVX3
HWY_INLINE Words LoadWords(const uint64_t* from, U at) {
  return {Load(from, at), Load(from + 1, at)};
}
#else
// Of few lanes, loads of both and shuffles cost less than two gathers.
// Blocks of 128 bits from every other lane.
template <size_t kCount>
HWY_INLINE auto LoadBlocks(const uint64_t* from, const uint64_t* at) {
  const hn::FixedTag<uint64_t, 2 * kCount> d;
  if constexpr (kCount == 1) {
    return hn::LoadU(d, from + at[0]);
  } else {
    return hn::Combine(d, LoadBlocks<kCount / 2>(from, at + kCount), LoadBlocks<kCount / 2>(from, at));
  }
}
HWY_INLINE Words LoadWords(const uint64_t* from, U at) {
  const D d;
  alignas(64) uint64_t place[kLanes];
  hn::Store(at, d, place);
  const U even = LoadBlocks<kLanes / 2>(from, place), odd = LoadBlocks<kLanes / 2>(from, place + 1);
  return {hn::InterleaveLower(d, even, odd), hn::InterleaveUpper(d, even, odd)};
}
#endif

// Numbers that lie one behind the other.
HWY_INLINE void LoadNumbers(const uint64_t* from, U at, One& first, One& second) {
  const Words words = LoadWords(from, at);
  first = {words.first};
  second = {words.second};
}
HWY_INLINE void LoadNumbers(const uint64_t* from, U at, Two& first, Two& second) {
  at = hn::Add(at, at);
  const Words words = LoadWords(from, at), more = LoadWords(from + 2, at);
  first = {words.first, words.second};
  second = {more.first, more.second};
}
// A number and the f64 behind it.
HWY_INLINE F LoadCount(const uint64_t* from, U at, One& count) {
  const Words words = LoadWords(from, hn::Add(at, at));
  count = {words.first};
  return hn::BitCast(DF(), words.second);
}
HWY_INLINE F LoadCount(const uint64_t* from, U at, Two& count) {
  at = hn::ShiftLeft<2>(at);
  const Words words = LoadWords(from, at);
  count = {words.first, words.second};
  return hn::BitCast(DF(), Load(from + 2, at));
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

// Words of the starts, and of the indices compared with them, have their highest bit turned: they compare as
// signed integers, and differences are the same.
HWY_INLINE U Turn(U word) {
  return hn::Xor(word, hn::Set(D(), uint64_t{1} << 63));
}
HWY_INLINE One Turn(One a) {
  return {Turn(a.low)};
}
HWY_INLINE Two Turn(Two a) {
  return {Turn(a.low), Turn(a.high)};
}
HWY_INLINE Mask SignedLess(U a, U b) {
  return hn::RebindMask(D(), hn::Lt(hn::BitCast(DI(), a), hn::BitCast(DI(), b)));
}
HWY_INLINE Mask TurnedLess(One a, One b) {
  return SignedLess(a.low, b.low);
}
HWY_INLINE Mask TurnedLess(Two a, Two b) {
  return hn::Or(SignedLess(a.high, b.high), hn::And(hn::Eq(a.high, b.high), SignedLess(a.low, b.low)));
}
HWY_INLINE One TurnedMinus(One a, One b) {
  return {hn::Sub(a.low, b.low)};
}
HWY_INLINE Two TurnedMinus(Two a, Two b) {
  const U borrow = hn::VecFromMask(D(), SignedLess(a.low, b.low));
  return {hn::Sub(a.low, b.low), hn::Add(hn::Sub(a.high, b.high), borrow)};
}

HWY_INLINE One Minus(One a, One b) {
  return TurnedMinus(a, b);
}
HWY_INLINE Two Minus(Two a, Two b) {
  return TurnedMinus(Two{Turn(a.low), a.high}, Two{Turn(b.low), b.high});
}
// Both modulo the length of a number, where a difference has the sign of the highest bit.
HWY_INLINE One Plus(One a, One b) {
  return {hn::Add(a.low, b.low)};
}
HWY_INLINE Two Plus(Two a, Two b) {
  const U low = hn::Add(a.low, b.low);
  const U carry = hn::VecFromMask(D(), SignedLess(Turn(low), Turn(a.low)));
  return {low, hn::Sub(hn::Add(a.high, b.high), carry)};
}
HWY_INLINE U Sign(One a) {
  return a.low;
}
HWY_INLINE U Sign(Two a) {
  return a.high;
}
HWY_INLINE Mask Negative(U a) {
  return SignedLess(a, hn::Zero(D()));
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
  const U carry = hn::VecFromMask(D(), SignedLess(Turn(sum), Turn(low)));
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
  N index;  // among those of the coordinates to come,
  U left;   // of so many pulses,
  F share;  // and as a share of their number, less one half

  HWY_INLINE State() {}
  HWY_INLINE State(N number, U pulses, F part) : index(number), left(pulses), share(part) {}
};

// Tables of one pair.
struct Pair {
  const uint64_t *start, *count, *guide;
  uint64_t row;  // from the starts of k to those of k + 1
  int guide_shift;
};

// What a number of pulses in the pair, p, makes of the rest.
template <class N>
struct Split {
  N count, rest;
  U t, end, quarters;  // t < end unless p is too small
  F share;

  HWY_INLINE Split() {}
};

template <class N>
HWY_INLINE Split<N> SplitAt(const Pair& pair, N inside, U left, U p) {
  const D d;
  const DF df;
  Split<N> split;
  split.quarters = inside.low;
  const Mask none = hn::Eq(p, hn::Zero(d));
  const N value = Select(none, inside, Quarter(inside));
  const F reciprocal = LoadCount(pair.count, hn::Sub(left, p), split.count);
  // (value + 1/2) / count, which is no integer, less one half: the nearest integer is t, or next to it when
  // the count is so large that f64 cannot tell.
  const F half = hn::Set(df, 0.5), integer = hn::Set(df, kToInteger);
  const F quotient = hn::MulAdd(ToDouble(value), reciprocal, hn::MulSub(half, reciprocal, half));
  const F whole = hn::Add(quotient, integer);
  split.share = hn::Sub(quotient, hn::Sub(whole, integer));
  split.t = hn::And(hn::BitCast(d, whole), hn::Set(d, 0xFFFFFFFF));
  split.rest = Minus(value, Times(split.t, split.count));
  split.end = hn::Sub(p, hn::VecFromMask(d, none));  // without pulses t = 0
  return split;
}

// 0 <= rest < count and t < end in every lane.
template <class N>
HWY_INLINE bool IsRight(const Split<N>& split) {
  const U rest = hn::AndNot(Sign(split.rest), Sign(Minus(split.rest, split.count)));
  return hn::AllTrue(D(), Negative(hn::And(rest, hn::Sub(split.t, split.end))));
}

// Moves t to where it should be if it is next to it.
template <class N>
HWY_INLINE void Mend(Split<N>& split) {
  const D d;
  const DF df;
  const Mask high = Negative(Sign(split.rest)), low = hn::Not(Negative(Sign(Minus(split.rest, split.count))));
  const U one = hn::Set(d, 1);
  split.t = hn::Add(hn::Sub(split.t, hn::IfThenElseZero(high, one)),
                    hn::IfThenElseZero(hn::AndNot(high, low), one));
  const N more = Plus(split.rest, split.count), less = Minus(split.rest, split.count);
  split.rest = Select(high, more, Select(low, less, split.rest));
  const F move = hn::IfThenElse(hn::RebindMask(df, high), hn::Set(df, 1.0),
                                hn::IfThenElseZero(hn::RebindMask(df, low), hn::Set(df, -1.0)));
  split.share = hn::Add(split.share, move);
}

// Coordinates of two pairs, 16 bits each: (p - t, t), to be turned by the lower two bits of `quarters`.
struct Pairs {
  U values, quarters;

  HWY_INLINE Pairs() {}
  HWY_INLINE Pairs(U pairs, U turns) : values(pairs), quarters(turns) {}
  static HWY_INLINE Pairs Of(U p, U t, U quarters) {
    const D d;
    return {hn::Add(hn::Sub(p, t), hn::ShiftLeft<16>(t)), hn::And(quarters, hn::Set(d, 3))};
  }
  HWY_INLINE void Append(Pairs second) {
    values = hn::Or(values, hn::ShiftLeft<32>(second.values));
    quarters = hn::Or(quarters, hn::ShiftLeft<32>(second.quarters));
  }
  HWY_INLINE void Store(int16_t* to) const {
#if HWY_TARGET == HWY_SCALAR
    const uint64_t all = hn::GetLane(values), turns = hn::GetLane(quarters);
    for (int i = 0; i < 4; i += 2) {
      const int r = static_cast<int>(turns >> (16 * i)), odd = -(r & 1), sign = -((r >> 1) & 1);
      const int a = static_cast<int16_t>(all >> (16 * i)), b = static_cast<int16_t>(all >> (16 * i + 16));
      to[i] = static_cast<int16_t>(((a ^ ((a ^ -b) & odd)) ^ sign) - sign);
      to[i + 1] = static_cast<int16_t>(((b ^ ((a ^ b) & odd)) ^ sign) - sign);
    }
#else
    const D d;
    const hn::Repartition<int16_t, D> shorts;
    const hn::Repartition<uint32_t, D> pairs;
    const auto both = hn::BitCast(shorts, hn::Or(quarters, hn::ShiftLeft<16>(quarters)));
    const auto odd = hn::ShiftRight<15>(hn::ShiftLeft<15>(both));
    const auto straight = hn::BitCast(shorts, values);
    const auto swapped = hn::BitCast(shorts, hn::RotateRight<16>(hn::BitCast(pairs, values)));
    const auto turned = hn::IfVecThenElse(odd, swapped, straight);
    // The first is negative after one and two quarters, the second after two and three.
    const auto next = hn::Add(both, hn::BitCast(shorts, hn::Set(pairs, 1)));
    const auto sign = hn::ShiftRight<15>(hn::ShiftLeft<14>(next));
    const auto result = hn::Sub(hn::Xor(turned, sign), sign);
    hn::Store(hn::BitCast(d, result), d, reinterpret_cast<uint64_t*>(to));
#endif
  }
};

// Decodes one pair.
template <class N>
HWY_INLINE Pairs Step(const Pair& pair, State<N>& state) {
  const D d;
  const DF df;
  const F place = hn::MulAdd(state.share, hn::Set(df, kParts), hn::Set(df, kToInteger + kMiddle));
  const U bucket = hn::And(hn::BitCast(d, place), hn::Set(d, 63));
  const U eight = Load(pair.guide, hn::Add(hn::ShiftLeft<3>(state.left), hn::ShiftRight<3>(bucket)));
  const U byte = hn::And(hn::Shr(eight, hn::ShiftLeft<3>(hn::And(bucket, hn::Set(d, 7)))), hn::Set(d, 255));
  U p = hn::ShiftLeftSame(byte, pair.guide_shift);
  const U row = Product(state.left, hn::Set(d, pair.row));
  N start, above;
  LoadNumbers(pair.start, hn::Add(row, p), start, above);
  const N index = Turn(state.index);
  const Mask below = TurnedLess(index, above);
  start = Select(below, start, above);
  p = hn::IfThenElse(below, p, hn::Add(p, hn::Set(d, 1)));
  Split<N> split = SplitAt(pair, TurnedMinus(index, start), state.left, p);
  while (HWY_UNLIKELY(!IsRight(split))) {
    Mend(split);
    const Mask small = hn::Not(Negative(hn::Sub(split.t, split.end)));
    if (hn::AllFalse(d, small)) break;
    p = hn::Sub(p, hn::VecFromMask(d, small));  // several starts in one part
    LoadNumbers(pair.start, hn::Add(row, p), start, above);
    split = SplitAt(pair, TurnedMinus(index, start), state.left, p);
  }
  state = {split.rest, hn::Sub(state.left, p), split.share};
  return Pairs::Of(p, split.t, split.quarters);
}

// Nothing lies behind the last pair of an even dimension, which has all pulses left; the last coordinate of
// an odd one is a pair without t and without odd quarters.
HWY_INLINE Pairs LastPair(const State<One>& state) {
  return Pairs::Of(state.left, hn::ShiftRight<2>(state.index.low), state.index.low);
}
HWY_INLINE Pairs LastCoordinate(const State<One>& state) {
  return Pairs::Of(state.left, hn::Zero(D()), hn::Add(state.index.low, state.index.low));
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
      wide_[v].share = hn::MulAdd(ToDouble(wide_[v].index), reciprocal, hn::Set(df, -0.5));
      narrow_[v] = {{wide_[v].index.low}, left, wide_[v].share};
    }
  }

  void Run() {
    pair_ = TablesOf(layout_);
    int step = 0;
    for (; step < layout_.wide; ++step) Take<Two>(wide_);
    if (step > 0) {
      for (size_t v = 0; v < kVectors; ++v)
        narrow_[v] = {{wide_[v].index.low}, wide_[v].left, wide_[v].share};
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
            static_cast<uint64_t>(layout.pulses) + 2, layout.guide_shift};
  }

  template <class N>
  HWY_INLINE void Take(State<N>* states) {
    for (size_t v = 0; v < kVectors; ++v) Keep(v, Step(pair_, states[v]));
    const int64_t rows = layout_.pulses + 1;
    pair_.start += rows * (layout_.pulses + 2) * N::kWords;
    pair_.count += rows * N::kRecord;
    pair_.guide += rows * (kGuideBytes / 8);
    done_ += 2;
    if (done_ % 4 == 0) Write(4);
  }

  HWY_INLINE void Keep(size_t v, Pairs pair) {
    if (done_ % 4 == 0) {
      pairs_[v] = pair;
    } else {
      pairs_[v].Append(pair);
    }
  }

  // The last `width` of the coordinates done.
  HWY_INLINE void Write(int width) {
    alignas(64) int16_t values[kPoints * 4];
    for (size_t v = 0; v < kVectors; ++v) pairs_[v].Store(values + v * kLanes * 4);
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
  Pairs pairs_[kVectors];
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

constexpr uint64_t kHighestBit = uint64_t{1} << 63;

// A number of one or two words.
struct Number {
  uint64_t words[2] = {};

  double value() const { return static_cast<double>(words[1]) * 0x1p64 + static_cast<double>(words[0]); }
  double reciprocal() const { return 1 / value(); }
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
  if (codec_.words() > 2 || codec_.dimension() / 2 * rows * row * codec_.words() * 8 > (16 << 20)) return;
  if (codec_.dimension() > 2 && codec_.CountBehind(0, codec_.pulses()).back() >= kHighestBit) return;
  MakeTables();
}

void PyramidDecoder::MakeTables() {
  Layout& l = layout_;
  l.steps = (l.dimension - 1) / 2;
  while (l.pulses >> l.guide_shift > 255) ++l.guide_shift;
  l.reciprocal = ToNumber(codec_.count()).reciprocal();
  // The first pair is wide, and others behind a count of two words, or with one that nearly is.
  if (l.words == 2) {
    const auto count = [&](int pair) { return ToNumber(codec_.CountBehind(pair, l.pulses)); };
    l.wide = 1;
    while (l.wide < l.steps && (count(l.wide - 1).words[1] != 0 || count(l.wide).words[0] >= kHighestBit))
      ++l.wide;
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
      start[static_cast<size_t>(p)] = number.value();
      for (uint64_t& word : number.words) word ^= kHighestBit;
      append(l.start, number);
    }
    const double all = k == 0 ? 1 : ToNumber(codec_.Start(pair, k, k + 1)).value();
    uint64_t guide[kGuideBytes / 8] = {};
    int64_t p = 0;
    for (int64_t i = 0; i < kGuideBytes; ++i) {
      // What f64 may be off is far less than the margin.
      const double lowest = ((static_cast<double>(i) - kMiddle - 0.5) / kParts + 0.5 - 1e-6) * all;
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
