#include "lowbit/kernel/pyramid_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

class PyramidDecoding : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};
INSTANTIATE_TEST_SUITE_P(Targets, PyramidDecoding, testing::ValuesIn(SupportedTargets()),
                         [](const auto& one) {
                           std::string name(NameOf(one.param));
                           std::erase(name, '-');
                           return name;
                         });

// Every type, any number of points, must give what PyramidCodec::Decode gives one by one.
void ExpectThePointsOfTheCodec(const PyramidDecoder& decoder, const std::vector<uint64_t>& indices) {
  const PyramidCodec& codec = decoder.codec();
  const auto words = static_cast<size_t>(codec.words()), width = static_cast<size_t>(codec.dimension());
  const size_t count = indices.size() / words;
  std::vector<int16_t> y(count * width), shorts(y.size());
  for (size_t i = 0; i < count; ++i)
    codec.Decode({indices.data() + i * words, words}, {y.data() + i * width, width});
  std::vector<float> floats(y.size());
  decoder.Decode<int16_t>(indices, shorts);
  decoder.Decode<float>(indices, floats);
  ASSERT_EQ(shorts, y) << codec.dimension() << " " << codec.pulses();
  ASSERT_TRUE(std::equal(y.begin(), y.end(), floats.begin()));
  if (codec.pulses() > 127) return;
  std::vector<int8_t> bytes(y.size());
  decoder.Decode<int8_t>(indices, bytes);
  ASSERT_TRUE(std::equal(y.begin(), y.end(), bytes.begin()));
}

TEST_P(PyramidDecoding, GivesEveryPointOfSmallPyramids) {
  for (int n = 1; n <= 7; ++n) {
    for (int k = 0; k <= 10; ++k) {
      const PyramidDecoder decoder(PyramidCodec(n, k));
      std::vector<uint64_t> indices(std::min<uint64_t>(decoder.codec().count()[0], 20000));
      std::iota(indices.begin(), indices.end(), 0);
      ExpectThePointsOfTheCodec(decoder, indices);
    }
  }
}

// A point of P(n, k) from k pulses thrown one by one on the coordinates from `first` on.
std::vector<int16_t> RandomPoint(int n, int k, int first, Random& random) {
  std::vector<int16_t> y(static_cast<size_t>(n));
  for (int pulse = 0; pulse < k; ++pulse)
    ++y[static_cast<size_t>(first) + random.Below(static_cast<uint64_t>(n - first))];
  for (int16_t& v : y) v = static_cast<int16_t>(random.Below(2) ? -v : v);
  return y;
}

// Adds the index, and those next to it that are indices.
void AppendWithNeighbours(const PyramidCodec& codec, std::vector<uint64_t> index, std::vector<uint64_t>& to) {
  const std::vector<uint64_t> count(codec.count().begin(), codec.count().end());
  const auto append = [&] {
    if (std::lexicographical_compare(index.rbegin(), index.rend(), count.rbegin(), count.rend()))
      to.insert(to.end(), index.begin(), index.end());
  };
  append();
  for (uint64_t& word : index) {
    if (++word != 0) break;
  }
  append();
  for (int i = 0; i < 2; ++i) {
    for (uint64_t& word : index) {
      if (word-- != 0) break;
    }
  }
  append();
}

TEST_P(PyramidDecoding, AgreesWithOneByOneAtAnySize) {
  Random random(1);
  const int sizes[][2] = {{8, 6},    {8, 16},   {8, 36},   {16, 4},    {16, 12},  {16, 27}, {16, 58},
                          {32, 22},  {32, 50},  {32, 105}, {33, 105},  {17, 58},  {64, 64}, {2, 127},
                          {1, 5},    {6, 300},  {4, 700},  {3, 20000}, {3, 1300}, {5, 511}, {256, 9},
                          {100, 28}, {101, 28}, {700, 9},  {1024, 5},  {9, 0},    {14, 200}};
  for (const auto& [n, k] : sizes) {
    const PyramidDecoder decoder(PyramidCodec(n, k));
    const PyramidCodec& codec = decoder.codec();
    std::vector<uint64_t> indices, index(static_cast<size_t>(codec.words()));
    for (int i = 0; i < 203; ++i) {
      // Some with few pulses or none at the front.
      codec.Encode(RandomPoint(n, k, i % 3 == 0 ? n * i / 256 : 0, random), index);
      AppendWithNeighbours(codec, index, indices);
    }
    for (uint64_t& word : index) word = 0;
    AppendWithNeighbours(codec, index, indices);
    AppendWithNeighbours(codec, {codec.count().begin(), codec.count().end()}, indices);
    ExpectThePointsOfTheCodec(decoder, indices);
  }
}

// Where p and t change, quotients are hardest to tell.
TEST_P(PyramidDecoding, AgreesAtTheStartsOfEveryPair) {
  const int sizes[][2] = {{8, 36}, {16, 58}, {32, 22}, {32, 50}, {32, 105}, {24, 40}, {7, 90}, {60, 20}};
  for (const auto& [n, k] : sizes) {
    const PyramidDecoder decoder(PyramidCodec(n, k));
    const PyramidCodec& codec = decoder.codec();
    std::vector<uint64_t> indices;
    for (int64_t p = 0; p <= k; ++p) AppendWithNeighbours(codec, codec.Start(0, k, p), indices);
    // The last pair has the other pulses: the index behind is 0, so that quotients divide evenly.
    for (int pair = 0; pair + 1 < n / 2; ++pair) {
      for (int p = 0; p <= k; ++p) {
        std::vector<int16_t> y(static_cast<size_t>(n));
        y[static_cast<size_t>(2 * pair)] = static_cast<int16_t>(p / 2);
        y[static_cast<size_t>(2 * pair + 1)] = static_cast<int16_t>(p / 2 - p);
        y[static_cast<size_t>(n - 2 + n % 2)] = static_cast<int16_t>(k - p);
        std::vector<uint64_t> index(static_cast<size_t>(codec.words()));
        codec.Encode(y, index);
        AppendWithNeighbours(codec, index, indices);
      }
    }
    ExpectThePointsOfTheCodec(decoder, indices);
  }
}

// The points of a batch neither depend on its size nor on its other points.
TEST_P(PyramidDecoding, DoesNotDependOnTheBatch) {
  Random random(2);
  for (const auto& [n, k] : {std::pair(16, 27), std::pair(32, 105), std::pair(15, 30)}) {
    const PyramidDecoder decoder(PyramidCodec(n, k));
    const auto words = static_cast<size_t>(decoder.codec().words()), width = static_cast<size_t>(n);
    const size_t count = 61;
    std::vector<uint64_t> indices(count * words);
    for (size_t i = 0; i < count; ++i)
      decoder.codec().Encode(RandomPoint(n, k, 0, random), {indices.data() + i * words, words});
    std::vector<int8_t> all(count * width);
    decoder.Decode<int8_t>(indices, all);
    for (size_t first = 0; first < count; first += 7) {
      for (size_t some = 0; first + some <= count; some += 5) {
        std::vector<int8_t> part(some * width);
        decoder.Decode<int8_t>({indices.data() + first * words, some * words}, part);
        ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + static_cast<int64_t>(first * width)));
      }
    }
  }
}

TEST_P(PyramidDecoding, RefusesWhatIsNotAnIndex) {
  const PyramidDecoder decoder(PyramidCodec(3, 4)), large(PyramidCodec(3, 128));
  uint64_t index = decoder.codec().count()[0];
  std::vector<int8_t> bytes(3);
  EXPECT_THROW(decoder.Decode<int8_t>({&index, 1}, bytes), Error);
  index = 0;
  decoder.Decode<int8_t>({&index, 1}, bytes);
  EXPECT_THROW(decoder.Decode<int8_t>({&index, 1}, {bytes.data(), 2}), Error);
  EXPECT_THROW(large.Decode<int8_t>({&index, 1}, bytes), Error);
}

}  // namespace
}  // namespace lowbit
