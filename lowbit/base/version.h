#pragma once

namespace lowbit {

// "MAJOR.MINOR.PATCH" of the library that is linked.
const char* Version();

}  // namespace lowbit
