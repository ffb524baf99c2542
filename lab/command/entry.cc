#include "lab/command/entry.h"

#include <cstdio>
#include <string_view>

#include "lab/command/train.h"
#include "lab/torch.h"
#include "lowbit/base/error.h"

int lowbit_lab_main(int argc, const char* const* argv) {
  try {
    const std::string_view command = argc > 0 ? argv[0] : "";
    if (command == "train") return lowbit::lab::TrainCommand(argc, argv);
    lowbit::FailUsage("'{}' is no command of the laboratory", command);
  } catch (const lowbit::UsageError& error) {
    fmt::print(stderr, "lowbit: {}\n", error.what());
    return 2;
  } catch (const c10::Error& error) {
    fmt::print(stderr, "lowbit: libtorch: {}\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "lowbit: {}\n", error.what());
    return 1;
  }
}
