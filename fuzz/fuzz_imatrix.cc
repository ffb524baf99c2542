#include <cstdlib>

#include "fuzz/exercise.h"
#include "lowbit/io/imatrix_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    lowbit::Imatrix imatrix = lowbit::ParseImatrix(std::as_bytes(std::span(data, size)), "input");
    if (imatrix.chunks() < 0) std::abort();
    for (const auto& named : imatrix.entries) {
      if (named.second.sum.empty()) std::abort();
      lowbit::AllowErrors([&] { named.second.Mean(); });
    }
    const lowbit::Imatrix again = imatrix;
    imatrix.Add(again, "input");
  });
  return 0;
}
