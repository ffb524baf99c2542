#include "lowbit/format/pyramid.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

__extension__ using Word2 = unsigned __int128;

constexpr int kMaxPulses = 32767;

// An integer of any length, with as much arithmetic as the codec needs, modulo 2 to the power of that length.
struct Big {
  std::vector<uint64_t> words;  // least significant first, all of one length

  Big operator+(const Big& b) const {
    Big sum = *this;
    uint64_t carry = 0;
    for (size_t i = 0; i < words.size(); ++i) {
      const Word2 s = Word2{words[i]} + b.words[i] + carry;
      sum.words[i] = static_cast<uint64_t>(s);
      carry = static_cast<uint64_t>(s >> 64);
    }
    return sum;
  }
  Big operator-(const Big& b) const {
    Big difference = *this;
    uint64_t borrow = 0;
    for (size_t i = 0; i < words.size(); ++i) {
      const Word2 s = Word2{words[i]} - b.words[i] - borrow;
      difference.words[i] = static_cast<uint64_t>(s);
      borrow = static_cast<uint64_t>(s >> 64) & 1;
    }
    return difference;
  }
  Big operator*(uint64_t b) const {
    Big product = *this;
    uint64_t carry = 0;
    for (size_t i = 0; i < words.size(); ++i) {
      const Word2 s = Word2{words[i]} * b + carry;
      product.words[i] = static_cast<uint64_t>(s);
      carry = static_cast<uint64_t>(s >> 64);
    }
    return product;
  }
  Big operator>>(int bits) const {  // 0 < bits < 64
    Big quotient = *this;
    for (size_t i = 0; i < words.size(); ++i)
      quotient.words[i] = words[i] >> bits | (i + 1 < words.size() ? words[i + 1] << (64 - bits) : 0);
    return quotient;
  }
  bool operator<(const Big& b) const {
    return std::lexicographical_compare(words.rbegin(), words.rend(), b.words.rbegin(), b.words.rend());
  }
};

template <typename U>
U Load(const uint64_t* from, int words) {
  if constexpr (std::is_same_v<U, uint64_t>) {
    return *from;
  } else if constexpr (std::is_same_v<U, Word2>) {
    return Word2{from[1]} << 64 | from[0];
  } else {
    return Big{{from, from + words}};
  }
}

template <typename U>
void Store(const U& value, uint64_t* to) {
  if constexpr (std::is_same_v<U, uint64_t>) {
    *to = value;
  } else if constexpr (std::is_same_v<U, Word2>) {
    to[0] = static_cast<uint64_t>(value);
    to[1] = static_cast<uint64_t>(value >> 64);
  } else {
    std::copy(value.words.begin(), value.words.end(), to);
  }
}

template <typename U>
uint64_t LowWord(const U& value) {
  if constexpr (std::is_same_v<U, Big>) {
    return value.words[0];
  } else {
    return static_cast<uint64_t>(value);
  }
}

template <typename U>
U Number(uint64_t value, int words) {
  if constexpr (std::is_same_v<U, Big>) {
    Big number{std::vector<uint64_t>(static_cast<size_t>(words))};
    number.words[0] = value;
    return number;
  } else {
    return value;
  }
}

void AddWords(uint64_t* to, const uint64_t* from, int64_t words) {
  uint64_t carry = 0;
  for (int64_t i = 0; i < words; ++i) {
    const Word2 s = Word2{to[i]} + from[i] + carry;
    to[i] = static_cast<uint64_t>(s);
    carry = static_cast<uint64_t>(s >> 64);
  }
}

// ceil(log2 x) of a positive integer.
int64_t CeilLog2(const uint64_t* x, int64_t words) {
  int64_t top = words - 1;
  while (x[top] == 0) --top;
  const int64_t width = 64 * top + std::bit_width(x[top]);
  bool power = std::has_single_bit(x[top]);
  for (int64_t i = 0; i < top; ++i) power &= x[i] == 0;
  return width - (power ? 1 : 0);
}

// An upper bound of log2 V(N, K) from V = sum_i 2^i (N choose i) (K-1 choose i-1).
double LogCountBound(int n, int k) {
  const auto choose = [](double a, double b) {
    return (std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1)) / std::log(2.0);
  };
  double largest = 0;
  for (int i = 1; i <= std::min(n, k); ++i)
    largest = std::max(largest, i + choose(n, i) + choose(k - 1, i - 1));
  return largest + std::log2(std::max(1, std::min(n, k))) + 1;
}

// The largest i in [low, high] with f(i) <= bound; f(low) <= bound and f does not fall.
template <typename U, typename F>
int64_t LastNotAbove(int64_t low, int64_t high, const U& bound, F f) {
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (bound < f(middle)) {
      high = middle - 1;
    } else {
      low = middle;
    }
  }
  return low;
}

}  // namespace

const uint64_t* PyramidCodec::Sum(int pair, int64_t j) const {
  return sums_.data() + (int64_t{pair} * (pulses_ + 2) + j + 1) * words_;
}

const uint64_t* PyramidCodec::SumOfSums(int pair, int64_t j) const {
  return sums_of_sums_.data() + (int64_t{pair} * (pulses_ + 2) + j + 1) * words_;
}

PyramidCodec::PyramidCodec(int dimension, int pulses) : dimension_(dimension), pulses_(pulses) {
  if (dimension < 1 || dimension > 1024 || pulses < 0 || pulses > kMaxPulses)
    Fail("a pyramid of {} dimensions and {} pulses: 1 to 1024 dimensions and 0 to {} pulses are possible",
         dimension, pulses, kMaxPulses);
  // In numbers surely long enough: V(n, k) = A(n-1, k) + A(n-1, k-1).
  const auto length = static_cast<int64_t>(LogCountBound(dimension, pulses) / 64) + 1;
  const int64_t stride = pulses + 2;
  if (static_cast<double>(dimension + 1) * static_cast<double>(stride * length) * 8 > double(64 << 20))
    Fail("the tables of a pyramid of {} dimensions and {} pulses exceed 64 MiB: take fewer of either",
         dimension, pulses);
  std::vector<uint64_t> table(static_cast<size_t>((dimension + 1) * stride * length)),
      v(static_cast<size_t>(length));
  const auto at = [&](int n, int64_t j) { return table.data() + (n * stride + 1 + j) * length; };
  for (int64_t k = 0; k <= pulses; ++k) at(0, k)[0] = 1;
  for (int n = 1; n <= dimension; ++n) {
    for (int64_t k = 0; k <= pulses; ++k) {
      std::fill(v.begin(), v.end(), 0);
      AddWords(v.data(), at(n - 1, k), length);
      AddWords(v.data(), at(n - 1, k - 1), length);
      std::copy_n(at(n, k - 1), length, at(n, k));
      AddWords(at(n, k), v.data(), length);
    }
  }
  bits_ = static_cast<int>(CeilLog2(v.data(), length));  // of V(N, K), which came last
  int64_t used = length;
  while (v[static_cast<size_t>(used - 1)] == 0) --used;
  words_ = static_cast<int>(used);
  count_.assign(v.begin(), v.begin() + words_);
  const int pairs = dimension / 2;
  sums_.assign(static_cast<size_t>(pairs * stride * words_), 0);
  sums_of_sums_ = sums_;
  for (int pair = 0; pair < pairs; ++pair) {
    for (int64_t j = 0; j <= pulses; ++j) {
      std::copy_n(at(dimension - 2 - 2 * pair, j), words_, sums_.data() + (pair * stride + j + 1) * words_);
      uint64_t* const own = sums_of_sums_.data() + (pair * stride + j + 1) * words_;
      std::copy_n(own - words_, words_, own);
      AddWords(own, Sum(pair, j), words_);
    }
  }
  if (words_ == 1) MakeFastTables<uint64_t>();
  if (words_ == 2) MakeFastTables<Word2>();
}

void PyramidCodec::CheckIndex(const uint64_t* index) const {
  for (int i = words_ - 1; i >= 0; --i) {
    if (index[i] < count_[static_cast<size_t>(i)]) return;
    if (index[i] > count_[static_cast<size_t>(i)]) break;
  }
  Fail("an index of the pyramid of {} dimensions and {} pulses is not below the number of its points",
       dimension_, pulses_);
}

// E(n, k, p) = sum_{i=1}^{p-1} (A(n, k-i) - A(n, k-p)). Sums may pass the length of a number, differences do
// not.
template <typename U>
U PyramidCodec::Start(int pair, int64_t k, int64_t p) const {
  const auto a = [&](int64_t j) { return Load<U>(Sum(pair, j), words_); };
  const auto aa = [&](int64_t j) { return Load<U>(SumOfSums(pair, j), words_); };
  const U e = aa(k - 1) - aa(k - p) - a(k - p) * static_cast<uint64_t>(p - 1);
  return a(k) - a(k - 1) + e * 4;
}

// From the last pair to the first, each adding its part to the index of those behind it.
template <typename U>
void PyramidCodec::EncodeAs(std::span<const int16_t> y, uint64_t* index) const {
  int64_t k = 0;
  U rest = Number<U>(0, words_);
  if (dimension_ % 2 == 1) {
    k = std::abs(y.back());
    if (y.back() < 0) rest = Number<U>(1, words_);
  }
  for (int pair = dimension_ / 2 - 1; pair >= 0; --pair) {
    const int64_t a = y[static_cast<size_t>(2 * pair)], b = y[static_cast<size_t>(2 * pair + 1)];
    const int64_t p = std::abs(a) + std::abs(b), all = k + p;
    if (p > 0) {
      const uint64_t r = a > 0 && b >= 0 ? 0 : a <= 0 && b > 0 ? 1 : a < 0 ? 2 : 3;
      const auto t = static_cast<uint64_t>(std::abs(r % 2 == 0 ? b : a));
      const U behind = Load<U>(Sum(pair, k), words_) - Load<U>(Sum(pair, k - 1), words_);
      rest = Start<U>(pair, all, p) + (behind * t + rest) * 4 + Number<U>(r, words_);
    }
    k = all;
  }
  Store(rest, index);
}

void PyramidCodec::Encode(std::span<const int16_t> y, std::span<uint64_t> index) const {
  if (static_cast<int>(y.size()) != dimension_ || static_cast<int>(index.size()) != words_)
    Fail("a point of {} coordinates and an index of {} words for a pyramid with {} and {}", y.size(),
         index.size(), dimension_, words_);
  int64_t pulses = 0;
  for (const int16_t value : y) pulses += std::abs(value);
  if (pulses != pulses_) Fail("a point of {} pulses does not lie on the pyramid of {}", pulses, pulses_);
  if (words_ == 1) {
    EncodeAs<uint64_t>(y, index.data());
  } else if (words_ == 2) {
    EncodeAs<Word2>(y, index.data());
  } else {
    EncodeAs<Big>(y, index.data());
  }
}

template <typename U>
void PyramidCodec::DecodeAs(const uint64_t* index, int16_t* y) const {
  U rest = Load<U>(index, words_);
  int64_t k = pulses_;
  for (int pair = 0; pair < dimension_ / 2; ++pair, y += 2) {
    y[0] = y[1] = 0;
    if (k == 0 || rest < Start<U>(pair, k, 1)) continue;
    const int64_t p = LastNotAbove(1, k, rest, [&](int64_t i) { return Start<U>(pair, k, i); });
    rest = rest - Start<U>(pair, k, p);
    k -= p;
    const uint64_t r = LowWord(rest) & 3;
    rest = rest >> 2;
    const U behind = Load<U>(Sum(pair, k), words_) - Load<U>(Sum(pair, k - 1), words_);
    const int64_t t =
        LastNotAbove(0, p - 1, rest, [&](int64_t i) { return behind * static_cast<uint64_t>(i); });
    rest = rest - behind * static_cast<uint64_t>(t);
    const int64_t turned[4][2] = {{p - t, t}, {-t, p - t}, {t - p, -t}, {t, t - p}};
    y[0] = static_cast<int16_t>(turned[r][0]);
    y[1] = static_cast<int16_t>(turned[r][1]);
  }
  if (dimension_ % 2 == 1) y[0] = static_cast<int16_t>(LowWord(rest) == 0 ? k : -k);
}

void PyramidCodec::Decode(std::span<const uint64_t> index, std::span<int16_t> y) const {
  if (static_cast<int>(y.size()) != dimension_ || static_cast<int>(index.size()) != words_)
    Fail("a point of {} coordinates and an index of {} words for a pyramid with {} and {}", y.size(),
         index.size(), dimension_, words_);
  CheckIndex(index.data());
  if (words_ == 1) {
    DecodeAs<uint64_t>(index.data(), y.data());
  } else if (words_ == 2) {
    DecodeAs<Word2>(index.data(), y.data());
  } else {
    DecodeAs<Big>(index.data(), y.data());
  }
}

// ---- Many at once
// ---------------------------------------------------------------------------------------------

template <typename U>
void PyramidCodec::MakeFastTables() {
  const int pairs = dimension_ / 2;
  const int64_t row = pulses_ + 2, rows = int64_t{pairs} * (pulses_ + 1);
  if (rows * row * words_ * 8 > (16 << 20)) return;
  starts_.assign(static_cast<size_t>(rows * row * words_), ~uint64_t{0});
  rows_.resize(static_cast<size_t>(rows));
  const auto width = [](U v) -> int {
    const auto high = static_cast<uint64_t>(Word2{v} >> 64);
    return static_cast<int>(high != 0 ? 64 + std::bit_width(high) : std::bit_width(static_cast<uint64_t>(v)));
  };
  for (int pair = 0; pair < pairs; ++pair) {
    for (int64_t k = 0; k <= pulses_; ++k) {
      const int64_t at = int64_t{pair} * (pulses_ + 1) + k;
      Row& own = rows_[static_cast<size_t>(at)];
      uint64_t* const to = starts_.data() + at * row * words_;
      Store(U{0}, to);
      for (int64_t p = 1; p <= k; ++p) Store(Start<U>(pair, k, p), to + p * words_);
      // To divide by V: its leading 48 bits, rounded up. A quotient below 2^15 comes out at most one short.
      const U v = Load<U>(Sum(pair, k), words_) - Load<U>(Sum(pair, k - 1), words_);
      const int shift = std::max(0, width(v) - 48);
      const uint64_t leading = static_cast<uint64_t>(v >> shift) + (shift > 0 ? 1 : 0);
      own.count[0] = static_cast<uint64_t>(v);
      own.count[1] = static_cast<uint64_t>(Word2{v} >> 64);
      own.reciprocal = leading == 0 ? 0 : ~uint64_t{0} / leading;
      own.shift = static_cast<uint8_t>(shift);
      // The indices of this pair and all behind it: V + 4 E for p = k + 1.
      const U all = k == 0 ? U{1} : Start<U>(pair, k, k + 1);
      own.guide_shift = static_cast<uint8_t>(std::max(0, width(all - 1) - 6));
      int64_t p = 0;
      for (uint64_t i = 0; i < 64; ++i) {
        while (p < k && Load<U>(to + (p + 1) * words_, words_) <= (U{i} << own.guide_shift)) ++p;
        own.guide[i] = static_cast<uint16_t>(p);
      }
      if (own.count[1] != 0)
        narrow_pair_ = std::max(narrow_pair_, pair + 1);  // the next indices take two words
    }
  }
  if (words_ == 2) narrow_pair_ = std::max(narrow_pair_, 1);
}

constexpr int kTogether = 4;  // points whose chains of dependent steps overlap

// Hardly a branch depends on what is decoded. U holds the indices of the first pairs, one word those from
// narrow_pair_ on.
template <typename U, typename T>
void PyramidCodec::DecodeFour(const uint64_t* indices, T* y) const {
  constexpr int kWords = sizeof(U) / 8;
  const int pairs = dimension_ / 2;
  const int64_t row = int64_t{pulses_ + 2} * kWords;
  int64_t left[kTogether];
  // All ones for true: no compiler makes a jump of it.
  const auto mask = [](bool condition) { return -static_cast<int64_t>(condition); };
  const auto step = [&]<typename V>(V& index, int64_t& k, int pair, T* to) {
    const int64_t at = int64_t{pair} * (pulses_ + 1) + k;
    const uint64_t* const start = starts_.data() + at * row;
    const Row& here = rows_[static_cast<size_t>(at)];
    int64_t p = here.guide[static_cast<uint64_t>(index >> here.guide_shift) & 63];
    p -= mask(Load<V>(start + (p + 1) * kWords, kWords) <= index);
    while (Load<V>(start + (p + 1) * kWords, kWords) <= index) ++p;  // several starts in one 64th: rare
    const Row& behind = rows_[static_cast<size_t>(at - p)];
    const V count = Load<V>(behind.count, kWords), inside = index - Load<V>(start + p * kWords, kWords);
    // Without pulses the index passes as it is: t = 0, and turning (0, 0) changes nothing.
    const V value = inside >> (mask(p > 0) & 2);
    auto t = static_cast<uint64_t>(
        (Word2{static_cast<uint64_t>(value >> behind.shift)} * behind.reciprocal) >> 64);
    V rest = value - count * t;
    const int64_t more = mask(rest >= count);
    t -= static_cast<uint64_t>(more);
    index = rest - (count & static_cast<V>(more));
    k -= p;
    const auto r = static_cast<int64_t>(static_cast<uint64_t>(inside) & 3), odd = -(r & 1), sign = -(r >> 1);
    const auto b = static_cast<int64_t>(t), a = p - b;
    to[0] = static_cast<T>(((a ^ ((a ^ -b) & odd)) ^ sign) - sign);
    to[1] = static_cast<T>(((b ^ ((a ^ b) & odd)) ^ sign) - sign);
  };
  uint64_t narrow[kTogether];
  for (int g = 0; g < kTogether; ++g) {
    narrow[g] = indices[g * kWords];
    left[g] = pulses_;
  }
  int pair = 0;
  if constexpr (kWords == 2) {
    Word2 wide[kTogether];
    for (int g = 0; g < kTogether; ++g) wide[g] = Load<Word2>(indices + 2 * g, 2);
    for (; pair < narrow_pair_; ++pair) {
      for (int g = 0; g < kTogether; ++g) step(wide[g], left[g], pair, y + g * dimension_ + 2 * pair);
    }
    for (int g = 0; g < kTogether; ++g) narrow[g] = static_cast<uint64_t>(wide[g]);
  }
  for (; pair < pairs; ++pair) {
    for (int g = 0; g < kTogether; ++g) step(narrow[g], left[g], pair, y + g * dimension_ + 2 * pair);
  }
  if (dimension_ % 2 == 1) {
    for (int g = 0; g < kTogether; ++g)
      y[(g + 1) * dimension_ - 1] = static_cast<T>(narrow[g] == 0 ? left[g] : -left[g]);
  }
}

template <typename T>
void PyramidCodec::DecodeMany(std::span<const uint64_t> indices, std::span<T> y) const {
  const auto count = static_cast<int64_t>(indices.size()) / words_;
  if (static_cast<int64_t>(indices.size()) != count * words_ ||
      static_cast<int64_t>(y.size()) != count * dimension_)
    Fail("{} index words and {} coordinates do not make whole points of a pyramid with {} and {} each",
         indices.size(), y.size(), words_, dimension_);
  if (std::is_same_v<T, int8_t> && pulses_ > 127)
    Fail("coordinates of a pyramid with {} pulses do not fit bytes", pulses_);
  for (int64_t i = 0; i < count; ++i) CheckIndex(indices.data() + i * words_);
  int64_t i = 0;
  if (!starts_.empty()) {
    for (; i + kTogether <= count; i += kTogether) {
      const uint64_t* from = indices.data() + i * words_;
      T* to = y.data() + i * dimension_;
      words_ == 1 ? DecodeFour<uint64_t>(from, to) : DecodeFour<Word2>(from, to);
    }
  }
  std::vector<int16_t> one(static_cast<size_t>(dimension_));
  for (; i < count; ++i) {
    Decode(indices.subspan(static_cast<size_t>(i * words_), static_cast<size_t>(words_)), one);
    std::transform(one.begin(), one.end(), y.begin() + i * dimension_,
                   [](int16_t v) { return static_cast<T>(v); });
  }
}

template void PyramidCodec::DecodeMany(std::span<const uint64_t>, std::span<int8_t>) const;
template void PyramidCodec::DecodeMany(std::span<const uint64_t>, std::span<int16_t>) const;
template void PyramidCodec::DecodeMany(std::span<const uint64_t>, std::span<float>) const;

int PyramidPulses(int dimension, int bits) {
  if (dimension < 1 || dimension > 1024 || bits < 0 || bits > 16384)
    Fail("pulses for {} dimensions and {} bits: 1 to 1024 and 0 to 16384 are possible", dimension, bits);
  // Columns of V, from k - 1 to k: V(n, k) = V(n-1, k) + V(n-1, k-1) + V(n, k-1). One bit more than the limit
  // at most triples, so two words above it never overflow.
  const int64_t length = bits / 64 + 3;
  std::vector<uint64_t> v(static_cast<size_t>((dimension + 1) * length)), left(static_cast<size_t>(length)),
      old = left;
  for (int n = 0; n <= dimension; ++n) v[static_cast<size_t>(n * length)] = 1;
  for (int k = 1; k <= kMaxPulses; ++k) {
    std::copy_n(v.begin(), length, left.begin());
    std::fill_n(v.begin(), length, 0);
    for (int n = 1; n <= dimension; ++n) {
      uint64_t* own = v.data() + n * length;
      std::copy_n(own, length, old.begin());
      AddWords(own, own - length, length);
      AddWords(own, left.data(), length);
      std::swap(left, old);
    }
    if (CeilLog2(v.data() + dimension * length, length) > bits) return k - 1;
  }
  return kMaxPulses;
}

}  // namespace lowbit
