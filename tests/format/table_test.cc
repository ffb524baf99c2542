#include "lowbit/format/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/alphabets.h"
#include "lowbit/format/byte_decode.h"
#include "lowbit/format/scalar_format.h"

namespace lowbit {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Every level, every midpoint and threshold, their neighbours, and random values around them.
std::vector<float> Probes(const Table& table) {
  std::vector<float> x = {0.0f, -0.0f, kInfinity, -kInfinity, 1e-38f, -1e-38f, 3e38f, -3e38f};
  for (float v : table.level) x.push_back(v);
  for (float v : table.threshold) x.push_back(v);
  for (size_t r = 0; r + 1 < table.level.size(); ++r) x.push_back((table.level[r] + table.level[r + 1]) / 2);
  for (size_t i = 0, n = x.size(); i < n; ++i) {
    x.push_back(std::nextafter(x[i], kInfinity));
    x.push_back(std::nextafter(x[i], -kInfinity));
  }
  Random random(3);
  for (int i = 0; i < 500; ++i) x.push_back(1.2f * table.MaxMagnitude() * (2 * random.Uniform() - 1));
  return x;
}

std::vector<std::string> Names() {
  return ScalarFormatNames();
}

class EveryTable : public testing::TestWithParam<std::string> {
 protected:
  const Alphabet alphabet_ = ParseScalarFormat(GetParam()).alphabet;
  const Table table_ = TableOf(alphabet_);
};

INSTANTIATE_TEST_SUITE_P(Names, EveryTable, testing::ValuesIn(Names()), [](const auto& one) {
  std::string name = one.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

TEST_P(EveryTable, IsInOrderAndItsCodesAreItsLevels) {
  ASSERT_EQ(table_.value.size(), size_t{1} << table_.bits);
  ASSERT_EQ(table_.threshold.size() + 1, table_.level.size());
  ASSERT_EQ(table_.code.size(), table_.level.size());
  for (int r = 0; r < table_.size(); ++r) {
    const auto i = static_cast<size_t>(r);
    EXPECT_EQ(std::bit_cast<uint32_t>(table_.value[table_.code[i]]),
              std::bit_cast<uint32_t>(table_.level[i]));
    // A level rounds to itself, and no threshold leaves its interval.
    EXPECT_EQ(RankOf(table_, table_.level[i]), r);
    if (i > 0) {
      EXPECT_LE(table_.level[i - 1], table_.threshold[i - 1]);
      EXPECT_LE(table_.threshold[i - 1], table_.level[i]);
    }
  }
  // Codes that rounding never gives decode to a level all the same (two's complement has one more).
  if (alphabet_.kind == AlphabetKind::kTwosComplement) return;
  for (float v : table_.value) {
    if (!std::isfinite(v)) continue;
    EXPECT_NE(std::find(table_.level.begin(), table_.level.end(), v), table_.level.end()) << v;
  }
}

TEST_P(EveryTable, RoundingIsMonotoneIdempotentAndTakesWhatItsThresholdSays) {
  std::vector<float> x = Probes(table_);
  // -0 before +0.
  std::sort(x.begin(), x.end(),
            [](float a, float b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); });
  int before = 0;
  for (float v : x) {
    const int rank = RankOf(table_, v);
    EXPECT_GE(rank, before);
    before = rank;
  }
  for (size_t i = 0; i < table_.threshold.size(); ++i) {
    const float t = table_.threshold[i];
    EXPECT_EQ(RankOf(table_, t), static_cast<int>(i) + 1) << t;
    if (!(table_.level[i] == 0 && table_.level[i + 1] == 0)) {
      EXPECT_EQ(RankOf(table_, std::nextafter(t, -kInfinity)), static_cast<int>(i)) << t;
    }
  }
}

// Powers, logarithms, nested integers and NF4 have boundaries of their own: still one of the two neighbours.
TEST_P(EveryTable, RoundsToTheNearestLevelOrToANeighbour) {
  using enum AlphabetKind;
  const bool nearest = alphabet_.kind != kPower && alphabet_.kind != kLog &&
                       alphabet_.kind != kNestedInteger && alphabet_.kind != kNormalFloat;
  for (float v : Probes(table_)) {
    if (std::isinf(v)) continue;
    const float got = table_.value[RoundToCode(table_, v)];
    if (nearest) {
      double best = 1e300;
      for (float level : table_.level) best = std::min(best, std::abs(static_cast<double>(v) - level));
      EXPECT_LE(std::abs(static_cast<double>(v) - got), best * (1 + 1e-15)) << v;
    } else {
      for (float level : table_.level)
        EXPECT_FALSE((got < level && level < v) || (v < level && level < got)) << v;
    }
  }
}

TEST_P(EveryTable, BytesDecodeWithinTheErrorTheyState) {
  for (const bool pair : {false, true}) {
    const ByteDecode decode = pair ? DecodeToBytePairs(table_) : DecodeToBytes(table_);
    EXPECT_LE(decode.error, (pair ? 1 / 32638.0 : 1 / 254.0) * (1 + 1e-9));
    for (size_t c = 0; c < table_.value.size(); ++c) {
      if (!std::isfinite(table_.value[c])) continue;
      const double error =
          std::abs(decode.Value(static_cast<uint8_t>(c)) - table_.value[c]) / table_.MaxMagnitude();
      if (decode.exact()) {
        EXPECT_EQ(decode.Value(static_cast<uint8_t>(c)), static_cast<double>(table_.value[c]));
      } else {
        EXPECT_LE(error, decode.error * (1 + 1e-12));
      }
      if (pair) {
        EXPECT_TRUE(decode.low[c] >= -64 && decode.low[c] <= 63);
      }
    }
  }
}

TEST_P(EveryTable, StochasticRoundingIsUnbiasedAndStaysBetweenNeighbours) {
  Random random(5);
  constexpr size_t kDraws = 40000;
  std::vector<float> x(kDraws);
  std::vector<uint8_t> codes(kDraws);
  for (int trial = 0; trial < 3; ++trial) {
    const float low = table_.level.front(), high = table_.level.back();
    const float v = low + (high - low) * (0.05f + 0.9f * random.Uniform());
    std::fill(x.begin(), x.end(), v);
    RoundStochastically(table_, x, 1.0f, {.seed = 9, .stream = static_cast<uint64_t>(trial)}, codes);
    const auto above = std::upper_bound(table_.level.begin(), table_.level.end(), v);
    const double a = *(above - 1), b = *above;
    double sum = 0;
    for (uint8_t c : codes) {
      ASSERT_TRUE(table_.value[c] == *above || table_.value[c] == *(above - 1));
      sum += table_.value[c];
    }
    const double deviation = std::sqrt((v - a) * (b - v) / kDraws);
    EXPECT_LE(std::abs(sum / kDraws - v), 5 * deviation + 1e-6 * std::abs(v));
  }
}

TEST(Table, StochasticDrawsDoNotDependOnTheOrder) {
  const Table table = IntegerTable(4);
  Random random(1);
  std::vector<float> x(101);
  for (float& v : x) v = 8 * (2 * random.Uniform() - 1);
  std::vector<uint8_t> all(x.size()), parts(x.size());
  RoundStochastically(table, x, 0.7f, {.seed = 4, .stream = 2}, all);
  for (size_t at = 0; at < x.size(); at += 7) {
    const size_t n = std::min<size_t>(7, x.size() - at);
    RoundStochastically(table, std::span(x).subspan(at, n), 0.7f, {.seed = 4, .stream = 2, .first = at},
                        std::span(parts).subspan(at, n));
  }
  EXPECT_EQ(all, parts);
}

TEST(Table, TiesGoWhereTheRuleSays) {
  const std::vector<CodedLevel> levels = {{-1, 0}, {0, 1}, {1, 2}, {3, 3}};
  const auto at = [&](Ties ties) {
    const Table table = NearestTable(2, levels, ties);
    std::vector<float> out;
    for (float x : {-0.5f, 0.5f, 2.0f}) out.push_back(table.value[RoundToCode(table, x)]);
    return out;
  };
  EXPECT_EQ(at(Ties::kEvenCode), (std::vector<float>{-1, 1, 1}));
  EXPECT_EQ(at(Ties::kAway), (std::vector<float>{-1, 1, 3}));
  EXPECT_EQ(at(Ties::kToZero), (std::vector<float>{0, 0, 1}));
  EXPECT_EQ(at(Ties::kUp), (std::vector<float>{0, 1, 3}));
  EXPECT_EQ(at(Ties::kDown), (std::vector<float>{-1, 0, 1}));
}

// Levels 2^29 ulps apart: the midpoint needs more bits than a double has.
TEST(Table, MidpointsAreExact) {
  const float a = 0x1p-60f, b = 1.0f;
  const Table table = NearestTable(1, {{a, 0}, {b, 1}}, Ties::kDown);
  EXPECT_EQ(table.threshold[0], std::nextafter(0.5f, 1.0f));
  EXPECT_EQ(RoundToCode(table, 0.5f), 0);
}

TEST(Table, NanTakesTheCodeOfNanOrZero) {
  EXPECT_EQ(RoundToCode(IntegerTable(4), NAN), 8);
  EXPECT_EQ(RoundToCode(TableOf(ParseScalarFormat("e4m3").alphabet), NAN), 0x7f);
  EXPECT_EQ(RoundToCode(TableOf(ParseScalarFormat("e5m2").alphabet), NAN), 0x7e);
  EXPECT_EQ(RoundToCode(TableOf(ParseScalarFormat("e2m1").alphabet), NAN), 0);
}

TEST(Table, RefusesWhatIsNoTable) {
  EXPECT_THROW(NearestTable(0, {{0, 0}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(9, {{0, 0}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {{0, 0}, {1, 1}, {2, 2}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {{0, 2}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {{0, 0}, {1, 0}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {{1, 0}, {1, 1}}, Ties::kUp), Error);
  EXPECT_THROW(NearestTable(1, {{kInfinity, 0}}, Ties::kUp), Error);
  EXPECT_THROW(BoundedTable(1, {{0, 0}, {1, 1}}, std::vector<Boundary>{{2, true}}), Error);
  EXPECT_THROW(BoundedTable(1, {{0, 0}, {1, 1}}, std::vector<Boundary>{}), Error);
}

}  // namespace
}  // namespace lowbit
