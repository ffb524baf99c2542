#include "lowbit/kernel/code_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

CodeAlphabet RandomAlphabet(int bits, bool trellis, uint64_t seed) {
  Random random(seed, 7);
  CodeAlphabet alphabet{.bits = bits, .trellis = trellis};
  for (uint8_t& level : alphabet.table) level = static_cast<uint8_t>(random.Below(128));
  alphabet.table[3] = 127;
  return alphabet;
}

std::vector<CodeAlphabet> AllAlphabets() {
  std::vector<CodeAlphabet> all;
  for (int bits = 1; bits <= 8; ++bits) all.push_back(RandomAlphabet(bits, false, 1));
  for (int bits = 1; bits <= 4; ++bits) all.push_back(RandomAlphabet(bits, true, 2));
  return all;
}

std::vector<uint8_t> RandomBytes(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<uint8_t> bytes(static_cast<size_t>(n));
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.Next32());
  return bytes;
}

TEST(CodePlanes, PackingIsUndone) {
  for (int bits = 1; bits <= 8; ++bits) {
    std::vector<uint8_t> codes = RandomBytes(5 * kCodeBlock, 3), back(codes.size());
    for (uint8_t& c : codes) c = static_cast<uint8_t>(c & ((1 << bits) - 1));
    std::vector<uint8_t> packed(static_cast<size_t>(CodeBytes(bits, 5)));
    PackCodes(bits, codes.data(), 5, packed.data());
    UnpackCodes(bits, packed.data(), 5, back.data());
    EXPECT_EQ(back, codes) << bits;
  }
  EXPECT_THROW(PackCodes(9, nullptr, 0, nullptr), Error);
}

// Of a trellis, a change of one bit reaches only the windows that hold it, at most 8 / width of them.
TEST(CodePlanes, ABitReachesOnlyItsWindows) {
  for (const int bits : {1, 2, 3, 4}) {
    CodeAlphabet alphabet = RandomAlphabet(bits, true, 4);
    for (size_t i = 0; i < 32; ++i) alphabet.table[i] = static_cast<uint8_t>(i);
    const int width = bits == 3 ? 2 : bits;
    std::vector<uint8_t> packed = RandomBytes(CodeBytes(bits, 1), 5), before(32), after(32);
    DecodeLevels(alphabet, packed.data(), 1, before.data());
    for (size_t bit = 0; bit < 32u * static_cast<unsigned>(width); ++bit) {
      packed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      DecodeLevels(alphabet, packed.data(), 1, after.data());
      packed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      int changed = 0;
      for (size_t j = 0; j < 32; ++j) changed += before[j] != after[j];
      EXPECT_GE(changed, 1) << bits;
      EXPECT_LE(changed, 8 / width) << bits;
    }
  }
}

TEST(ScanCodes, EveryTargetEqualsTheDefinition) {
  const Target before = CurrentTarget();
  for (const CodeAlphabet& alphabet : AllAlphabets()) {
    for (const int64_t blocks : {1, 3, 4, 24}) {
      const int64_t n = 25, queries = 6, stride = CodeBytes(alphabet.bits, blocks) + 4;
      const std::vector<uint8_t> packed = RandomBytes(n * stride, 6);
      std::vector<int8_t> query(static_cast<size_t>(queries * blocks * kCodeBlock));
      Random random(8);
      for (int8_t& q : query) q = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
      std::fill(query.begin(), query.begin() + blocks * kCodeBlock, int8_t{127});  // the extreme sum
      std::vector<int32_t> expected, sums(static_cast<size_t>(queries * n));
      std::vector<uint8_t> levels(static_cast<size_t>(blocks * kCodeBlock));
      for (int64_t r = 0; r < queries; ++r) {
        for (int64_t i = 0; i < n; ++i) {
          DecodeLevels(alphabet, packed.data() + i * stride, blocks, levels.data());
          int32_t sum = 0;
          for (size_t j = 0; j < levels.size(); ++j)
            sum += query[static_cast<size_t>(r) * levels.size() + j] * levels[j];
          expected.push_back(sum);
        }
      }
      for (const Target target : SupportedTargets()) {
        SetTarget(target);
        ScanCodes(alphabet, query.data(), queries, blocks, packed.data(), stride, n, sums.data());
        ASSERT_EQ(sums, expected) << NameOf(target) << ' ' << alphabet.bits << ' ' << alphabet.trellis;
      }
    }
  }
  SetTarget(before);
}

double Error2(const CodeAlphabet& alphabet, const std::vector<float>& y, const std::vector<uint8_t>& codes) {
  const int64_t blocks = static_cast<int64_t>(y.size()) / kCodeBlock;
  std::vector<uint8_t> packed(static_cast<size_t>(CodeBytes(alphabet.bits, blocks))), levels(y.size());
  PackCodes(alphabet.bits, codes.data(), blocks, packed.data());
  DecodeLevels(alphabet, packed.data(), blocks, levels.data());
  double sum = 0;
  for (size_t j = 0; j < y.size(); ++j) sum += (double{y[j]} - levels[j]) * (double{y[j]} - levels[j]);
  return sum;
}

// No change of one coordinate's code, nor of two neighbours', makes the error smaller by more than the
// rounding of costs; and sequences that a code can say exactly are found exactly.
TEST(TrellisEncode, FindsWhatItCanSayAndIsLocallyOptimal) {
  for (int bits = 1; bits <= 4; ++bits) {
    const CodeAlphabet alphabet = RandomAlphabet(bits, true, 10 + static_cast<uint64_t>(bits));
    constexpr int64_t kBlocks = 11;
    std::vector<uint8_t> packed = RandomBytes(CodeBytes(bits, kBlocks), 11), levels(kBlocks * kCodeBlock);
    DecodeLevels(alphabet, packed.data(), kBlocks, levels.data());
    std::vector<float> y(levels.begin(), levels.end());
    std::vector<uint8_t> codes(y.size());
    TrellisEncode(alphabet, y.data(), 1, kBlocks, codes.data());
    EXPECT_LT(Error2(alphabet, y, codes), 0.1 * static_cast<double>(y.size())) << bits;

    Random random(12);
    for (float& v : y) v = 64 + 30 * random.Normal();
    TrellisEncode(alphabet, y.data(), 1, kBlocks, codes.data());
    const double found = Error2(alphabet, y, codes);
    for (size_t j = 0; j < 2 * kCodeBlock; ++j) {
      for (int c = 0; c < 1 << bits; ++c) {
        std::vector<uint8_t> other = codes;
        other[j] = static_cast<uint8_t>(c);
        EXPECT_GE(Error2(alphabet, y, other), found - 2) << bits << ' ' << j;
      }
    }
  }
}

TEST(TrellisEncode, EveryTargetFindsTheSameCodes) {
  const Target before = CurrentTarget();
  for (int bits = 1; bits <= 4; ++bits) {
    const CodeAlphabet alphabet = RandomAlphabet(bits, true, 20);
    std::vector<float> y(5 * kCodeBlock);
    Random random(21);
    for (float& v : y) v = 64 + 40 * random.Normal();
    y[0] = 1e30f, y[1] = -1e30f;
    std::vector<uint8_t> first;
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      std::vector<uint8_t> codes(y.size());
      TrellisEncode(alphabet, y.data(), 5, 1, codes.data());
      if (first.empty()) first = codes;
      ASSERT_EQ(codes, first) << NameOf(target);
    }
  }
  SetTarget(before);
}

}  // namespace
}  // namespace lowbit
