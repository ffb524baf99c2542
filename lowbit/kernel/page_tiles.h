// How the codes of a page of a key/value cache lie, so that one 64-byte vector is an operand of byte dot
// products.
//
// Codes lie in tiles of 16 channels by 32 positions, eight quads q of 16 lanes of four codes:
//
//   keys    lane: position t mod 16, quad: channels 4 (q mod 4) ..., positions 16 (q / 4) ...
//   values  lane: channel, quad: positions 4 q ...
//
// A tile of b bits takes b vectors of 64 bytes: planes of w = 8, 4, 2 or 1 bits (3 bits: 2 and 1); quad q of
// a plane lies in its vector q mod w at bit w (q / w), as in the weights' tile (panel-inl.h). Ternary codes
// are five to a byte (code_packing.h) in the order of the bytes of an 8-bit tile.
#pragma once

#include <cstdint>

namespace lowbit {

inline constexpr int kCachePage = 32;  // positions
inline constexpr int kTileChannels = 16;

enum class PageSide : uint8_t { kKeys, kValues };

// codes (channels, 32), one a byte, to tiles and back; channels a multiple of 16, bits 1, 2, 3, 4 or 8. At 8
// bits `tiles` is the order in which ternary codes are packed.
void PackTiles(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles);
void UnpackTiles(const uint8_t* tiles, int channels, int bits, PageSide side, uint8_t* codes);

// The same tiles from codes (32, channels).
void PackTilesOfPositions(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles);

}  // namespace lowbit
