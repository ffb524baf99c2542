#include "fuzz/exercise.h"
#include "lowbit/io/vector_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const auto entries : {lowbit::VectorEntries::kFloats, lowbit::VectorEntries::kBytes})
    lowbit::AllowErrors([&] { lowbit::ParseVectors(bytes, entries, "input"); });
  return 0;
}
