// Plain rounding with a group quantizer (column_sweep.h): the grid of every group is fitted on the weights as
// they are, and every weight takes its code. No error is fed back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/column_sweep.h"

namespace lowbit {

// Groups of w (R, C) begin at `group_begin` (ascending, the last ends at C). Strips of rows in parallel.
// `codes` (R, C), or null when only the fits are wanted.
template <typename T, GroupQuantizer<T> Q>
void RoundGroups(MatrixView<const T> w, std::span<const int64_t> group_begin, Q& quantizer, uint8_t* codes,
                 ThreadPool& pool) {
  pool.Run((w.rows + kLanes - 1) / kLanes, [&](int64_t strip, int) {
    const int64_t row = strip * kLanes, valid = std::min<int64_t>(kLanes, w.rows - row);
    Buffer<T> x(static_cast<size_t>(w.cols * kLanes));
    GatherColumns<T>(w, {}, row, kLanes, kLanes, x.data());
    for (size_t g = 0; g < group_begin.size(); ++g) {
      const int64_t begin = group_begin[g], end = g + 1 < group_begin.size() ? group_begin[g + 1] : w.cols;
      quantizer.BeginGroup({x.data() + begin * kLanes, kLanes, row, begin, end});
      for (int64_t c = begin; codes != nullptr && c < end; ++c) {
        T value[kLanes], code[kLanes];
        quantizer.Quantize(c, row, x.data() + c * kLanes, value, code);
        for (int64_t r = 0; r < valid; ++r) codes[(row + r) * w.cols + c] = static_cast<uint8_t>(code[r]);
      }
    }
  });
}

}  // namespace lowbit
