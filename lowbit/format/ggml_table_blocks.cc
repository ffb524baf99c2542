#include "lowbit/format/ggml_table_blocks.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/ggml_iq_grids.h"
#include "lowbit/io/ggml_type.h"

namespace lowbit {
namespace {

using In = const uint8_t*;

uint16_t Load16(In at) {
  return static_cast<uint16_t>(at[0] | at[1] << 8);
}
uint32_t Load32(In at) {
  return static_cast<uint32_t>(Load16(at)) | static_cast<uint32_t>(Load16(at + 2)) << 16;
}
float LoadScale(In at) {
  return F16ToFloat(Load16(at));
}
int Nibble(In at, int i) {
  return at[i / 2] >> (4 * (i % 2)) & 15;
}

// Seven sign bits are stored; the eighth makes their number even.
uint32_t EvenSigns(uint32_t seven) {
  seven &= 127;
  return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// scale * letter, negated where the sign bit is set, as ggml orders the products.
template <size_t kLetters>
void Put8(uint16_t word, const std::array<float, kLetters>& alphabet, float scale, uint32_t signs,
          float* out) {
  for (int i = 0; i < 8; ++i) {
    const float value = scale * alphabet[word >> (2 * i) & 3];
    out[i] = (signs >> i & 1) != 0 ? -value : value;
  }
}

template <size_t kLetters>
void Put4(uint16_t word, const std::array<float, kLetters>& alphabet, float scale, uint32_t signs,
          float* out) {
  for (int i = 0; i < 4; ++i) {
    const float value = scale * alphabet[word >> (4 * i) & 7];
    out[i] = (signs >> i & 1) != 0 ? -value : value;
  }
}

// d f16; then for each 32 values: four codeword numbers (bytes), u32 of 4 x 7 sign bits and a 4-bit scale.
void Iq2Xxs(In in, float* out) {
  const float d = LoadScale(in);
  for (int g = 0; g < 8; ++g) {
    const In words = in + 2 + 8 * g;
    const uint32_t rest = Load32(words + 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (int l = 0; l < 4; ++l) {
      Put8(kIq2XxsGrid[words[l]], kIq2Alphabet, scale, EvenSigns(rest >> (7 * l)), out + 32 * g + 8 * l);
    }
  }
}

// d f16; u16 [32]: 9-bit codeword number and 7 sign bits; a scale nibble for each 16 values.
void Iq2Xs(In in, float* out) {
  const float d = LoadScale(in);
  for (int l = 0; l < 32; ++l) {
    const uint32_t word = Load16(in + 2 + 2 * l);
    const float scale = d * (0.5f + static_cast<float>(Nibble(in + 66, l / 2))) * 0.25f;
    Put8(kIq2XsGrid[word & 511], kIq2Alphabet, scale, EvenSigns(word >> 9), out + 8 * l);
  }
}

// d f16; low bytes of codeword numbers [32]; sign bytes [32]; upper two bits [8 bytes]; a scale nibble for
// each 16.
void Iq2S(In in, float* out) {
  const float d = LoadScale(in);
  const In low = in + 2, signs = in + 34, high = in + 66, scales = in + 74;
  for (int l = 0; l < 32; ++l) {
    const int word = low[l] | (high[l / 4] >> (2 * (l % 4)) & 3) << 8;
    const float scale = d * (0.5f + static_cast<float>(Nibble(scales, l / 2))) * 0.25f;
    Put8(kIq2SGrid[word], kIq2Alphabet, scale, signs[l], out + 8 * l);
  }
}

// d f16; codeword numbers [64 bytes]; u32 [8] of 4 x 7 sign bits and a 4-bit scale.
void Iq3Xxs(In in, float* out) {
  const float d = LoadScale(in);
  for (int g = 0; g < 8; ++g) {
    const uint32_t rest = Load32(in + 66 + 4 * g);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    for (int l = 0; l < 8; ++l) {
      const uint32_t signs = EvenSigns(rest >> (7 * (l / 2))) >> (4 * (l % 2));
      Put4(kIq3XxsGrid[in[2 + 8 * g + l]], kIq3XxsAlphabet, scale, signs, out + 32 * g + 4 * l);
    }
  }
}

// d f16; low bytes of codeword numbers [64]; ninth bits [8 bytes]; sign bits [32 bytes]; a scale nibble for
// each 32.
void Iq3S(In in, float* out) {
  const float d = LoadScale(in);
  const In low = in + 2, high = in + 66, signs = in + 74, scales = in + 106;
  for (int l = 0; l < 64; ++l) {
    const int word = low[l] | (high[l / 8] >> (l % 8) & 1) << 8;
    const float scale = d * static_cast<float>(1 + 2 * Nibble(scales, l / 8));
    Put4(kIq3SGrid[word], kIq3SAlphabet, scale, static_cast<uint32_t>(signs[l / 2] >> (4 * (l % 2))),
         out + 4 * l);
  }
}

void PutShifted(int word, float scale, bool down, float* out) {
  const float shift = down ? -0.125f : 0.125f;
  for (int i = 0; i < 8; ++i) out[i] = scale * (kIq1Alphabet[kIq1Grid[word] >> (2 * i) & 3] + shift);
}

// d f16; low bytes of codeword numbers [32]; u16 [8]: four 3-bit upper parts, 3-bit scale, sign of the shift.
void Iq1S(In in, float* out) {
  const float d = LoadScale(in);
  for (int g = 0; g < 8; ++g) {
    const int head = Load16(in + 34 + 2 * g);
    const float scale = d * static_cast<float>(2 * (head >> 12 & 7) + 1);
    for (int l = 0; l < 4; ++l) {
      PutShifted(in[2 + 4 * g + l] | (head >> (3 * l) & 7) << 8, scale, (head & 0x8000) != 0,
                 out + 32 * g + 8 * l);
    }
  }
}

// Low bytes of codeword numbers [32]; nibbles [32]: 3-bit upper part, sign of the shift; u16 [4]: four 3-bit
// scales of 16 values each, and in the top nibbles the f16 d.
void Iq1M(In in, float* out) {
  const In scales = in + 48;
  uint16_t bits = 0;
  for (int k = 0; k < 4; ++k) bits |= static_cast<uint16_t>((Load16(scales + 2 * k) >> 12) << (4 * k));
  const float d = F16ToFloat(bits);
  for (int l = 0; l < 32; ++l) {
    const int j = l / 2, head = Nibble(in + 32, l);
    const float scale = d * static_cast<float>(2 * (Load16(scales + 2 * (j / 4)) >> (3 * (j % 4)) & 7) + 1);
    PutShifted(in[l] | (head & 7) << 8, scale, (head & 8) != 0, out + 8 * l);
  }
}

void PutNibbles(In in, const std::array<float, 16>& levels, float scale, float* out) {
  for (int l = 0; l < 16; ++l) {
    out[l] = scale * levels[in[l] & 15];
    out[16 + l] = scale * levels[in[l] >> 4];
  }
}

// d f16; u16 of upper scale parts (2 bits each); low scale nibbles [8]; nibbles.
void Iq4Xs(In in, float* out) {
  const float d = LoadScale(in);
  const int high = Load16(in + 2);
  for (int g = 0; g < 8; ++g) {
    const int scale = (Nibble(in + 4, g) | (high >> (2 * g) & 3) << 4) - 32;
    PutNibbles(in + 8 + 16 * g, kIq4Levels, d * static_cast<float>(scale), out + 32 * g);
  }
}

// E8M0 exponent; nibbles. The levels are doubled, so the scale is 2^(e - 128); its two smallest are
// subnormal.
void Mxfp4(In in, float* out) {
  const uint32_t e = in[0];
  const float scale = std::bit_cast<float>(e < 2 ? uint32_t{0x00200000} << e : (e - 1) << 23);
  PutNibbles(in + 1, kMxfp4Levels, scale, out);
}

}  // namespace

void DequantizeTableBlock(GgmlType type, const std::byte* bytes, float* out) {
  const In in = reinterpret_cast<In>(bytes);
  switch (type) {
    case GgmlType::kIQ2_XXS:
      return Iq2Xxs(in, out);
    case GgmlType::kIQ2_XS:
      return Iq2Xs(in, out);
    case GgmlType::kIQ2_S:
      return Iq2S(in, out);
    case GgmlType::kIQ3_XXS:
      return Iq3Xxs(in, out);
    case GgmlType::kIQ3_S:
      return Iq3S(in, out);
    case GgmlType::kIQ1_S:
      return Iq1S(in, out);
    case GgmlType::kIQ1_M:
      return Iq1M(in, out);
    case GgmlType::kIQ4_NL:
      return PutNibbles(in + 2, kIq4Levels, LoadScale(in), out);
    case GgmlType::kIQ4_XS:
      return Iq4Xs(in, out);
    case GgmlType::kMXFP4:
      return Mxfp4(in, out);
    default:
      Fail("{} is not a table type", NameOf(type));
  }
}

}  // namespace lowbit
