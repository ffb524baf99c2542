// What the machine can do, measured in the same run as what is compared with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lowbit/base/thread_pool.h"

namespace lowbit {

// Bytes per second at which all threads of the pool read `bytes` once, four streams a thread. Give at least 1
// GiB: caches are large.
double MeasureReadBandwidth(std::span<const uint8_t> bytes, ThreadPool& pool);

// Operations per second (a multiplication and an addition count as two) of the byte dot product of the
// current target on registers, all threads.
double MeasureDotPeak(ThreadPool& pool);

}  // namespace lowbit
