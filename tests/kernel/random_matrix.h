// Random packed matrices and slow references for the kernel tests.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"
#include "lowbit/format/format.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

inline PackedFormat PackedFormatOf(const std::string& name) {
  return std::get<PackedFormat>(ParseFormat(name));
}

// Every width, one- and two-level scales, every offset, tables that bytes hold exactly; groups that divide a
// block, that are wider, that do neither.
inline const std::vector<std::string>& AllFormats() {
  static const std::vector<std::string> names = {
      "int2-g32",       "int2-g64-asym", "int2-g128", "int2",       "int3-g32",      "int3-g64",
      "int3-g128-asym", "int4-g32",      "int4-g64",  "int4-g128",  "int4-g96-asym", "int4-g256",
      "int4",           "int5-g32",      "int5-g64",  "int5-asym",  "int6-g32-asym", "int6-g128",
      "int8-g32",       "int8-g128",     "int8",      "int8-asym",  "int8-g160",     "q4_1",
      "q5_1",           "q2_k",          "q3_k",      "q4_k",       "q5_k",          "q6_k",
      "binary-g32",     "ternary-g64",   "e2m1-g32",  "e2m1",       "mxfp4",         "nvfp4",
      "apot4-g96",      "apot5-g64",     "iq4nl-g32", "mxfp6-e2m3", "apot3-g32",     "apot3-g128",
      "ternary-g32"};
  return names;
}

// The same and tables that bytes hold nearly or not at all.
inline std::vector<std::string> AllStoredFormats() {
  std::vector<std::string> names = AllFormats();
  names.insert(names.end(), {"nf4-g64", "lloyd3-gauss-g64", "nupes4-p0.7-g32", "e3m2-g32", "int7-g32",
                             "mxfp8-e4m3", "mxfp8-e5m2", "e4m3"});
  return names;
}

// Codes uniform (or all at the top when `extreme`), scales of a trained matrix's size.
inline QuantizedMatrix RandomQuantized(const PackedFormat& format, int64_t rows, int64_t cols, uint64_t seed,
                                       bool extreme = false) {
  Random random(seed);
  QuantizedMatrix m{.format = format, .rows = rows, .cols = cols};
  const auto size = [&](int64_t n) { return static_cast<size_t>(rows * n); };
  m.codes.resize(size(cols));
  if (format.alphabet) {
    const Table& table = CodeTableOf(*format.alphabet).table;
    for (auto& c : m.codes) c = extreme ? table.code.back() : table.code[random.Below(table.code.size())];
  }
  for (auto& c : m.codes) {
    if (format.alphabet) break;
    c = static_cast<uint8_t>(extreme ? (1 << format.bits) - 1 : random.Below(uint64_t{1} << format.bits));
  }
  const auto halves = [&](std::vector<uint16_t>& v, int64_t n, float unit) {
    v.resize(size(n));
    for (auto& x : v) x = FloatToF16(unit * (random.Uniform() - 0.2f));
  };
  const auto bytes = [&](auto& v, int64_t n, uint64_t below) {
    v.resize(size(n));
    for (auto& x : v) x = static_cast<std::decay_t<decltype(x)>>(extreme ? below - 1 : random.Below(below));
  };
  if (format.scale == ScaleKind::kF16) {
    halves(m.scale, m.groups(), 0.02f);
  } else if (format.scale == ScaleKind::kE8M0) {
    bytes(m.scale_code, m.groups(), 120);
    for (auto& e : m.scale_code) e = static_cast<uint8_t>(118 + e % 4);
  } else if (format.scale == ScaleKind::kE4M3) {
    bytes(m.scale_code, m.groups(), 127);
    m.tensor_scale = 0.00037f;
  } else {
    bytes(m.sub_scale, m.groups(), NumbersShareByte(format) ? 16 : 256);
    halves(m.super, m.supers(), 0.0005f);
  }
  if (format.offset == OffsetKind::kMinF16) halves(m.min, m.groups(), 0.1f);
  if (format.offset == OffsetKind::kZeroPoint) bytes(m.zero, m.groups(), uint64_t{1} << format.bits);
  if (format.offset == OffsetKind::kSuperMin) {
    bytes(m.zero, m.groups(), NumbersShareByte(format) ? 16 : 64);
    halves(m.super_min, m.supers(), 0.002f);
  }
  return m;
}

// A packed matrix with its bytes.
struct OwnedMatrix {
  explicit OwnedMatrix(const QuantizedMatrix& m)
      : bytes(Aligned(Pack(m))), view(m.format, m.rows, m.cols, bytes.data(), bytes.size()) {}
  Buffer<uint8_t> bytes;
  PackedMatrix view;

 private:
  static Buffer<uint8_t> Aligned(const std::vector<uint8_t>& packed) {
    Buffer<uint8_t> buffer(packed.size());
    std::memcpy(buffer.data(), packed.data(), packed.size());
    return buffer;
  }
};

inline std::vector<float> RandomFloats(int64_t n, uint64_t seed) {
  Random random(seed, 7);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random.Normal();
  return x;
}

}  // namespace lowbit
