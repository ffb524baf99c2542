// The physical limits that benchmarks compare with, measured on this machine in the same run. Each takes the
// best of a few repetitions; every thread of the pool works.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lowbit/base/thread_pool.h"

namespace lowbit {

// Bytes per second of reading `memory` once from end to end, with four streams a thread. Give at least 1 GiB,
// larger than any cache.
double ReadBandwidth(std::span<const uint8_t> memory, ThreadPool& pool);
// The same over `bytes` of fresh memory, best of three.
double MeasureReadBandwidth(ThreadPool& pool, size_t bytes);

// Operations per second (a multiplication and an addition are two) of the current target's byte dot product
// on registers: vpdpbusd where it exists, otherwise vpmaddubsw + vpmaddwd + add.
double MeasureDotPeak(ThreadPool& pool);
// The same of products of tiles of bytes (many tokens, many queries); 0 where the target has none
// (HasTileDot).
double MeasureTilePeak(ThreadPool& pool);
// The same of f32 fused multiply-add.
double MeasureFmaPeak(ThreadPool& pool);

// Ticks a second of the time-stamp counter, the reference clock in which cycles are given; 0 where there is
// none.
double MeasureReferenceClock();

}  // namespace lowbit
