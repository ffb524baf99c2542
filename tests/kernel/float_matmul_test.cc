#include "lowbit/kernel/float_matmul.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/kernel/targets.h"
#include "tests/kernel/random_matrix.h"

namespace lowbit {
namespace {

class FloatMatMul : public testing::Test {
 protected:
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};

// A matrix of `type` that starts at an odd address, as in a mapped file.
struct Stored {
  Stored(DType type, int64_t rows, int64_t cols, uint64_t seed)
      : bytes(SizeOf(type) * static_cast<size_t>(rows * cols) + 1), values(static_cast<size_t>(rows * cols)) {
    values = RandomFloats(rows * cols, seed);
    ConvertFromFloat(values.data(), rows * cols, type, bytes.data() + 1);
    ConvertToFloat(type, bytes.data() + 1, rows * cols, values.data());
    view = {type, rows, cols, bytes.data() + 1};
  }
  std::vector<uint8_t> bytes;
  std::vector<float> values;  // what is stored, in f32
  FloatMatrix view{};
};

TEST_F(FloatMatMul, AgreesWithDoubleOnEveryTargetAndShape) {
  ThreadPool pool(2);
  for (Target target : SupportedTargets()) {
    SetTarget(target);
    for (DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (const auto& [rows, cols] :
           {std::pair<int64_t, int64_t>{1, 1}, {3, 17}, {4, 1024}, {37, 1100}, {130, 64}}) {
        const Stored w(type, rows, cols, 1);
        for (int64_t tokens : {1, 2, 7, 13}) {
          const std::vector<float> x = RandomFloats(tokens * cols, 2);
          std::vector<float> y(static_cast<size_t>(tokens * rows), -1);
          MatMul(w.view, x.data(), tokens, cols, y.data(), rows, pool);
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t r = 0; r < rows; ++r) {
              double sum = 0, magnitude = 0;
              for (int64_t c = 0; c < cols; ++c) {
                const double p = static_cast<double>(w.values[r * cols + c]) * x[t * cols + c];
                sum += p;
                magnitude += std::abs(p);
              }
              ASSERT_NEAR(y[t * rows + r], sum, 1e-6 * magnitude)
                  << NameOf(target) << " " << rows << "x" << cols;
            }
          }
        }
      }
    }
  }
}

TEST_F(FloatMatMul, ATokenGivesTheSameBitsInAnyBatchAndOnAnyNumberOfThreads) {
  const int64_t rows = 150, cols = 1333, most = 130;
  for (DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
    const Stored w(type, rows, cols, 3);
    const std::vector<float> x = RandomFloats(most * cols, 4);
    for (Target target : SupportedTargets()) {
      SetTarget(target);
      ThreadPool one(1);
      std::vector<float> alone(static_cast<size_t>(most * rows));
      for (int64_t t = 0; t < most; ++t) {
        MatMul(w.view, x.data() + t * cols, 1, cols, alone.data() + t * rows, rows, one);
      }
      for (int threads : {1, 2, 7}) {
        ThreadPool pool(threads);
        for (int64_t tokens : {1, 2, 3, 16, 130}) {
          std::vector<float> y(static_cast<size_t>(tokens * rows));
          MatMul(w.view, x.data(), tokens, cols, y.data(), rows, pool);
          ASSERT_EQ(std::memcmp(y.data(), alone.data(), y.size() * 4), 0)
              << NameOf(target) << " T=" << tokens;
        }
      }
    }
  }
}

TEST_F(FloatMatMul, OtherTypesAreRefused) {
  ThreadPool pool(1);
  float x = 0, y = 0;
  EXPECT_THROW(MatMul(FloatMatrix{DType::kI8, 1, 1, &x}, &x, 1, 1, &y, 1, pool), Error);
}

TEST_F(FloatMatMul, HalfConversionsAgreeWithTheScalarOnes) {
  std::vector<uint16_t> all(65536);
  for (int i = 0; i < 65536; ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(all.size());
  for (Target target : SupportedTargets()) {
    SetTarget(target);
    ConvertToFloat(DType::kBF16, all.data(), 65536, wide.data());
    for (int i = 0; i < 65536; ++i) {
      if (!std::isnan(BF16ToFloat(all[i]))) {
        ASSERT_EQ(wide[i], BF16ToFloat(all[i]));
      }
    }
    ConvertToFloat(DType::kF16, all.data(), 65536, wide.data());
    for (int i = 0; i < 65536; ++i) {
      const float expected = F16ToFloat(all[i]);
      if (std::isfinite(expected)) {
        ASSERT_EQ(wide[i], expected) << NameOf(target) << " " << i;
      }
    }
  }
}

// The packed product with f32 activations.
TEST_F(FloatMatMul, PackedAgreesWithDoubleOnEveryTarget) {
  ThreadPool pool(2);
  for (const std::string& name : AllStoredFormats()) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {17, 300}, {33, 550}}) {
      const QuantizedMatrix m = RandomQuantized(PackedFormatOf(name), rows, cols, 3);
      const OwnedMatrix w(m);
      std::vector<float> row(static_cast<size_t>(cols));
      for (int64_t tokens : {1, 14}) {
        const std::vector<float> x = RandomFloats(tokens * cols, 5);
        for (Target target : SupportedTargets()) {
          SetTarget(target);
          std::vector<float> y(static_cast<size_t>(tokens * rows)), one = y;
          MatMulF32(w.view, x.data(), tokens, cols, y.data(), rows, pool);
          for (int64_t t = 0; t < tokens; ++t) {
            MatMulF32(w.view, x.data() + t * cols, 1, cols, one.data() + t * rows, rows, pool);
          }
          ASSERT_EQ(y, one) << "batches differ";
          for (int64_t r = 0; r < rows; ++r) {
            m.DequantizeRow(r, row.data());
            for (int64_t t = 0; t < tokens; ++t) {
              double sum = 0, magnitude = 0;
              for (int64_t c = 0; c < cols; ++c) {
                sum += static_cast<double>(row[c]) * x[t * cols + c];
                magnitude += std::abs(static_cast<double>(row[c]) * x[t * cols + c]);
              }
              ASSERT_NEAR(y[t * rows + r], sum, 2e-6 * magnitude) << name << " " << NameOf(target);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lowbit
