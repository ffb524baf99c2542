#!/usr/bin/env python3
"""Nearest-centroid search, product-quantizer encoding and k-means of FAISS, to stand beside bench_nearest and
bench_codebooks: the same sizes, normal points. With one thread, times are CPU seconds, best of many short runs.

    python3 -m venv venv && venv/bin/pip install faiss-cpu numpy
    venv/bin/python scripts/faiss_nearest.py [THREADS]
"""
import sys
import time

import faiss
import numpy as np

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
faiss.omp_set_num_threads(threads)
clock = time.process_time if threads == 1 else time.perf_counter
rng = np.random.default_rng(1)


def best_of(repeats, work):
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


print("faiss", faiss.__version__, faiss.get_compile_options())
for d, k in [(64, 256), (128, 256), (128, 4096), (384, 1024), (768, 256), (768, 4096), (8, 65536),
             (2, 16), (2, 256), (4, 16), (4, 256), (8, 16), (8, 256), (16, 16), (16, 256)]:
    n = min(max((1 << (28 if threads == 1 else 32)) // (k * d), 1024), 400000)
    x = rng.standard_normal((n, d), dtype=np.float32)
    index = faiss.IndexFlatL2(d)
    index.add(rng.standard_normal((k, d), dtype=np.float32))
    seconds = best_of(12, lambda: index.assign(x, 1))
    print(f"assign d{d} k{k}: {n * k / seconds * 1e-9:.3f} Gpairs/s, {2 * n * k * d / seconds * 1e-9:.1f} GFLOP/s")

x = rng.standard_normal((100000, 128), dtype=np.float32)
for m, bits in [(16, 8), (32, 8), (64, 8), (32, 4), (64, 4)]:
    pq = faiss.ProductQuantizer(128, m, bits)
    pq.cp.niter = 1 if threads == 1 else 25  # one thread: the encoder's speed alone
    train = best_of(1, lambda: pq.train(x[:2**bits * 40] if threads == 1 else x))
    part = x[:4000] if threads == 1 else x
    seconds = best_of(10, lambda: pq.compute_codes(part))
    error = float(((pq.decode(pq.compute_codes(x)) - x) ** 2).mean())
    print(f"PQ{m}x{bits} of 100000 x 128: train {train:.2f} s, encode {seconds:.3f} s, "
          f"{len(part) * m * 2**bits / seconds * 1e-9:.3f} Gpairs/s, mean squared error a channel {error:.4f}")
for d, k in [(128, 256), (128, 1024), (8, 256)] if threads > 1 else []:
    x = rng.standard_normal((k * 256, d), dtype=np.float32)
    kmeans = faiss.Kmeans(d, k, niter=25)
    seconds = best_of(1, lambda: kmeans.train(x))
    print(f"k-means d{d} k{k}, {k * 256} points, 25 iterations: {seconds:.2f} s, "
          f"error a point {kmeans.obj[-1] / (k * 256):.4f}")
