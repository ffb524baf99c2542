#include "lowbit/quantize/ggml_grid.h"

#include <algorithm>

namespace lowbit {
namespace {

constexpr GgmlGrid kGrids[] = {
    // type, name, block, sub, code_max, code_zero, scale_min, scale_max, min_max
    {GgmlGridType::kQ4_0, "Q4_0", 32, 32, 15, 8, 1, 1, 0},
    {GgmlGridType::kQ4_1, "Q4_1", 32, 32, 15, 0, 1, 1, 1},
    {GgmlGridType::kQ5_0, "Q5_0", 32, 32, 31, 16, 1, 1, 0},
    {GgmlGridType::kQ5_1, "Q5_1", 32, 32, 31, 0, 1, 1, 1},
    {GgmlGridType::kQ8_0, "Q8_0", 32, 32, 254, 127, 1, 1,
     0},  // -128 is never used: kernels may need |q| <= 127
    {GgmlGridType::kQ2_K, "Q2_K", 256, 16, 3, 0, 0, 15, 15},
    {GgmlGridType::kQ3_K, "Q3_K", 256, 16, 7, 4, -32, 31, 0},
    {GgmlGridType::kQ4_K, "Q4_K", 256, 32, 15, 0, 0, 63, 63},
    {GgmlGridType::kQ5_K, "Q5_K", 256, 32, 31, 0, 0, 63, 63},
    {GgmlGridType::kQ6_K, "Q6_K", 256, 16, 63, 32, -128, 127, 0},
};

}  // namespace

const GgmlGrid& GridOf(GgmlGridType type) {
  return kGrids[static_cast<size_t>(type)];
}

GgmlBlockCodes GgmlCodes::Block(int64_t row, int64_t block) const {
  const GgmlGrid& grid = GridOf(type);
  const int64_t subs = grid.block / grid.sub, at = row * (cols / grid.block) + block;
  GgmlBlockCodes b{};
  std::copy_n(codes.begin() + row * cols + block * grid.block, grid.block, b.codes.begin());
  std::copy_n(scale.begin() + at * subs, subs, b.scale.begin());
  std::copy_n(min.begin() + at * subs, subs, b.min.begin());
  b.d = d[static_cast<size_t>(at)];
  b.dmin = dmin[static_cast<size_t>(at)];
  return b;
}

std::vector<float> Dequantize(const GgmlCodes& m) {
  const GgmlGrid& grid = GridOf(m.type);
  std::vector<float> values(m.codes.size());
  const int64_t blocks = m.cols / grid.block, subs = m.cols / grid.sub;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t s = 0; s < subs; ++s) {
      const size_t block = static_cast<size_t>(r * blocks + s * grid.sub / grid.block),
                   sub = static_cast<size_t>(r * subs + s);
      const float scale = m.d[block] * static_cast<float>(m.scale[sub]);
      const float offset = m.dmin[block] * static_cast<float>(m.min[sub]);
      for (int64_t c = s * grid.sub; c < (s + 1) * grid.sub; ++c) {
        const size_t i = static_cast<size_t>(r * m.cols + c);
        values[i] = scale * static_cast<float>(m.codes[i] - grid.code_zero) - offset;
      }
    }
  }
  return values;
}

}  // namespace lowbit
