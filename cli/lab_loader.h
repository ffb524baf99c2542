// lab/ is a shared library that is loaded on first use: libtorch takes over a second to start and 160 MB.
#pragma once

namespace lowbit::cli {

// Runs a command of the laboratory; argv[0] is its name. The library is looked for in LOWBIT_LAB_LIBRARY (a
// path), next to the program and in ../lib. Throws Error that says how to get it when it is absent.
int RunLab(int argc, const char* const* argv);

}  // namespace lowbit::cli
