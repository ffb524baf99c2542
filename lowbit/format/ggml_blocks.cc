#include "lowbit/format/ggml_blocks.h"

#include <algorithm>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/ggml_table_blocks.h"

namespace lowbit {
namespace {

using In = const uint8_t*;
using Out = uint8_t*;

uint16_t LoadF16(In at) {
  return static_cast<uint16_t>(at[0] | at[1] << 8);
}
void StoreF16(uint16_t value, Out at) {
  at[0] = static_cast<uint8_t>(value);
  at[1] = static_cast<uint8_t>(value >> 8);
}

// Codes of a block are cut into fields of `width` bits; a run of `run` bytes holds 8 / width runs of codes,
// the lowest fields first: byte l of a run holds codes l, run + l, 2 run + l, ... Every ggml integer type is
// made of such planes; `shift` says where the plane's bits stand in the code.
struct Plane {
  int width, run, shift;
};

// Fields never leave their byte, so eight bytes go through one 64-bit word whatever their order in it.
constexpr uint64_t kEachByte = 0x0101010101010101;

uint64_t Load8(In at) {
  uint64_t bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  return bytes;
}
void Store8(uint64_t bytes, Out at) {
  std::memcpy(at, &bytes, sizeof(bytes));
}

// Writes the plane to the codes, or, if kAdd, adds it where their bits are zero.
template <bool kAdd, int kWidth>
void GatherFields(const Plane& plane, In from, int count, Out code) {
  constexpr int kByteMask = (1 << kWidth) - 1, kFields = 8 / kWidth;
  constexpr uint64_t kMask = kEachByte * static_cast<uint64_t>(kByteMask);
  for (int base = 0; base < count; base += plane.run * kFields, from += plane.run) {
    int l = 0;
    for (; l + 8 <= plane.run; l += 8) {
      const uint64_t bytes = Load8(from + l);
      for (int f = 0; f < kFields; ++f) {
        const Out to = code + base + f * plane.run + l;
        const uint64_t field = (bytes >> (kWidth * f) & kMask) << plane.shift;
        Store8(kAdd ? Load8(to) | field : field, to);
      }
    }
    for (; l < plane.run; ++l) {
      for (int f = 0; f < kFields; ++f) {
        const Out to = code + base + f * plane.run + l;
        const int field = (from[l] >> (kWidth * f) & kByteMask) << plane.shift;
        *to = static_cast<uint8_t>(kAdd ? *to | field : field);
      }
    }
  }
}

template <bool kAdd>
void Gather(const Plane& plane, In from, int count, Out code) {
  switch (plane.width) {
    case 1:
      return GatherFields<kAdd, 1>(plane, from, count, code);
    case 2:
      return GatherFields<kAdd, 2>(plane, from, count, code);
    default:
      return GatherFields<kAdd, 4>(plane, from, count, code);
  }
}

void Scatter(const Plane& plane, const uint8_t* code, int count, Out to) {
  const int byte_mask = (1 << plane.width) - 1, fields = 8 / plane.width;
  const uint64_t mask = kEachByte * static_cast<uint64_t>(byte_mask);
  for (int base = 0; base < count; base += plane.run * fields, to += plane.run) {
    int l = 0;
    for (; l + 8 <= plane.run; l += 8) {
      uint64_t bytes = 0;
      for (int f = 0; f < fields; ++f) {
        bytes |= (Load8(code + base + f * plane.run + l) >> plane.shift & mask) << (plane.width * f);
      }
      Store8(bytes, to + l);
    }
    for (; l < plane.run; ++l) {
      int byte = 0;
      for (int f = 0; f < fields; ++f) {
        byte |= (code[base + f * plane.run + l] >> plane.shift & byte_mask) << (plane.width * f);
      }
      to[l] = static_cast<uint8_t>(byte);
    }
  }
}

// Where the parts of a block lie; -1: absent.
struct Placement {
  GgmlType type;
  int bytes;
  GgmlIntegerLayout layout;
  int d, dmin, scales;
  Plane low;
  int low_at;
  Plane high;
  int high_at;
};

constexpr Placement kPlacements[] = {
    {GgmlType::kQ4_0, 18, {32, 32, 4, 8, 1, 1, 0}, 0, -1, -1, {4, 16, 0}, 2, {}, -1},
    {GgmlType::kQ4_1, 20, {32, 32, 4, 0, 1, 1, 1}, 0, 2, -1, {4, 16, 0}, 4, {}, -1},
    {GgmlType::kQ5_0, 22, {32, 32, 5, 16, 1, 1, 0}, 0, -1, -1, {4, 16, 0}, 6, {1, 1, 4}, 2},
    {GgmlType::kQ5_1, 24, {32, 32, 5, 0, 1, 1, 1}, 0, 2, -1, {4, 16, 0}, 8, {1, 1, 4}, 4},
    {GgmlType::kQ8_0, 34, {32, 32, 8, 128, 1, 1, 0}, 0, -1, -1, {8, 32, 0}, 2, {}, -1},
    {GgmlType::kQ2_K, 84, {256, 16, 2, 0, 0, 15, 15}, 80, 82, 0, {2, 32, 0}, 16, {}, -1},
    {GgmlType::kQ3_K, 110, {256, 16, 3, 4, -32, 31, 0}, 108, -1, 96, {2, 32, 0}, 32, {1, 32, 2}, 0},
    {GgmlType::kQ4_K, 144, {256, 32, 4, 0, 0, 63, 63}, 0, 2, 4, {4, 32, 0}, 16, {}, -1},
    {GgmlType::kQ5_K, 176, {256, 32, 5, 0, 0, 63, 63}, 0, 2, 4, {4, 32, 0}, 48, {1, 32, 4}, 16},
    {GgmlType::kQ6_K, 210, {256, 16, 6, 32, -128, 127, 0}, 208, -1, 192, {4, 64, 0}, 0, {2, 32, 4}, 128},
    {GgmlType::kTQ1_0, 54, {256, 256, 2, 1, 1, 1, 0}, 52, -1, -1, {}, 0, {}, -1},
    {GgmlType::kTQ2_0, 66, {256, 256, 2, 1, 1, 1, 0}, 64, -1, -1, {2, 32, 0}, 0, {}, -1},
};

// Index into kPlacements by type number, one for each block of a file; -1: not an integer type.
constexpr auto kPlacementOf = [] {
  std::array<int8_t, 40> index{};
  index.fill(-1);
  for (size_t i = 0; i < std::size(kPlacements); ++i) {
    index[static_cast<size_t>(kPlacements[i].type)] = static_cast<int8_t>(i);
  }
  return index;
}();

const Placement* FindPlacement(GgmlType type) {
  const auto number = static_cast<size_t>(type);
  if (number >= kPlacementOf.size() || kPlacementOf[number] < 0) return nullptr;
  return &kPlacements[kPlacementOf[number]];
}

const Placement& NeedPlacement(GgmlType type, size_t bytes) {
  const Placement* p = FindPlacement(type);
  if (p == nullptr) Fail("{} blocks are not on an integer grid and have no codes", NameOf(type));
  if (bytes != static_cast<size_t>(p->bytes))
    Fail("a {} block has {} bytes, not {}", NameOf(type), p->bytes, bytes);
  return *p;
}

// Q4_K and Q5_K: bytes 0..3 and 4..7 hold scales and mins 0..3 in their low 6 bits; scales and mins 4..7 have
// their low nibbles in bytes 8..11 and their upper two bits on top of bytes 0..7.
void UnpackSixBit(In packed, GgmlBlock& block) {
  for (int j = 0; j < 4; ++j) {
    block.scale[j] = static_cast<int8_t>(packed[j] & 63);
    block.min[j] = packed[4 + j] & 63;
    block.scale[4 + j] = static_cast<int8_t>((packed[8 + j] & 15) | (packed[j] >> 6) << 4);
    block.min[4 + j] = static_cast<uint8_t>(packed[8 + j] >> 4 | (packed[4 + j] >> 6) << 4);
  }
}

void PackSixBit(const GgmlBlock& block, Out packed) {
  for (int j = 0; j < 4; ++j) {
    const int scale = block.scale[4 + j], min = block.min[4 + j];
    packed[j] = static_cast<uint8_t>(block.scale[j] | (scale >> 4) << 6);
    packed[4 + j] = static_cast<uint8_t>(block.min[j] | (min >> 4) << 6);
    packed[8 + j] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
  }
}

// Q3_K: low nibbles as one plane of 8-byte runs, upper bits as a plane of 4-byte runs.
constexpr Plane kQ3ScaleLow = {4, 8, 0}, kQ3ScaleHigh = {2, 4, 4};

// TQ1_0: bytes of five base-3 digits (a value q in 0..242 is stored as ceil(q * 256 / 243)); the most
// significant digit belongs to the first run. Two runs of 32 and 16 bytes, then 4 bytes of four digits.
struct TernaryRun {
  int at, code, run, digits;
};
constexpr TernaryRun kTernaryRuns[] = {{0, 0, 32, 5}, {32, 160, 16, 5}, {48, 240, 4, 4}};

void UnpackTernary(In bytes, Out code) {
  constexpr int kPower[] = {1, 3, 9, 27, 81};
  for (const TernaryRun& r : kTernaryRuns) {
    for (int n = 0; n < r.digits; ++n) {
      for (int l = 0; l < r.run; ++l) {
        const int shifted = bytes[r.at + l] * kPower[n] & 255;
        code[r.code + n * r.run + l] = static_cast<uint8_t>(shifted * 3 >> 8);
      }
    }
  }
}

void PackTernary(const uint8_t* code, Out bytes) {
  for (const TernaryRun& r : kTernaryRuns) {
    for (int l = 0; l < r.run; ++l) {
      int value = 0;
      for (int n = 0; n < 5; ++n) value = value * 3 + (n < r.digits ? code[r.code + n * r.run + l] : 0);
      bytes[r.at + l] = static_cast<uint8_t>((value * 256 + 242) / 243);
    }
  }
}

void CheckRanges(const Placement& p, const GgmlBlock& block) {
  const GgmlIntegerLayout& layout = p.layout;
  const int code_high = p.type == GgmlType::kTQ1_0 ? 2 : (1 << layout.bits) - 1;
  for (int i = 0; i < layout.block; ++i) {
    if (block.code[i] > code_high)
      Fail("code {} in a {} block, at most {} fits", block.code[i], NameOf(p.type), code_high);
  }
  for (int g = 0; g < layout.groups(); ++g) {
    if (p.scales >= 0 && (block.scale[g] < layout.scale_low || block.scale[g] > layout.scale_high)) {
      Fail("scale {} in a {} block, {} to {} fit", block.scale[g], NameOf(p.type), layout.scale_low,
           layout.scale_high);
    }
    if (layout.min_high > 1 && block.min[g] > layout.min_high) {
      Fail("minimum {} in a {} block, at most {} fits", block.min[g], NameOf(p.type), layout.min_high);
    }
  }
}

}  // namespace

std::optional<GgmlIntegerLayout> IntegerLayoutOf(GgmlType type) {
  const Placement* p = FindPlacement(type);
  if (p == nullptr) return std::nullopt;
  return p->layout;
}

void UnpackGgml(GgmlType type, std::span<const std::byte> bytes, GgmlBlock& block) {
  UnpackGgml(type, bytes, block, block.code.data());
}

void UnpackGgml(GgmlType type, std::span<const std::byte> bytes, GgmlBlock& block, uint8_t* codes) {
  const Placement& p = NeedPlacement(type, bytes.size());
  const In in = reinterpret_cast<In>(bytes.data());
  block.d = LoadF16(in + p.d);
  block.dmin = p.dmin >= 0 ? LoadF16(in + p.dmin) : 0;
  if (p.layout.min_high == 1) block.dmin ^= 0x8000;
  block.scale.fill(1);
  block.min.fill(p.layout.min_high > 0 ? 1 : 0);
  switch (type) {
    case GgmlType::kTQ1_0:
      return UnpackTernary(in, codes);
    case GgmlType::kQ8_0:
      for (int i = 0; i < 32; i += 8) Store8(Load8(in + p.low_at + i) ^ 0x80 * kEachByte, codes + i);
      return;
    case GgmlType::kQ2_K:
      for (int g = 0; g < 16; ++g) {
        block.scale[g] = static_cast<int8_t>(in[g] & 15);
        block.min[g] = in[g] >> 4;
      }
      break;
    case GgmlType::kQ3_K: {
      uint8_t scales[16] = {};
      Gather<false>(kQ3ScaleLow, in + p.scales, 16, scales);
      Gather<true>(kQ3ScaleHigh, in + p.scales + 8, 16, scales);
      for (int g = 0; g < 16; ++g) block.scale[g] = static_cast<int8_t>(scales[g] - 32);
      break;
    }
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
      UnpackSixBit(in + p.scales, block);
      break;
    case GgmlType::kQ6_K:
      std::memcpy(block.scale.data(), in + p.scales, 16);
      break;
    default:
      break;
  }
  Gather<false>(p.low, in + p.low_at, p.layout.block, codes);
  if (p.high_at >= 0) Gather<true>(p.high, in + p.high_at, p.layout.block, codes);
}

void PackGgml(GgmlType type, const GgmlBlock& block, std::span<std::byte> bytes) {
  const Placement& p = NeedPlacement(type, bytes.size());
  CheckRanges(p, block);
  const Out out = reinterpret_cast<Out>(bytes.data());
  StoreF16(block.d, out + p.d);
  if (p.dmin >= 0)
    StoreF16(static_cast<uint16_t>(p.layout.min_high == 1 ? block.dmin ^ 0x8000 : block.dmin), out + p.dmin);
  switch (type) {
    case GgmlType::kTQ1_0:
      return PackTernary(block.code.data(), out);
    case GgmlType::kQ8_0:
      for (int i = 0; i < 32; ++i) out[p.low_at + i] = block.code[i] ^ 0x80;
      return;
    case GgmlType::kQ2_K:
      for (int g = 0; g < 16; ++g) out[g] = static_cast<uint8_t>(block.scale[g] | block.min[g] << 4);
      break;
    case GgmlType::kQ3_K: {
      uint8_t scales[16];
      for (int g = 0; g < 16; ++g) scales[g] = static_cast<uint8_t>(block.scale[g] + 32);
      Scatter(kQ3ScaleLow, scales, 16, out + p.scales);
      Scatter(kQ3ScaleHigh, scales, 16, out + p.scales + 8);
      break;
    }
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
      PackSixBit(block, out + p.scales);
      break;
    case GgmlType::kQ6_K:
      std::memcpy(out + p.scales, block.scale.data(), 16);
      break;
    default:
      break;
  }
  Scatter(p.low, block.code.data(), p.layout.block, out + p.low_at);
  if (p.high_at >= 0) Scatter(p.high, block.code.data(), p.layout.block, out + p.high_at);
}

void DequantizeGgml(const GgmlIntegerLayout& layout, const GgmlBlock& block, std::span<float> out) {
  const float d = F16ToFloat(block.d), dmin = F16ToFloat(block.dmin);
  for (int g = 0; g < layout.groups(); ++g) {
    const float scale = d * static_cast<float>(block.scale[g]);
    float* to = out.data() + g * layout.group;
    const uint8_t* code = block.code.data() + g * layout.group;
    if (layout.min_high == 0) {
      for (int i = 0; i < layout.group; ++i) to[i] = scale * static_cast<float>(code[i] - layout.zero);
    } else {
      const float min = dmin * static_cast<float>(block.min[g]);
      for (int i = 0; i < layout.group; ++i) to[i] = scale * static_cast<float>(code[i]) - min;
    }
  }
}

void DequantizeGgml(GgmlType type, std::span<const std::byte> bytes, std::span<float> out) {
  const BlockSize size = BlockSizeOf(type);
  const auto elements = static_cast<size_t>(size.elements), block_bytes = static_cast<size_t>(size.bytes);
  if (out.size() % elements != 0 || bytes.size() != out.size() / elements * block_bytes) {
    Fail("{} bytes of {} do not hold {} values", bytes.size(), NameOf(type), out.size());
  }
  const auto layout = IntegerLayoutOf(type);
  GgmlBlock block;
  for (size_t b = 0; b < out.size() / elements; ++b) {
    const auto from = bytes.subspan(b * block_bytes, block_bytes);
    const auto to = out.subspan(b * elements, elements);
    if (layout) {
      UnpackGgml(type, from, block);
      DequantizeGgml(*layout, block, to);
    } else {
      DequantizeTableBlock(type, from.data(), to.data());
    }
  }
}

}  // namespace lowbit
