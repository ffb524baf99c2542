#include "fuzz/exercise.h"
#include "lowbit/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    const lowbit::SafetensorsFile file(std::as_bytes(std::span(data, size)), "input");
    lowbit::ReadEveryTensor(file);
  });
  return 0;
}
