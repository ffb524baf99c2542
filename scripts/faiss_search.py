#!/usr/bin/env python3
"""Recall and speed of FAISS indexes on vectors of .bvecs or .fvecs files, to stand beside `lowbit index eval`.

    python3 -m venv venv && venv/bin/pip install faiss-cpu numpy
    venv/bin/python scripts/faiss_search.py BASE QUERIES TRUTH.ivecs THREADS FACTORY...
"""
import sys
import time

import faiss
import numpy as np


def vectors(path):
    if path.endswith(".bvecs"):
        raw = np.fromfile(path, dtype=np.uint8)
        return np.ascontiguousarray(raw.reshape(-1, raw[:4].view(np.int32)[0] + 4)[:, 4:].astype(np.float32))
    raw = np.fromfile(path, dtype=np.int32)
    rows = raw.reshape(-1, raw[0] + 1)[:, 1:]
    return np.ascontiguousarray(rows if path.endswith(".ivecs") else rows.view(np.float32))


base, queries, truth = (vectors(path) for path in sys.argv[1:4])
faiss.omp_set_num_threads(int(sys.argv[4]))
print("faiss", faiss.__version__, faiss.get_compile_options(), sys.argv[4], "threads")
for factory in sys.argv[5:]:
    index = faiss.index_factory(base.shape[1], factory)
    index.train(base)
    index.add(base)
    for nprobe in [1, 2, 4, 8, 16, 32, 64] if factory.startswith("IVF") else [0]:
        if nprobe:
            index.nprobe = nprobe
        best, total = 1e9, 0.0
        while total < 1:
            start = time.perf_counter()
            _, found = index.search(queries, 100)
            best = min(best, time.perf_counter() - start)
            total += time.perf_counter() - start
        recall = [np.mean([len(set(a[:r]) & set(b[:r])) for a, b in zip(found, truth)]) / r for r in (1, 10, 100)]
        bits = getattr(index, "code_size", 0) * 8 / base.shape[1]
        print(f"{factory} nprobe {nprobe}: {bits:.3f} bits of codes a dimension, recall@1/10/100 "
              + " ".join(f"{r:.4f}" for r in recall) + f", {len(queries) / best:.0f} queries/s", flush=True)
