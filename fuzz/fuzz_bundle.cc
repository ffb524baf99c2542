// Lowbit's own file: what is accepted loads, unpacks and dequantizes every matrix, and its tables can be
// read.
#include "fuzz/exercise.h"
#include "lowbit/io/safetensors.h"
#include "lowbit/model/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    const auto file =
        std::make_shared<lowbit::SafetensorsFile>(std::as_bytes(std::span(data, size)), "input");
    const lowbit::Bundle bundle(file);
    for (const std::string& name : bundle.Names()) {
      lowbit::AllowErrors([&] { bundle.StoredAs(name); });
      lowbit::AllowErrors([&] { bundle.StoredBytes(name); });
      lowbit::AllowErrors([&] { bundle.Floats(name); });
      lowbit::AllowErrors([&] { lowbit::Codes(bundle, name); });
    }
  });
  return 0;
}
