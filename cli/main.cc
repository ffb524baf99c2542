#include <fmt/format.h>

#include "lowbit/base/version.h"

int main() {
  fmt::print("lowbit {}\n", lowbit::Version());
  return 0;
}
