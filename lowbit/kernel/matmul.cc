#include "lowbit/kernel/matmul.h"

#include <algorithm>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/kernel/units.h"

namespace lowbit {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Two or three tokens still decode faster than they unpack.
constexpr int64_t kDecodeTokens = 1;

}  // namespace

uint8_t* KernelScratch(size_t bytes) {
  thread_local Buffer<uint8_t> scratch;
  scratch.Reserve(bytes);
  return scratch.data();
}

PackedMatrix::PackedMatrix(const IntegerFormat& f, int64_t r, int64_t c, const uint8_t* b, size_t size)
    : format(f), rows(r), cols(c), bytes(b), layout(f, r, c) {
  if (size < layout.bytes) {
    Fail("packed matrix {} of {} x {} has {} bytes, it needs {}", NameOf(format), rows, cols, size,
         layout.bytes);
  }
}

void MatMulMany(std::span<const MatMulJob> jobs, const QuantizedActivations& x, ThreadPool& pool) {
  const int64_t tokens = x.tokens();
  if (tokens == 0) return;
  const bool decode = tokens <= kDecodeTokens;
  const int64_t panels = decode ? kDecodePanels : kPrefillPanels;
  const int64_t blocks = decode ? tokens : CeilDiv(tokens, kTokenBlock);
  // Blocks of equal size, a multiple of 6 tokens (the widest register tile).
  const int64_t block = decode ? 1 : CeilDiv(CeilDiv(tokens, blocks), 6) * 6;
  const bool plain = CurrentTarget() == Target::kScalar;
  int64_t tasks = 0;
  for (const MatMulJob& job : jobs) {
    if (job.w->cols != x.cols()) {
      Fail("matrix product: the matrix has {} columns, the activations {}", job.w->cols, x.cols());
    }
    tasks += CeilDiv(job.w->layout.panels, panels) * blocks;
  }
  pool.Run(tasks, [&](int64_t task, int) {
    const MatMulJob* job = jobs.data();
    int64_t groups = CeilDiv(job->w->layout.panels, panels);
    while (task >= groups * blocks) {
      task -= groups * blocks;
      groups = CeilDiv((++job)->w->layout.panels, panels);
    }
    const int64_t panel = task % groups * panels, begin = task / groups * block;
    const int64_t end = std::min(tokens, begin + block);
    if (begin >= end) return;
    if (plain) {
      PlainPanels(*job->w, x, begin, end, panel, panels, job->y, job->y_stride);
    } else if (decode) {
      FindDecodeKernel(job->w->format)(*job->w, x, begin, panel, job->y + begin * job->y_stride);
    } else {
      FindPrefillKernel(job->w->format)(*job->w, x, begin, end, panel, job->y, job->y_stride);
    }
  });
}

void MatMul(const PackedMatrix& w, const QuantizedActivations& x, float* y, int64_t y_stride,
            ThreadPool& pool) {
  const MatMulJob job{&w, y, y_stride};
  MatMulMany({&job, 1}, x, pool);
}

}  // namespace lowbit
