// What matmul.cc calls for the current target: the products of a few panels, written once for decoding (one
// token, codes unpacked on the fly) and once for prefill (codes unpacked once for many tokens).
#pragma once

#include <cstdint>

#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

inline constexpr int64_t kPrefillPanels = 2;  // panels whose unpacked chunk shares the L1 cache
inline constexpr int kTileTokens = 16;        // tokens of a product of tiles

// Tokens that reuse one unpacking: as many as leave their activations, of `columns` bytes, in a second-level
// cache.
constexpr int64_t TokenBlock(int64_t columns) {
  return columns <= 2048 ? 512 : 256;
}

// Panels that decoding kernels walk side by side where registers allow: thin streams (few bits, one number a
// group) come in fours. A range of so many panels, or a multiple, leaves none over.
constexpr int64_t DecodePanels(int bits, ScaleKind scale) {
  return bits <= 3 && scale == ScaleKind::kF16 ? 4 : 2;
}

// y[row], outliers included, for the panels [panel, end) of token `token`.
using DecodeKernel = void (*)(const PackedMatrix& w, const QuantizedActivations& x, int64_t token,
                              int64_t panel, int64_t end, float* y);
// y[t, row] for panels [panel, panel + kPrefillPanels) and tokens [begin, end), at most TokenBlock.
using PrefillKernel = void (*)(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin,
                               int64_t end, int64_t panel, float* y, int64_t y_stride);

// Null when the format has no decoding kernel of its own; prefill kernels take every valid format.
DecodeKernel FindDecodeKernel(const PackedFormat& format);
// The kernel for batches of `tokens` tokens: products of tiles want many.
PrefillKernel FindPrefillKernel(const PackedFormat& format, int64_t tokens);
// Tokens that this kernel multiplies in one step.
int64_t PrefillStep(const PackedFormat& format, int64_t tokens);

// The scalar target, and the reference for the others.
void PlainDecode(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                 int64_t end, float* y);
void PlainPrefill(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                  int64_t panel, float* y, int64_t y_stride);

}  // namespace lowbit
