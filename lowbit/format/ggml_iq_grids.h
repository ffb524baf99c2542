// Codebooks of the ggml IQ types: each codeword is 8 (IQ1, IQ2) or 4 (IQ3) magnitudes from a small alphabet,
// found by their authors' search; they are constants of the file format.
#pragma once

#include <array>
#include <cstdint>

namespace lowbit {

// Letter i of a codeword of 8 is (word >> 2 i) & 3, an index into the type's alphabet.
extern const std::array<uint16_t, 256> kIq2XxsGrid;  // IQ2_XXS
extern const std::array<uint16_t, 512> kIq2XsGrid;   // IQ2_XS
extern const std::array<uint16_t, 1024> kIq2SGrid;   // IQ2_S
extern const std::array<uint16_t, 2048> kIq1Grid;    // IQ1_S, IQ1_M
// Letter i of a codeword of 4 is (word >> 4 i) & 7.
extern const std::array<uint16_t, 256> kIq3XxsGrid;  // IQ3_XXS
extern const std::array<uint16_t, 512> kIq3SGrid;    // IQ3_S

inline constexpr std::array<float, 3> kIq2Alphabet = {8, 25, 43};
inline constexpr std::array<float, 3> kIq1Alphabet = {-1, 0, 1};
inline constexpr std::array<float, 8> kIq3XxsAlphabet = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<float, 8> kIq3SAlphabet = {1, 3, 5, 7, 9, 11, 13, 15};

// Levels of IQ4_NL and IQ4_XS, and of MXFP4 (E2M1 doubled).
inline constexpr std::array<float, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                     1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr std::array<float, 16> kMxfp4Levels = {0, 1,  2,  3,  4,  6,  8,  12,
                                                       0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace lowbit
