// Every scalar alphabet as a table. Each introduces itself: its levels (up to one scale), its codes, its
// rounding and its source. Floats ExMy are in float_grid.h, levels fitted to a law in lloyd_max_levels.h.
//
// Levels are in natural units, integers wherever the grid consists of integers (APoT of 5 bits counts 48ths):
// the scale of a group absorbs the unit, and byte_decode.h finds what multiplies exactly in int8.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/format/table.h"

namespace lowbit {

// -2^(b-1) ... 2^(b-1) - 1 as offset binary, code = level + 2^(b-1) (the codes of kCentre in format.h), ties
// to even. b = 1 is {-1, 0}.
Table IntegerTable(int bits);
// The restricted range -(2^(b-1) - 1) ... 2^(b-1) - 1: odd, with code 0 never chosen (it decodes to the
// lowest level). b >= 2.
Table NarrowIntegerTable(int bits);
// The same levels with two's complement codes (MXINT8); the code of -2^(b-1) decodes but is never chosen.
Table TwosComplementTable(int bits);
// 0 ... 2^b - 1, code = level, ties to even: half of an affine format; the zero point or minimum belongs to
// the scaling.
Table UnsignedIntegerTable(int bits);

// Power exponent (PowerQuant, NUPES): q = sign(x) round(L |x|^a) with L = 2^(b-1) - 1, level
// sign(q) (|q| / L)^(1/a) on [-1, 1], code = q + 2^(b-1). Rounds in the transformed domain, ties to even |q|:
// the threshold above k is ((k + 1/2) / L)^(1/a). a = 1 is the narrow integer grid over L. b >= 2, a in
// [0.1, 4].
Table PowerTable(int bits, double exponent);

// Additive powers of two (APoT): sign and b - 1 magnitude bits; the magnitudes are integers,
//   b = 3: 0 1 2 4          b = 4: 0 1 2 3 4 6 8 10
//   b = 5: {0, 32, 8, 2} + {0, 16, 4, 1}
//   b = 6: {0, 64, 16, 2} + {0, 32, 8, 1} + {0, 4}
//   b = 7: {0, 256, 32, 4} + {0, 128, 16, 2} + {0, 64, 8, 1}
// code = sign << (b-1) | index of the magnitude; nearest, ties to the smaller magnitude; the code of -0
// decodes to 0. b = 2 has no additive grid and is refused: ternary.
Table AdditivePowerTable(int bits);
// The same magnitudes without sign (activations after ReLU); b = 2 ... 6.
Table UnsignedAdditivePowerTable(int bits);

// Powers of a free base with a zero: 0 and +-base^-k, k = 0 ... 2^(b-1) - 2 (POT: 2, POST: sqrt 2). Nearest
// in value, ties to the larger magnitude. code = sign << (b-1) | index of the magnitude, ascending from 0.
// base in (1, 16], b >= 2.
Table PowersTable(int bits, double base);

// Logarithmic, unsigned (softmax outputs; RepQuant, log2 and log sqrt 2): code k = round(-log_base x), level
// base^-k, and the last code is 0. Rounds in the logarithm.
Table LogTable(int bits, double base);

// Nested integers (Double-Rounding): what h-bit integers become at l < h bits,
//   q_l = clip((clip(rint x) + 2^(D-1)) >> D), D = h - l, level q_l 2^D in units of the h-bit scale,
// code = q_l + 2^(l-1). The thresholds are those of both roundings, so that codes from reals and codes from
// the stored integers agree.
Table NestedIntegerTable(int high_bits, int low_bits);
// The second rounding on its own: the l-bit integer of a stored h-bit one.
int8_t Narrow(int8_t stored, int high_bits, int low_bits);

// NF4 (QLoRA): the published sixteen values and, as in bitsandbytes, x > t between them.
Table NormalFloatTable();

// The sixteen integers of GGUF's IQ4_NL, code = rank, ties up as ggml's search: near the levels of NF4, exact
// in int8.
Table Iq4Table();

// {-1, 0, 1} as codes 0, 1, 2 of two bits (five of them in a byte: trit_packing.h); ties go to 0, so that a
// value becomes +-1 iff |x| > 1/2 (BitNet b1.58).
Table TernaryTable();
// {-1, +1} as codes 0 and 1; sign(0) = +1.
Table BinaryTable();

// Any levels, ascending, code = rank; nearest, ties up. 2^bits levels at most, and the fewest bits that hold
// them.
Table LearnedTable(std::span<const float> levels);

}  // namespace lowbit
