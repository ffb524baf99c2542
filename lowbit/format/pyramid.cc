#include "lowbit/format/pyramid.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "lowbit/base/error.h"
#include "lowbit/base/log_gamma.h"

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
    return (LogGamma(a + 1) - LogGamma(b + 1) - LogGamma(a - b + 1)) / std::log(2.0);
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
}

void PyramidCodec::CheckIndex(const uint64_t* index) const {
  for (int i = words_ - 1; i >= 0; --i) {
    if (index[i] < count_[static_cast<size_t>(i)]) return;
    if (index[i] > count_[static_cast<size_t>(i)]) break;
  }
  Fail("an index of the pyramid of {} dimensions and {} pulses is not below the number of its points",
       dimension_, pulses_);
}

template <typename U>
U PyramidCodec::CountAs(int pair, int64_t k) const {
  return Load<U>(Sum(pair, k), words_) - Load<U>(Sum(pair, k - 1), words_);
}

// Calls f for the type that holds an index.
template <typename F>
void PyramidCodec::WithNumbers(F f) const {
  if (words_ == 1) {
    f.template operator()<uint64_t>();
  } else if (words_ == 2) {
    f.template operator()<Word2>();
  } else {
    f.template operator()<Big>();
  }
}

// E(n, k, p) = sum_{i=1}^{p-1} (A(n, k-i) - A(n, k-p)). Sums may pass the length of a number, differences do
// not.
template <typename U>
U PyramidCodec::StartAs(int pair, int64_t k, int64_t p) const {
  const auto a = [&](int64_t j) { return Load<U>(Sum(pair, j), words_); };
  const auto aa = [&](int64_t j) { return Load<U>(SumOfSums(pair, j), words_); };
  const U e = aa(k - 1) - aa(k - p) - a(k - p) * static_cast<uint64_t>(p - 1);
  return a(k) - a(k - 1) + e * 4;
}

std::vector<uint64_t> PyramidCodec::CountBehind(int pair, int64_t k) const {
  std::vector<uint64_t> number(static_cast<size_t>(words_));
  WithNumbers([&]<typename U>() { Store(CountAs<U>(pair, k), number.data()); });
  return number;
}

std::vector<uint64_t> PyramidCodec::Start(int pair, int64_t k, int64_t p) const {
  std::vector<uint64_t> number(static_cast<size_t>(words_));
  if (p > 0) WithNumbers([&]<typename U>() { Store(StartAs<U>(pair, k, p), number.data()); });
  return number;
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
      const U behind = CountAs<U>(pair, k);
      rest = StartAs<U>(pair, all, p) + (behind * t + rest) * 4 + Number<U>(r, words_);
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
  WithNumbers([&]<typename U>() { EncodeAs<U>(y, index.data()); });
}

template <typename U>
void PyramidCodec::DecodeAs(const uint64_t* index, int16_t* y) const {
  U rest = Load<U>(index, words_);
  int64_t k = pulses_;
  for (int pair = 0; pair < dimension_ / 2; ++pair, y += 2) {
    y[0] = y[1] = 0;
    if (k == 0 || rest < StartAs<U>(pair, k, 1)) continue;
    const int64_t p = LastNotAbove(1, k, rest, [&](int64_t i) { return StartAs<U>(pair, k, i); });
    rest = rest - StartAs<U>(pair, k, p);
    k -= p;
    const uint64_t r = LowWord(rest) & 3;
    rest = rest >> 2;
    const U behind = CountAs<U>(pair, k);
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
  WithNumbers([&]<typename U>() { DecodeAs<U>(index.data(), y.data()); });
}

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
