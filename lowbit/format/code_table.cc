#include "lowbit/format/code_table.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <list>
#include <mutex>
#include <utility>

#include "lowbit/format/byte_decode.h"

namespace lowbit {
namespace {

CodeTable Make(const Alphabet& alphabet) {
  CodeTable t{.table = TableOf(alphabet)};
  for (size_t c = 0; c < t.table.value.size(); ++c)
    t.value[c] = std::isnan(t.table.value[c]) ? 0.0f : t.table.value[c];
  if (t.table.bits > 6) return t;
  const ByteDecode bytes = DecodeToBytes(t.table);
  t.in_bytes = t.table.bits <= 4 || bytes.exact();
  if (!t.in_bytes) return t;
  t.unit = static_cast<float>(bytes.unit);
  t.error = bytes.error;
  const auto [low, high] = std::minmax_element(bytes.high.begin(), bytes.high.end());
  t.centre = std::max(0, -*low);
  // The narrowest width: the dot product without VNNI adds more of narrow numbers before it must widen.
  t.width = std::max(1, static_cast<int>(std::bit_width(static_cast<unsigned>(*high + t.centre))));
  for (size_t c = 0; c < bytes.high.size(); ++c) t.byte[c] = static_cast<uint8_t>(bytes.high[c] + t.centre);
  return t;
}

}  // namespace

const CodeTable& CodeTableOf(const Alphabet& alphabet) {
  static std::mutex mutex;
  static std::list<std::pair<Alphabet, CodeTable>> known;
  const std::lock_guard lock(mutex);
  for (const auto& [key, table] : known) {
    if (key == alphabet) return table;
  }
  return known.emplace_back(alphabet, Make(alphabet)).second;
}

}  // namespace lowbit
