#include "fuzz/exercise.h"
#include "lowbit/io/vector_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const auto entries : {lowbit::VectorEntries::kFloats, lowbit::VectorEntries::kBytes})
    lowbit::AllowErrors([&] { lowbit::ParseVectors(bytes, entries, "input"); });
  lowbit::AllowErrors([&] {
    const lowbit::NpyArray array = lowbit::ParseNpy(bytes, "input");
    std::vector<float> x(std::min<size_t>(1024, static_cast<size_t>(array.entries())));
    lowbit::ReadNpyFloats(array, 0, x, "input");
  });
  lowbit::AllowErrors([&] { lowbit::ReadNpyIntegers(lowbit::ParseNpy(bytes, "input"), "input"); });
  return 0;
}
