#include "lowbit/kernel/matmul.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

namespace lowbit {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

uint8_t* KernelScratch(size_t bytes) {
  thread_local Buffer<uint8_t> scratch;
  scratch.Reserve(bytes);
  return scratch.data();
}

PackedMatrix::PackedMatrix(const PackedFormat& f, int64_t r, int64_t c, const uint8_t* b, size_t size)
    : format(f), rows(r), cols(c), bytes(b), layout(f, r, c) {
  if (size < layout.bytes) {
    Fail("packed matrix {} of {} x {} has {} bytes, it needs {}", NameOf(format), rows, cols, size,
         layout.bytes);
  }
  if (format.alphabet) table = &CodeTableOf(*format.alphabet);
  if (format.scale == ScaleKind::kE4M3)
    std::memcpy(&tensor_scale, bytes + layout.tensor, sizeof tensor_scale);
}

void MatMulMany(std::span<const MatMulJob> jobs, const QuantizedActivations& x, ThreadPool& pool) {
  const int64_t tokens = x.tokens();
  if (tokens == 0) return;
  int64_t panels = 0;
  bool decode = tokens == 1;
  for (const MatMulJob& job : jobs) {
    if (job.w->cols != x.cols()) {
      Fail("matrix product: the matrix has {} columns, the activations {}", job.w->cols, x.cols());
    }
    if (!job.w->in_bytes()) {
      Fail("matrix product: the levels of {} do not fit bytes; it is multiplied in floats",
           NameOf(job.w->format));
    }
    panels += job.w->layout.panels;
    decode = decode && FindDecodeKernel(job.w->format) != nullptr;
  }
  // Decoding: few tasks, as their seams interrupt the streams from memory, yet several for each thread to
  // even out. Results do not depend on the cut.
  constexpr int64_t kTasksOfThread = 6, kMostPanels = 32;
  const int64_t share = panels / (pool.threads() * kTasksOfThread) / kDecodePanels * kDecodePanels;
  const int64_t step = decode ? std::clamp(share, kDecodePanels, kMostPanels) : kPrefillPanels;
  const int64_t blocks = CeilDiv(tokens, kTokenBlock);
  // Blocks of equal size, a multiple of 6 tokens (the widest register tile).
  const int64_t block = CeilDiv(CeilDiv(tokens, blocks), 6) * 6;
  int64_t tasks = 0;
  for (const MatMulJob& job : jobs) tasks += CeilDiv(job.w->layout.panels, step) * blocks;
  pool.Run(tasks, [&](int64_t task, int) {
    const MatMulJob* job = jobs.data();
    int64_t steps = CeilDiv(job->w->layout.panels, step);
    while (task >= steps * blocks) {
      task -= steps * blocks;
      steps = CeilDiv((++job)->w->layout.panels, step);
    }
    const PackedMatrix& w = *job->w;
    const int64_t panel = task % steps * step, panel_end = std::min(panel + step, w.layout.panels);
    const int64_t begin = task / steps * block, end = std::min(tokens, begin + block);
    if (begin >= end) return;
    if (decode) {
      FindDecodeKernel(w.format)(w, x, 0, panel, panel_end, job->y);
    } else {
      FindPrefillKernel(w.format)(w, x, begin, end, panel, job->y, job->y_stride);
    }
  });
}

void MatMul(const PackedMatrix& w, const QuantizedActivations& x, float* y, int64_t y_stride,
            ThreadPool& pool) {
  const MatMulJob job{&w, y, y_stride};
  MatMulMany({&job, 1}, x, pool);
}

}  // namespace lowbit
