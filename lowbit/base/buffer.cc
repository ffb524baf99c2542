#include "lowbit/base/buffer.h"

#include <sys/mman.h>

#include "lowbit/base/error.h"

namespace lowbit {

void* AllocateAligned(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  const bool huge = bytes >= 2 * kHuge;
  const size_t alignment = huge ? kHuge : kAlignment;
  const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* p = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded);
  if (p == nullptr) Fail("out of memory: {:.1f} MiB asked for", static_cast<double>(bytes) / (1 << 20));
  if (huge) madvise(p, rounded, MADV_HUGEPAGE);
  return p;
}

}  // namespace lowbit
