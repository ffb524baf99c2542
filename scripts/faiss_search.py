#!/usr/bin/env python3
"""Recall and speed of FAISS indexes on vectors of .bvecs or .fvecs files, to stand beside `lowbit index eval`.

    python3 -m venv venv && venv/bin/pip install faiss-cpu numpy
    venv/bin/python scripts/faiss_search.py BASE QUERIES TRUTH.ivecs FACTORY... [-k 100] [--refine 4] [--threads 2]

An index that re-ranks (IVF1024,PQ64x4fs,Refine(SQ8)) takes `refine` times k candidates.
"""
import argparse
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


parser = argparse.ArgumentParser()
for name in ("base", "queries", "truth"):
    parser.add_argument(name)
parser.add_argument("factories", nargs="+")
parser.add_argument("-k", type=int, default=100)
parser.add_argument("--refine", type=int, default=4)
parser.add_argument("--threads", type=int, default=2)
a = parser.parse_args()
base, queries, truth = (vectors(path) for path in (a.base, a.queries, a.truth))
faiss.omp_set_num_threads(a.threads)
print("faiss", faiss.__version__, faiss.get_compile_options(), a.threads, "threads")
for factory in a.factories:
    index = faiss.index_factory(base.shape[1], factory)
    start = time.perf_counter()
    index.train(base)
    index.add(base)
    seconds = time.perf_counter() - start
    size = faiss.serialize_index(index).nbytes * 8 / base.size
    print(f"{factory}: trained and filled in {seconds:.2f} s, {size:.3f} bits a dimension in all", flush=True)
    if "Refine" in factory or "RFlat" in factory:
        faiss.downcast_index(index).k_factor = a.refine
    for nprobe in [1, 2, 4, 8, 16, 32, 64] if factory.startswith("IVF") else [0]:
        if nprobe:
            faiss.extract_index_ivf(index).nprobe = nprobe
        best, total = 1e9, 0.0
        while total < 1:
            start = time.perf_counter()
            _, found = index.search(queries, a.k)
            best = min(best, time.perf_counter() - start)
            total += time.perf_counter() - start
        shared = lambda r: np.mean([len(set(f[:r]) & set(t[:r])) for f, t in zip(found, truth)]) / r
        recall = ", ".join(f"recall@{r} {shared(r):.4f}" for r in (1, 10, 100) if r <= a.k)
        print(f"{factory} nprobe {nprobe}: {recall}, {len(queries) / best:.0f} queries/s", flush=True)
