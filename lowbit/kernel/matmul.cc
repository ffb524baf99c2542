#include "lowbit/kernel/matmul.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

namespace lowbit {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Decoding kernels take panels in units of this many; only the last unit of a matrix may have fewer.
int64_t UnitOf(const PackedMatrix& w) {
  return DecodePanels(w.format.bits, w.format.scale);
}

// One token. Long ranges of panels, as their seams interrupt the streams from memory. Results do not depend
// on the cut.
void Decode(std::span<const MatMulJob> jobs, const QuantizedActivations& x, ThreadPool& pool) {
  int64_t units = 0;
  for (const MatMulJob& job : jobs) units += CeilDiv(job.w->layout.panels, UnitOf(*job.w));
  pool.RunRanges(units, [&](int64_t begin, int64_t end, int) {
    for (const MatMulJob& job : jobs) {
      const PackedMatrix& w = *job.w;
      const int64_t unit = UnitOf(w), own = CeilDiv(w.layout.panels, unit);
      const int64_t first = std::max<int64_t>(begin, 0), last = std::min(end, own);
      if (first < last) {
        FindDecodeKernel(w.format)(w, x, 0, first * unit, std::min(last * unit, w.layout.panels), job.y);
      }
      begin -= own;
      end -= own;
    }
  });
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
  bool decode = tokens == 1;
  for (const MatMulJob& job : jobs) {
    if (job.w->cols != x.cols()) {
      Fail("matrix product: the matrix has {} columns, the activations {}", job.w->cols, x.cols());
    }
    if (!job.w->in_bytes()) {
      Fail("matrix product: the levels of {} do not fit bytes; it is multiplied in floats",
           NameOf(job.w->format));
    }
    decode = decode && FindDecodeKernel(job.w->format) != nullptr;
  }
  if (decode) return Decode(jobs, x, pool);
  const int64_t blocks = CeilDiv(tokens, TokenBlock(x.padded()));
  // Blocks of equal size, in whole steps of every kernel.
  int64_t step = 1;
  for (const MatMulJob& job : jobs) step = std::lcm(step, PrefillStep(job.w->format, tokens));
  const int64_t block = CeilDiv(CeilDiv(tokens, blocks), step) * step;
  int64_t tasks = 0;
  for (const MatMulJob& job : jobs) tasks += CeilDiv(job.w->layout.panels, kPrefillPanels) * blocks;
  pool.Run(tasks, [&](int64_t task, int) {
    const MatMulJob* job = jobs.data();
    int64_t steps = CeilDiv(job->w->layout.panels, kPrefillPanels);
    while (task >= steps * blocks) {
      task -= steps * blocks;
      steps = CeilDiv((++job)->w->layout.panels, kPrefillPanels);
    }
    const PackedMatrix& w = *job->w;
    const int64_t panel = task % steps * kPrefillPanels;
    const int64_t begin = task / steps * block, end = std::min(tokens, begin + block);
    if (begin < end) FindPrefillKernel(w.format, tokens)(w, x, begin, end, panel, job->y, job->y_stride);
  });
}

void MatMul(const PackedMatrix& w, const QuantizedActivations& x, float* y, int64_t y_stride,
            ThreadPool& pool) {
  const MatMulJob job{&w, y, y_stride};
  MatMulMany({&job, 1}, x, pool);
}

}  // namespace lowbit
