#include <fmt/format.h>

#include <string_view>

#include "cli/lab_loader.h"
#include "lowbit/base/error.h"
#include "lowbit/base/version.h"

int main(int argc, char** argv) {
  try {
    if (argc > 1 && std::string_view(argv[1]) == "train") return lowbit::cli::RunLab(argc - 1, argv + 1);
    fmt::print("lowbit {}\n", lowbit::Version());
    return 0;
  } catch (const lowbit::Error& error) {
    fmt::print(stderr, "lowbit: {}\n", error.what());
    return 1;
  }
}
