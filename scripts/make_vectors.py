#!/usr/bin/env python3
"""Many vectors that look like few real ones: draws from a Gaussian mixture fitted to a .bvecs or .fvecs file.

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/python scripts/make_vectors.py BASE COUNT OUT [QUERIES]  # OUT_base, OUT_query (1 000 more), OUT_truth

The mixture has a full covariance, 0.9 of the cell's own and 0.1 of its diagonal, for each of 256 k-means cells
(fewer where that leaves under 200 vectors a cell). Components of .bvecs are rounded and clipped. The truth is
exact: the 100 nearest by squared distance. The seed is fixed.
"""
import sys

import numpy as np


def read(path):
    kind = np.uint8 if path.endswith(".bvecs") else np.int32
    raw = np.fromfile(path, dtype=kind)
    if kind is np.uint8:
        return raw.reshape(-1, raw[:4].view(np.int32)[0] + 4)[:, 4:].astype(np.float32)
    return raw.reshape(-1, raw[0] + 1)[:, 1:].view(np.float32)


def write(path, rows):
    head = np.full((len(rows), 1), rows.shape[1], np.int32)
    np.hstack([head.view(np.uint8), np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)]).tofile(path)


def nearest(x, centres):
    return np.argmin((centres**2).sum(1) - 2 * x @ centres.T, axis=1)


def fit(x, cells, random):
    centres = x[random.choice(len(x), cells, replace=False)]
    for _ in range(15):
        cell = nearest(x, centres)
        for c in range(cells):
            if np.any(cell == c):
                centres[c] = x[cell == c].mean(0)
    cell = nearest(x, centres)
    mixture = []
    for c in range(cells):
        own = x[cell == c]
        if len(own) < 2:
            continue
        covariance = 0.9 * np.cov(own, rowvar=False)
        covariance += np.diag(np.diag(covariance) / 9 + 1e-6 * (1 + np.trace(covariance)) / x.shape[1])
        mixture.append((len(own), own.mean(0), np.linalg.cholesky(covariance).astype(np.float32)))
    return mixture


def draw(mixture, count, random):
    weights = np.array([m[0] for m in mixture], float)
    sizes = random.multinomial(count, weights / weights.sum())
    parts = [mean + random.standard_normal((n, len(mean)), np.float32) @ root.T
             for n, (_, mean, root) in zip(sizes, mixture)]
    return random.permutation(np.concatenate(parts).astype(np.float32))


source, count, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
asked = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
suffix = source[source.rindex("."):]
x = read(source)
random = np.random.default_rng(1)
mixture = fit(x, max(1, min(256, len(x) // 200)), random)
base, queries = draw(mixture, count, random), draw(mixture, asked, random)
if suffix == ".bvecs":
    base, queries = (np.clip(np.rint(v), 0, 255) for v in (base, queries))
stored = np.uint8 if suffix == ".bvecs" else np.float32
write(out + "_base" + suffix, base.astype(stored))
write(out + "_query" + suffix, queries.astype(stored))

ids, distances = np.zeros((asked, 0), np.int64), np.zeros((asked, 0), np.float32)
step = max(1, 50_000_000 // asked)
for at in range(0, count, step):
    block = base[at : at + step]
    d = (block**2).sum(1) - 2 * queries @ block.T
    best = np.argpartition(d, min(100, len(block) - 1), axis=1)[:, :100]
    ids = np.hstack([ids, best + at])
    distances = np.hstack([distances, np.take_along_axis(d, best, 1)])
    order = np.argsort(distances, axis=1, kind="stable")[:, :100]
    ids, distances = np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)
write(out + "_truth.ivecs", ids.astype(np.int32))
print(f"{out}_base{suffix}: {count} x {x.shape[1]}, from {len(mixture)} cells")
