// Names of number formats: what is accepted has a name that means the same, and a table that rounds its own
// levels to themselves.
#include <string_view>

#include "fuzz/exercise.h"
#include "lowbit/format/scalar_format.h"

namespace lowbit {
namespace {

void Exercise(std::string_view text) {
  const ScalarFormat format = ParseScalarFormat(text);
  bool same = false;
  AllowErrors([&] { same = ParseScalarFormat(NameOf(format)) == format; });
  if (!same) __builtin_trap();
  const Table table = TableOf(format.alphabet);
  for (int r = 0; r < table.size(); ++r) {
    if (RankOf(table, table.level[static_cast<size_t>(r)]) != r) __builtin_trap();
  }
}

}  // namespace
}  // namespace lowbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  lowbit::AllowErrors([&] { lowbit::Exercise(text); });
  return 0;
}
