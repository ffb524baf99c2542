#include "lowbit/base/version.h"

namespace lowbit {

const char* Version() {
  return LOWBIT_VERSION;
}

}  // namespace lowbit
