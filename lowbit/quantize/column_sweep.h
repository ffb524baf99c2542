// The column sweep: quantize the columns of W (R, C) one after another and let the columns not yet quantized
// repair the error of those that are.                                                            [GPTQ,
// solve]
//
// With U the upper Cholesky factor of the inverse damped Hessian (inverse_factor.h), for each column i in
// order:
//   q_i = quantize(w_i),   e_i = (w_i - q_i) / U_ii,   w_j -= e_i U_ij  for j > i.
// Hence W - Q = E U exactly, and sum E^2 = tr((W - Q) Hd (W - Q)^T): half of it is the reported loss.
//
// The grid is a plug-in. It sees, at the start of each group, the *live* weights of the whole group, i.e.
// after every update of all columns before it (the reference fits stale ones when a group is shorter than a
// block).
//
// How it is computed: rows are independent, so each task of the pool owns a tile of rows from first to last
// column and no thread waits for another. Inside a tile, columns are contiguous over rows (lane_kernels.h)
// and updates are lazy on two levels: within a block of `block` columns one by one in L1; from a block to the
// rest of its panel by a matrix product; from all earlier panels to the next panel by one deep product when
// the panel is reached. Tile and panel sizes depend on shapes alone. Any block size gives the same result up
// to rounding.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/base/blas.h"
#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/lane_kernels.h"

namespace lowbit {

// Live weights of kLanes rows (row ... row + kLanes - 1) and of one group's columns begin ... end - 1 in
// sweep order: element (r, c) at data[(c - begin) * stride + r]. Rows past the end of the matrix are zero.
template <typename T>
struct LiveColumns {
  const T* data;
  int64_t stride;
  int64_t row;
  int64_t begin, end;
};

// What the sweep asks of a grid. Both are called from several threads, for disjoint rows.
template <typename Q, typename T>
concept GroupQuantizer = requires(Q q, const LiveColumns<T>& live, int64_t index, const T* w, T* out) {
  q.BeginGroup(live);                     // fit on the live weights
  q.Quantize(index, index, w, out, out);  // (column, row, w, value, code): kLanes rows; code in 0 ... 255
};

struct SweepOptions {
  int64_t block = 128;  // columns updated eagerly; a matter of speed only
};

// What a sweep reports besides the codes.
struct SweepResult {
  std::vector<double> row_loss;  // (R) sum over columns of e^2 / 2
  double loss = 0;               // their sum
};

// out[c * stride + r] = w(row + r, order[c]) for r < lanes, zero past the last row; an empty order is the
// natural one.
template <typename T>
void GatherColumns(MatrixView<const T> w, std::span<const int32_t> order, int64_t row, int64_t lanes,
                   int64_t stride, T* out) {
  const int64_t rows = std::min(lanes, w.rows - row);
  constexpr int64_t kEdge = 16;  // one cache line of floats from each row, written as runs over rows
  for (int64_t c0 = 0; c0 < w.cols; c0 += kEdge) {
    const int64_t c1 = std::min(w.cols, c0 + kEdge);
    for (int64_t r = 0; r < rows; ++r) {
      const T* in = w.Row(row + r);
      for (int64_t c = c0; c < c1; ++c)
        out[c * stride + r] = in[order.empty() ? c : order[static_cast<size_t>(c)]];
    }
    for (int64_t c = c0; c < c1; ++c) std::fill(out + c * stride + rows, out + c * stride + lanes, T(0));
  }
}

// `w` (R, C) in the layer's column order; `u` (C, C) in sweep order; `order` (C) gives the layer's column of
// each sweep position (empty: natural). `group_begin` holds the first sweep position of each group, ascending
// from 0. `codes` (R, C) is written in the layer's order. `errors`, if it has data, receives E (R, C) in
// sweep order.
template <typename T, GroupQuantizer<T> Quantizer>
SweepResult ColumnSweep(MatrixView<const T> w, MatrixView<const T> u, std::span<const int32_t> order,
                        std::span<const int64_t> group_begin, const SweepOptions& options,
                        Quantizer& quantizer, std::span<uint8_t> codes, MatrixView<T> errors = {},
                        ThreadPool& pool = ThreadPool::Global());

// ---- Implementation
// ------------------------------------------------------------------------------------------

namespace sweep {

// A run of columns with one boundary rule for each level of laziness.
struct Block {
  int64_t begin, end;    // columns
  size_t group, groups;  // the groups that start inside: group ... group + groups - 1
};
struct Panel {
  int64_t begin, end;
  std::vector<Block> blocks;
};

// No group straddles a block or a panel it does not start: a group's live weights must be complete when it
// starts. Group 0 starts before any error exists and may be cut anywhere.
std::vector<Panel> PlanPanels(int64_t columns, std::span<const int64_t> group_begin, int64_t block);

// Rows of one task: enough tasks for many cores, tall enough for the matrix products.
int64_t TileRows(int64_t rows);

}  // namespace sweep

template <typename T, GroupQuantizer<T> Quantizer>
SweepResult ColumnSweep(MatrixView<const T> w, MatrixView<const T> u, std::span<const int32_t> order,
                        std::span<const int64_t> group_begin, const SweepOptions& options,
                        Quantizer& quantizer, std::span<uint8_t> codes, MatrixView<T> errors,
                        ThreadPool& pool) {
  const int64_t rows = w.rows, columns = w.cols;
  if (u.rows != columns || u.cols != columns || static_cast<int64_t>(codes.size()) != rows * columns) {
    Fail("column sweep: W is ({}, {}), U ({}, {}), codes {}", rows, columns, u.rows, u.cols, codes.size());
  }
  RequireBlas();
  const std::vector<sweep::Panel> panels = sweep::PlanPanels(columns, group_begin, options.block);
  const auto group_end = [&](size_t g) { return g + 1 < group_begin.size() ? group_begin[g + 1] : columns; };
  const LaneKernels<T>& lanes = Lanes<T>();
  SweepResult result;
  result.row_loss.assign(static_cast<size_t>(rows), 0.0);

  const int64_t tile_rows = sweep::TileRows(rows);
  // One spare cache line a column keeps the columns of a strip out of each other's L1 sets.
  const int64_t stride = tile_rows + static_cast<int64_t>(64 / sizeof(T));
  struct Workspace {
    Buffer<T> tile;         // (C, stride) live weights; a column turns into its error E once it is quantized
    Buffer<T> strip, code;  // (block, kLanes)
  };
  std::vector<Workspace> workspaces(static_cast<size_t>(pool.threads()));

  pool.Run((rows + tile_rows - 1) / tile_rows, [&](int64_t task, int worker) {
    Workspace& work = workspaces[static_cast<size_t>(worker)];
    work.tile.Reserve(static_cast<size_t>(columns * stride));
    work.strip.Reserve(static_cast<size_t>(options.block * kLanes));
    work.code.Reserve(static_cast<size_t>(options.block * kLanes));
    const int64_t row0 = task * tile_rows;
    const int64_t height = (std::min(tile_rows, rows - row0) + kLanes - 1) / kLanes * kLanes;
    const MatrixView<T> tile(work.tile.data(), columns, height, stride);
    GatherColumns(w, order, row0, height, stride, tile.data);

    for (const sweep::Panel& panel : panels) {
      if (panel.begin > 0) {
        SerialGemm<T>(Transpose::kYes, Transpose::kNo, T(-1),
                      u.Block(0, panel.begin, panel.begin, panel.end - panel.begin),
                      tile.Block(0, 0, panel.begin, height), T(1),
                      tile.Block(panel.begin, 0, panel.end - panel.begin, height));
      }
      for (const sweep::Block& block : panel.blocks) {
        const int64_t width = block.end - block.begin;
        for (int64_t r0 = 0; r0 < height; r0 += kLanes) {
          T* strip = work.strip.data();
          const int64_t row = row0 + r0;
          for (int64_t c = 0; c < width; ++c) {
            std::copy_n(tile.Row(block.begin + c) + r0, kLanes, strip + c * kLanes);
          }
          double loss[kLanes] = {};
          size_t group = block.group;
          for (int64_t c = block.begin; c < block.end; ++c) {
            T* const column = strip + (c - block.begin) * kLanes;
            if (group < block.group + block.groups && group_begin[group] == c) {
              const int64_t end = group_end(group++);
              if (end <= block.end) {
                quantizer.BeginGroup(LiveColumns<T>{column, kLanes, row, c, end});
              } else {  // starts with the block, where strip and tile agree
                quantizer.BeginGroup(LiveColumns<T>{tile.Row(c) + r0, stride, row, c, end});
              }
            }
            T value[kLanes], error[kLanes];
            quantizer.Quantize(c, row, column, value, work.code.data() + (c - block.begin) * kLanes);
            lanes.spread(column, value, u(c, c), u.Row(c) + c + 1, block.end - c - 1, error, column + kLanes);
            for (int r = 0; r < kLanes; ++r)
              loss[r] += static_cast<double>(error[r]) * static_cast<double>(error[r]);
            std::copy_n(error, kLanes, tile.Row(c) + r0);
          }
          const int64_t valid = std::min<int64_t>(kLanes, rows - row);
          for (int64_t r = 0; r < valid; ++r) {
            result.row_loss[static_cast<size_t>(row + r)] += loss[r] / 2;
            uint8_t* out = codes.data() + (row + r) * columns;
            const T* code = work.code.data() + r;
            for (int64_t c = 0; c < width; ++c) {
              const int64_t at = block.begin + c;
              out[order.empty() ? at : order[static_cast<size_t>(at)]] =
                  static_cast<uint8_t>(static_cast<int32_t>(code[c * kLanes]));
            }
          }
        }
        if (block.end < panel.end) {
          SerialGemm<T>(Transpose::kYes, Transpose::kNo, T(-1),
                        u.Block(block.begin, block.end, width, panel.end - block.end),
                        tile.Block(block.begin, 0, width, height), T(1),
                        tile.Block(block.end, 0, panel.end - block.end, height));
        }
      }
    }
    if (errors.data != nullptr) {
      for (int64_t r = 0; r < std::min(height, rows - row0); ++r) {
        for (int64_t c = 0; c < columns; ++c) errors(row0 + r, c) = tile(c, r);
      }
    }
  });
  for (const double loss : result.row_loss) result.loss += loss;
  return result;
}

}  // namespace lowbit
