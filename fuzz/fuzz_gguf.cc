#include "fuzz/exercise.h"
#include "lowbit/io/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    const lowbit::GgufFile file(std::as_bytes(std::span(data, size)), "input");
    for (const std::string& key : file.Keys()) {
      lowbit::AllowErrors([&] { file.GetInteger(key); });
      lowbit::AllowErrors([&] { file.GetNumber(key); });
      lowbit::AllowErrors([&] { file.GetBool(key); });
      lowbit::AllowErrors([&] { file.GetString(key); });
      lowbit::AllowErrors([&] { file.GetIntegers(key); });
      lowbit::AllowErrors([&] { file.GetNumbers(key); });
      lowbit::AllowErrors([&] { file.GetStrings(key); });
    }
    lowbit::ReadEveryTensor(file);
  });
  return 0;
}
