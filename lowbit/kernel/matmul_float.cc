// Packed weights times f32 activations: rows are expanded to f32 a panel at a time and multiplied as floats.
#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/kernel/float_matmul.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/kernel/units.h"

namespace lowbit {

void MatMulF32(const PackedMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
               int64_t y_stride, ThreadPool& pool) {
  pool.Run(w.layout.panels, [&](int64_t panel, int) {
    const int64_t begin = panel * kPanelRows, end = std::min(w.rows, begin + kPanelRows);
    auto* rows =
        reinterpret_cast<float*>(KernelScratch(static_cast<size_t>((end - begin) * w.cols) * sizeof(float)));
    DequantizeRows(w, begin, end, rows);
    const FloatMatrix expanded{DType::kF32, end - begin, w.cols, reinterpret_cast<const uint8_t*>(rows)};
    MatMulFloat(expanded, x, tokens, x_stride, y + begin, y_stride, pool);  // inline: this is a task already
  });
}

}  // namespace lowbit
