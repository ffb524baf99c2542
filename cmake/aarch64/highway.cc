// The part of Highway's library that a build from its headers alone needs: which targets there are and which is
// chosen. Every 64-bit Arm processor has NEON, so nothing is detected.
#include <hwy/highway.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace hwy {
namespace {
int64_t for_test = 0;
}

int64_t SupportedTargets() { return for_test != 0 ? for_test : HWY_TARGETS; }
void SetSupportedTargetsForTest(int64_t targets) { for_test = targets; }

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

HWY_NORETURN void Abort(const char* file, int line, const char* format, ...) {
  std::fprintf(stderr, "%s:%d: ", file, line);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::abort();
}

}  // namespace hwy
