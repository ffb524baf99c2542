#include "lowbit/kernel/page_tiles.h"

#include <cstring>

namespace lowbit {
namespace {

// emit(channel, position, byte of an 8-bit tile) over one tile.
template <class Emit>
void EachOfTile(PageSide side, const Emit& emit) {
  for (int q = 0; q < 8; ++q) {
    for (int lane = 0; lane < 16; ++lane) {
      for (int k = 0; k < 4; ++k) {
        const int byte = 64 * q + 4 * lane + k;
        if (side == PageSide::kKeys) {
          emit(4 * (q % 4) + k, q / 4 * 16 + lane, byte);
        } else {
          emit(lane, 4 * q + k, byte);
        }
      }
    }
  }
}

// plane(width, first bit of a code, offset in vectors) for the planes of codes of `bits` bits.
template <class Plane>
void EachPlane(int bits, const Plane& plane) {
  for (int width = 8, done = 0; width > 0; width /= 2) {
    if (bits - done < width) continue;
    plane(width, done, done);
    done += width;
  }
}

}  // namespace

void PackTiles(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles) {
  for (int c = 0; c < channels; c += kTileChannels, tiles += 64 * bits, codes += kTileChannels * kCachePage) {
    uint8_t bytes[512];
    EachOfTile(side, [&](int channel, int t, int byte) { bytes[byte] = codes[channel * kCachePage + t]; });
    std::memset(tiles, 0, static_cast<size_t>(64 * bits));
    EachPlane(bits, [&](int width, int from, int vector) {
      for (int q = 0; q < 8; ++q) {
        uint8_t* const to = tiles + 64 * (vector + q % width);
        const int at = width * (q / width), mask = (1 << width) - 1;
        for (int i = 0; i < 64; ++i)
          to[i] = static_cast<uint8_t>(to[i] | (bytes[64 * q + i] >> from & mask) << at);
      }
    });
  }
}

void UnpackTiles(const uint8_t* tiles, int channels, int bits, PageSide side, uint8_t* codes) {
  for (int c = 0; c < channels; c += kTileChannels, tiles += 64 * bits, codes += kTileChannels * kCachePage) {
    uint8_t bytes[512] = {};
    EachPlane(bits, [&](int width, int from, int vector) {
      for (int q = 0; q < 8; ++q) {
        const uint8_t* const plane = tiles + 64 * (vector + q % width);
        const int at = width * (q / width), mask = (1 << width) - 1;
        for (int i = 0; i < 64; ++i) {
          uint8_t& to = bytes[64 * q + i];
          to = static_cast<uint8_t>(to | (plane[i] >> at & mask) << from);
        }
      }
    });
    EachOfTile(side, [&](int channel, int t, int byte) { codes[channel * kCachePage + t] = bytes[byte]; });
  }
}

}  // namespace lowbit
