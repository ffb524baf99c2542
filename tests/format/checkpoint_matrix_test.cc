#include "lowbit/format/checkpoint_matrix.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/format/bit_packing.h"

namespace lowbit {
namespace {

using Version = GptqLayout::Version;

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

CheckpointMatrix RandomMatrix(int bits, int64_t rows, int64_t cols, int64_t groups, uint64_t seed) {
  Random random(seed);
  CheckpointMatrix m;
  m.bits = bits;
  m.rows = rows;
  m.cols = cols;
  m.groups = groups;
  const auto levels = uint64_t{1} << bits;
  for (int64_t k = 0; k < rows * cols; ++k) {
    const uint64_t end = random.Below(4);
    m.codes.push_back(static_cast<uint8_t>(end == 0 ? 0 : end == 1 ? levels - 1 : random.Below(levels)));
  }
  for (int64_t k = 0; k < rows * groups; ++k) {
    m.scales.push_back(F16ToFloat(FloatToF16(random.Uniform() + 0.01f)));
    m.zeros.push_back(static_cast<int32_t>(random.Below(levels)));
  }
  for (int64_t i = 0; i < cols; ++i)
    m.group.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(groups))));
  return m;
}

MemoryTensors Stored(const GptqTensors& t) {
  MemoryTensors source("some.safetensors");
  source.Add("l.qweight", DType::kI32, t.qweight_shape, BytesOf(t.qweight));
  source.Add("l.qzeros", DType::kI32, t.qzeros_shape, BytesOf(t.qzeros));
  source.Add("l.scales", DType::kF16, t.scales_shape, BytesOf(t.scales));
  source.Add("l.g_idx", DType::kI32, t.g_idx_shape, BytesOf(t.g_idx));
  return source;
}

void ExpectEqual(const CheckpointMatrix& a, const CheckpointMatrix& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.cols, b.cols);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
  EXPECT_EQ(a.zeros, b.zeros);
  EXPECT_EQ(a.group, b.group);
}

class GptqTest : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Bits, GptqTest, testing::Range(2, 9));

TEST_P(GptqTest, EveryVersionRoundTrips) {
  const int bits = GetParam();
  const CheckpointMatrix m = RandomMatrix(bits, 64, 96, 3, 1);
  for (Version version : {Version::kV1, Version::kV2, Version::kPlanar}) {
    const MemoryTensors source = Stored(PackGptq(m, version));
    ExpectEqual(ReadGptq(source, "l", {bits, version, -1}), m);
  }
}

TEST_P(GptqTest, QweightIsTheTransposedStream) {
  const int bits = GetParam();
  const CheckpointMatrix m = RandomMatrix(bits, 32, 64, 1, 2);
  const GptqTensors t = PackGptq(m, Version::kV2);
  EXPECT_EQ(t.qweight_shape, (std::vector<int64_t>{64 * bits / 32, 32}));
  for (int64_t o = 0; o < 32; ++o) {
    for (int64_t i = 0; i < 64; ++i) {
      for (int b = 0; b < bits; ++b) {
        const int64_t position = i * bits + b;
        const auto word = static_cast<uint32_t>(t.qweight[static_cast<size_t>(position / 32 * 32 + o)]);
        ASSERT_EQ(word >> (position % 32) & 1, m.codes[static_cast<size_t>(o * 64 + i)] >> b & 1u);
      }
    }
  }
}

TEST_P(GptqTest, ZeroPoint0SurvivesV1AtEveryField) {
  // v1 stores it as 2^b - 1; the neighbours must not notice, from v1 to v2 and back.
  const int bits = GetParam(), high = (1 << bits) - 1;
  for (int64_t field = 0; field < 32; ++field) {
    for (int32_t others : {1, high, 1 << (bits - 1)}) {
      CheckpointMatrix m = RandomMatrix(bits, 32, 32, 1, 3);
      m.zeros.assign(32, others);
      EXPECT_FALSE(HasZeroPoint0(m));
      m.zeros[static_cast<size_t>(field)] = 0;
      EXPECT_TRUE(HasZeroPoint0(m));
      const GptqTensors v1 = PackGptq(m, Version::kV1);
      const CheckpointMatrix read = ReadGptq(Stored(v1), "l", {bits, Version::kV1, -1});
      EXPECT_EQ(read.zeros, m.zeros);
      const GptqTensors v2 = PackGptq(read, Version::kV2);
      const CheckpointMatrix again = ReadGptq(Stored(v2), "l", {bits, Version::kV2, -1});
      EXPECT_EQ(again.zeros, m.zeros);
      EXPECT_EQ(PackGptq(again, Version::kV1).qzeros, v1.qzeros);
    }
  }
}

TEST(GptqTest, SymmetricFourBitWordsAreTheKnownOnes) {
  CheckpointMatrix m = RandomMatrix(4, 8, 8, 1, 4);
  m.zeros.assign(8, 8);
  EXPECT_EQ(static_cast<uint32_t>(PackGptq(m, Version::kV1).qzeros[0]), 0x77777777u);
  EXPECT_EQ(static_cast<uint32_t>(PackGptq(m, Version::kV2).qzeros[0]), 0x88888888u) << "a negative int32";
  m.codes.assign(64, 15);
  EXPECT_EQ(PackGptq(m, Version::kV2).qweight, std::vector<int32_t>(8, -1));
}

TEST(GptqTest, WithoutGroupIndicesGroupsFollowTheSize) {
  CheckpointMatrix m = RandomMatrix(4, 8, 40, 3, 5);
  GptqTensors t = PackGptq(m, Version::kV2);
  MemoryTensors source("some.safetensors");
  source.Add("l.qweight", DType::kI32, t.qweight_shape, BytesOf(t.qweight));
  source.Add("l.qzeros", DType::kI32, t.qzeros_shape, BytesOf(t.qzeros));
  source.Add("l.scales", DType::kF16, t.scales_shape, BytesOf(t.scales));
  const CheckpointMatrix read = ReadGptq(source, "l", {4, Version::kV2, 16});
  for (size_t i = 0; i < 40; ++i)
    EXPECT_EQ(read.group[i], static_cast<int32_t>(i / 16)) << "the last group is short";
  EXPECT_THROW(ReadGptq(source, "l", {4, Version::kV2, 32}), Error);
  EXPECT_THROW(ReadGptq(source, "l", {4, Version::kV2, -1}), Error);
  EXPECT_THROW(ReadGptq(source, "l", {3, Version::kV2, 16}), Error) << "5 rows are not runs of 3 words";
  EXPECT_THROW(ReadGptq(source, "l", {9, Version::kV2, 16}), Error);
  EXPECT_THROW(ReadGptq(source, "m", {4, Version::kV2, 16}), Error);
}

TEST(GptqTest, WrongTensorsAreNamed) {
  const CheckpointMatrix m = RandomMatrix(4, 8, 16, 2, 6);
  const GptqTensors t = PackGptq(m, Version::kV1);
  const auto expect = [&](MemoryTensors source, const std::string& message) {
    try {
      ReadGptq(source, "l", {4, Version::kV1, 8});
      ADD_FAILURE() << "expected " << message;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  };
  MemoryTensors bad = Stored(t);
  bad.Add("l.scales", DType::kF16, {8, 2}, BytesOf(t.scales));
  expect(std::move(bad), "l.scales is (8 x 2), (8 x 8)");
  bad = Stored(t);
  bad.Add("l.qzeros", DType::kI32, {1, 2}, BytesOf(t.qzeros));
  expect(std::move(bad), "l.qzeros is (1 x 2), (2 x 1)");
  bad = Stored(t);
  bad.Add("l.g_idx", DType::kI32, {16}, BytesOf(std::vector<int32_t>(16, 2)));
  expect(std::move(bad), "column 0 into group 2 of 2");
  bad = Stored(t);
  bad.Add("l.qweight", DType::kI64, {1, 8}, BytesOf(std::vector<int64_t>(8)));
  expect(std::move(bad), "l.qweight is I64");
}

TEST(GptqTest, ScalesThatDoNotFitF16Throw) {
  CheckpointMatrix m = RandomMatrix(4, 8, 8, 1, 7);
  for (float scale : {1e6f, 1e-9f, std::numeric_limits<float>::quiet_NaN()}) {
    m.scales[3] = scale;
    EXPECT_THROW(PackGptq(m, Version::kV2), Error);
  }
  m.scales[3] = 1;
  m.rows = 7;
  EXPECT_THROW(PackGptq(m, Version::kV2), Error) << "7 outputs do not fill words";
}

TEST(CheckpointMatrixTest, DequantizesByTheFormula) {
  const CheckpointMatrix m = RandomMatrix(5, 32, 32, 4, 8);
  const std::vector<float> w = Dequantize(m);
  for (size_t o = 0; o < 32; ++o) {
    for (size_t i = 0; i < 32; ++i) {
      const size_t g = o * 4 + static_cast<size_t>(m.group[i]);
      ASSERT_EQ(w[o * 32 + i], m.scales[g] * static_cast<float>(m.codes[o * 32 + i] - m.zeros[g]));
    }
  }
}

TEST(CheckpointMatrixTest, ReadsAwq) {
  CheckpointMatrix m = RandomMatrix(4, 16, 12, 3, 9);
  for (size_t i = 0; i < 12; ++i) m.group[i] = static_cast<int32_t>(i / 4);
  std::vector<int32_t> qweight(12 * 2), qzeros(3 * 2);
  std::vector<float> scales(3 * 16);
  // Written from the definition: field f of word w of row i is output 8 w + order[f].
  for (size_t w = 0; w < 2; ++w) {
    for (size_t f = 0; f < 8; ++f) {
      const size_t o = 8 * w + static_cast<size_t>(kAwqOrder[f]);
      for (size_t i = 0; i < 12; ++i) {
        qweight[i * 2 + w] |= static_cast<int32_t>(static_cast<uint32_t>(m.codes[o * 12 + i]) << (4 * f));
      }
      for (size_t g = 0; g < 3; ++g) {
        qzeros[g * 2 + w] |= static_cast<int32_t>(static_cast<uint32_t>(m.zeros[o * 3 + g]) << (4 * f));
        scales[g * 16 + o] = m.scales[o * 3 + g];
      }
    }
  }
  MemoryTensors source("some.safetensors");
  source.Add("l.qweight", DType::kI32, {12, 2}, BytesOf(qweight));
  source.Add("l.qzeros", DType::kI32, {3, 2}, BytesOf(qzeros));
  source.Add("l.scales", {3, 16}, scales);
  ExpectEqual(ReadAwq(source, "l"), m);
  source.Add("l.scales", {16, 3}, scales);
  EXPECT_THROW(ReadAwq(source, "l"), Error);
}

class CompressedTensorsTest : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Bits, CompressedTensorsTest, testing::Range(2, 9));

TEST_P(CompressedTensorsTest, ReadsStreamsAndFields) {
  const int bits = GetParam();
  const int64_t rows = 10, cols = 480, groups = 3, fields = 32 / bits;
  CheckpointMatrix m = RandomMatrix(bits, rows, cols, groups, 10);
  for (size_t i = 0; i < 480; ++i) m.group[i] = static_cast<int32_t>(i / 160);
  for (bool stream : {true, false}) {
    const int64_t words = stream ? (cols * bits + 31) / 32 : (cols + fields - 1) / fields;
    const int64_t zero_words = stream ? (rows * bits + 31) / 32 : (rows + fields - 1) / fields;
    std::vector<int32_t> packed(static_cast<size_t>(rows * words)),
        zeros(static_cast<size_t>(zero_words * groups));
    const auto put = [&](int32_t& first, int64_t stride, int64_t k, int code) {
      for (int b = 0; b < bits; ++b) {
        const int64_t position = stream ? k * bits + b : k / fields * 32 + k % fields * bits + b;
        (&first)[position / 32 * stride] |=
            static_cast<int32_t>(static_cast<uint32_t>(code >> b & 1) << (position % 32));
      }
    };
    for (int64_t o = 0; o < rows; ++o) {
      for (int64_t i = 0; i < cols; ++i) {
        put(packed[static_cast<size_t>(o * words)], 1, i, m.codes[static_cast<size_t>(o * cols + i)]);
      }
      for (int64_t g = 0; g < groups; ++g) {
        put(zeros[static_cast<size_t>(g)], groups, o, m.zeros[static_cast<size_t>(o * groups + g)]);
      }
    }
    MemoryTensors source("some.safetensors");
    source.Add("l.weight_packed", DType::kI32, {rows, words}, BytesOf(packed));
    source.Add("l.weight_shape", DType::kI64, {2}, BytesOf<int64_t>({rows, cols}));
    source.Add("l.weight_scale", {rows, groups}, m.scales);
    source.Add("l.weight_g_idx", DType::kI32, {cols}, BytesOf(std::vector<int32_t>(480, -1)));
    CheckpointMatrix symmetric = m;
    symmetric.zeros.assign(m.zeros.size(), 1 << (bits - 1));
    ExpectEqual(ReadCompressedTensors(source, "l", bits), symmetric);
    source.Add("l.weight_zero_point", DType::kI32, {zero_words, groups}, BytesOf(zeros));
    ExpectEqual(ReadCompressedTensors(source, "l", bits), m);
    std::vector<int8_t> plain;
    for (int32_t zero : m.zeros) plain.push_back(static_cast<int8_t>(zero - (1 << (bits - 1))));
    source.Add("l.weight_zero_point", DType::kI8, {rows, groups}, BytesOf(plain));
    ExpectEqual(ReadCompressedTensors(source, "l", bits), m);
    source.Add("l.weight_g_idx", DType::kI32, {cols}, BytesOf(std::vector<int32_t>(480, 2)));
    EXPECT_EQ(ReadCompressedTensors(source, "l", bits).group, std::vector<int32_t>(480, 2));
    for (const std::vector<int64_t>& lie :
         {std::vector<int64_t>{rows, int64_t{1} << 60}, {rows, -1}, {rows + 1, cols}}) {
      source.Add("l.weight_shape", DType::kI64, {2}, BytesOf(lie));
      EXPECT_THROW(ReadCompressedTensors(source, "l", bits), Error);
    }
  }
}

}  // namespace
}  // namespace lowbit
