#!/usr/bin/env python3
"""Random blocks of every ggml type with the values that the Python package `gguf` gives them.

    pip install numpy gguf safetensors
    python scripts/make_ggml_fixtures.py tests/format/data/ggml_blocks.safetensors

Tensors: "<type>.blocks" (blocks, bytes) U8 and "<type>.values" (blocks, values) F32. Scales are finite f16 of
mixed sign and size, subnormals and zero included; all other bits are uniform.
"""

import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

# Where the f16 scales of a block lie.
F16_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ1_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0],
    "IQ3_XXS": [0], "IQ3_S": [0], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [],
    "IQ1_M": [],
}  # fmt: skip


def random_f16(rng):
    kind = rng.integers(8)
    if kind == 0:
        return np.float16(0)
    if kind == 1:
        return np.array([rng.integers(1, 1024) | (rng.integers(2) << 15)], np.uint16).view(np.float16)[0]
    return np.float16(rng.normal() * 10.0 ** rng.integers(-4, 2))


def main():
    rng = np.random.default_rng(20240607)
    tensors = {}
    for name, places in F16_AT.items():
        kind = gguf.GGMLQuantizationType[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        count = 3 if values == 256 else 12
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for block in blocks:
            for at in places:
                block[at : at + 2] = np.array([random_f16(rng)], np.float16).view(np.uint8)
            if name == "IQ1_M":  # its f16 lies in the top nibbles of the last four 16-bit words
                bits = int(np.array([random_f16(rng)], np.float16).view(np.uint16)[0])
                for k in range(4):
                    block[49 + 2 * k] = (block[49 + 2 * k] & 15) | ((bits >> (4 * k) & 15) << 4)
        expected = gguf.quants.dequantize(blocks, kind)
        assert np.isfinite(expected).all()
        tensors[name + ".blocks"] = blocks
        tensors[name + ".values"] = np.ascontiguousarray(expected, np.float32)
    save_file(tensors, sys.argv[1])


if __name__ == "__main__":
    main()
