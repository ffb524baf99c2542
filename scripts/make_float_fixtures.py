#!/usr/bin/env python3
"""Small floats and block formats as the Python package `ml_dtypes` converts them.

    pip install ml_dtypes numpy safetensors
    python scripts/make_float_fixtures.py tests/format/data/small_floats.safetensors

"<type>.values" F32: every code in turn. "<type>.inputs" F32 with "<type>.codes" U8: halfway cases, their
neighbours, both zeros, infinities and random values. "<format>.x" F32 (rows, columns) with ".codes", ".scales",
".values" and, for nvfp4, ".tensor": the block formats, element conversions and scale roundings by ml_dtypes.
"""

import sys

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

TYPES = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
}
BITS = {"e2m1": 4, "e2m3": 6, "e3m2": 6, "e4m3": 8, "e5m2": 8}
EMAX = {"e2m1": 2, "e2m3": 2, "e3m2": 4, "e4m3": 8, "e5m2": 15}
MOST = {"e2m1": 6, "e2m3": 7.5, "e3m2": 28, "e4m3": 448, "e5m2": 57344}


def decode(codes, kind):
    return codes.astype(np.uint8).view(TYPES[kind]).astype(np.float32)


def encode(x, kind):
    with np.errstate(all="ignore"):
        return x.astype(np.float32).astype(TYPES[kind]).view(np.uint8)


def inputs_of(kind, rng):
    values = decode(np.arange(1 << BITS[kind]), kind)
    values = np.unique(values[np.isfinite(values)])
    halfway = ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
    top = values[-1] + (values[-1] - values[-2]) / 2  # from here on without saturation
    x = np.concatenate([values, halfway, [top, -top, 1e-30, -1e-30, 0.0, -0.0, np.inf, -np.inf]]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    spread = rng.normal(size=200) * 2.0 ** rng.integers(-8, 9, 200)
    return np.concatenate([x, spread]).astype(np.float32)


def blocks_of(x, width):
    rows, cols = x.shape
    count = -(-cols // width)
    padded = np.zeros((rows, count * width), np.float32)
    padded[:, :cols] = x
    return padded.reshape(rows, count, width)


def mx(x, kind):
    blocks = blocks_of(x, 32)
    most = np.abs(blocks).max(axis=2)
    exponent = np.where(most > 0, np.frexp(most)[1] - 1 - EMAX[kind], -127).clip(-127, 127)
    scale = np.ldexp(1.0, exponent)[:, :, None]
    codes = encode(np.clip(blocks / scale, -MOST[kind], MOST[kind]), kind)
    values = decode(codes, kind) * scale.astype(np.float32)
    cols = x.shape[1]
    return (exponent + 127).astype(np.uint8), codes.reshape(len(x), -1)[:, :cols], values.reshape(len(x), -1)[:, :cols]


def nvfp4(x):
    blocks = blocks_of(x, 16)
    most = np.abs(blocks).max(axis=2)
    tensor = np.float32(np.abs(x).max()) / np.float32(448 * 6)
    wanted = most / np.float32(6) / tensor
    scales = encode(np.clip(wanted, np.float32(2.0**-9), np.float32(448)), "e4m3")
    divisor = (decode(scales, "e4m3") * tensor)[:, :, None]
    codes = encode(np.clip(blocks / divisor, -6, 6), "e2m1")
    values = decode(codes, "e2m1") * divisor
    cols = x.shape[1]
    return tensor, scales, codes.reshape(len(x), -1)[:, :cols], values.reshape(len(x), -1)[:, :cols]


def main():
    rng = np.random.default_rng(7)
    tensors = {}
    for kind in TYPES:
        x = inputs_of(kind, rng)
        tensors[kind + ".values"] = decode(np.arange(1 << BITS[kind]), kind)
        tensors[kind + ".inputs"] = x
        tensors[kind + ".codes"] = encode(x, kind)
    tensors["e8m0.values"] = np.arange(255, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float32)

    # Rows of different sizes, an outlier, a block of zeros, a last block that is short.
    x = (rng.normal(size=(4, 72)) * np.array([[1.0], [1e-3], [300.0], [1.0]])).astype(np.float32)
    x[0, 5] = 70.0
    x[1, 32:64] = 0
    x[3] = np.round(x[3] * 4) / 4
    for name, kind in {"mxfp4": "e2m1", "mxfp6-e2m3": "e2m3", "mxfp6-e3m2": "e3m2", "mxfp8-e4m3": "e4m3",
                       "mxfp8-e5m2": "e5m2"}.items():  # fmt: skip
        scales, codes, values = mx(x, kind)
        tensors |= {name + ".scales": scales, name + ".codes": codes, name + ".values": values.astype(np.float32)}
    tensor, scales, codes, values = nvfp4(x)
    tensors |= {"nvfp4.tensor": np.array([tensor], np.float32), "nvfp4.scales": scales, "nvfp4.codes": codes,
                "nvfp4.values": values.astype(np.float32), "x": x}  # fmt: skip
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, sys.argv[1])


if __name__ == "__main__":
    main()
