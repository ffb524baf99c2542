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

// The bytes of an 8-bit tile, from codes that lie side by side along a lane or across lanes.
struct QuadsOfTile {
  alignas(64) uint8_t bytes[512];

  // Lane `lane` of quad q: four codes side by side.
  template <class From>
  void Gather(const From& from) {
    for (int q = 0; q < 8; ++q) {
      for (int lane = 0; lane < 16; ++lane) std::memcpy(bytes + 64 * q + 4 * lane, from(q, lane), 4);
    }
  }
  // Code k of quad q: sixteen lanes side by side.
  template <class From>
  void Interleave(const From& from) {
    for (int q = 0; q < 8; ++q) {
      const uint8_t* line[4];
      for (int k = 0; k < 4; ++k) line[k] = from(q, k);
      uint8_t* to = bytes + 64 * q;
      for (int lane = 0; lane < 16; ++lane, to += 4) {
        for (int k = 0; k < 4; ++k) to[k] = line[k][lane];
      }
    }
  }
};

// Bit planes of 512 bytes below 2^bits, eight bytes a step: what is shifted never leaves its byte.
void PackPlanes(const uint8_t* bytes, int bits, uint8_t* tile) {
  constexpr uint64_t kEach = 0x0101010101010101;
  if (bits == 8) {
    std::memcpy(tile, bytes, 512);
    return;
  }
  EachPlane(bits, [&](int width, int from, int vector) {
    uint64_t plane[4][8] = {};
    const uint64_t mask = kEach * ((1u << width) - 1);
    for (int q = 0; q < 8; ++q) {
      const int at = width * (q / width);
      uint64_t word[8];
      std::memcpy(word, bytes + 64 * q, 64);
      for (int i = 0; i < 8; ++i) plane[q % width][i] |= (word[i] >> from & mask) << at;
    }
    std::memcpy(tile + 64 * vector, plane, static_cast<size_t>(64 * width));
  });
}

// code(channel, position): an address; four channels or four positions lie side by side.
template <class Code>
void PackEach(int channels, int bits, PageSide side, bool positions_together, const Code& code,
              uint8_t* tiles) {
  QuadsOfTile tile;
  for (int c = 0; c < channels; c += kTileChannels, tiles += 64 * bits) {
    if (side == PageSide::kKeys) {
      const auto at = [&](int q, int lane, int k) { return code(c + 4 * (q % 4) + k, q / 4 * 16 + lane); };
      if (positions_together) {
        tile.Interleave([&](int q, int k) { return at(q, 0, k); });
      } else {
        tile.Gather([&](int q, int lane) { return at(q, lane, 0); });
      }
    } else {
      const auto at = [&](int q, int lane, int k) { return code(c + lane, 4 * q + k); };
      if (positions_together) {
        tile.Gather([&](int q, int lane) { return at(q, lane, 0); });
      } else {
        tile.Interleave([&](int q, int k) { return at(q, 0, k); });
      }
    }
    PackPlanes(tile.bytes, bits, tiles);
  }
}

}  // namespace

void PackTiles(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles) {
  PackEach(
      channels, bits, side, /*positions_together=*/true,
      [&](int channel, int position) { return codes + channel * kCachePage + position; }, tiles);
}

void PackTilesOfPositions(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles) {
  PackEach(
      channels, bits, side, /*positions_together=*/false,
      [&](int channel, int position) { return codes + position * channels + channel; }, tiles);
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
