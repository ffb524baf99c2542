// What the codes of a table alphabet stand for when a stored matrix is multiplied: floats, and where that is
// exact or near enough, bytes for the integer dot product.
#pragma once

#include <array>
#include <cstdint>

#include "lowbit/format/scalar_format.h"
#include "lowbit/format/table.h"

namespace lowbit {

struct CodeTable {
  Table table;
  std::array<float, 256> value{};  // code -> level; 0 for codes without one
  // In bytes: level ~ unit (byte[code] - centre), 0 <= byte < 2^width. `error` is the greatest difference
  // over the greatest level; 0: exact.
  bool in_bytes = false;  // 16 codes at most, or exact with 64 at most
  std::array<uint8_t, 64> byte{};
  int centre = 0, width = 0;
  float unit = 1;
  double error = 0;
};

// Made once for each alphabet and kept. Throws Error when there is no such table.
const CodeTable& CodeTableOf(const Alphabet& alphabet);

}  // namespace lowbit
