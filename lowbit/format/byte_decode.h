// What a table multiplies in: which decode into the byte dot product exactly, which nearly.
//
// A kernel decodes codes to int8 by a byte shuffle and multiplies integers; the unit goes into the scale:
//   value[c] ~ unit high[c]                     one int8 table, -128 <= high <= 127
//   value[c] ~ unit (128 high[c] + low[c])      two, 15 bits: -128 <= high <= 127, -64 <= low <= 63
// Exact when every level is an integer multiple of one unit within that range (E2M1: 12 halves).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/format/table.h"

namespace lowbit {

struct ByteDecode {
  double unit = 0;
  std::vector<int8_t> high, low;  // (2^bits) by code; `low` is empty for one table. Codes with no value: 0
  double error = 0;               // greatest |value - decoded| over the greatest |value|; 0 means exact

  bool exact() const { return error == 0; }
  double Value(uint8_t code) const;
};

// The exact table where there is one, otherwise the unit that makes `error` least among those that put the
// greatest level at n = 64 ... 127 (pair: 8192 ... 16319). The bound for any table is 1/254 (1/32638).
ByteDecode DecodeToBytes(const Table& table);
ByteDecode DecodeToBytePairs(const Table& table);

// Every finite level is a bf16.
bool IsExactInBF16(const Table& table);

// The narrowest arithmetic that multiplies the levels exactly.
enum class Arithmetic : uint8_t { kInt8, kInt8Pair, kBF16, kF32 };
Arithmetic ExactArithmetic(const Table& table);
std::string_view NameOf(Arithmetic arithmetic);

}  // namespace lowbit
