// The door of the shared library: what the program calls after dlopen.
#pragma once

// Runs the command argv[0] ("train") with its arguments. Returns the exit code; errors are printed to stderr,
// nothing is thrown across this line.
extern "C" __attribute__((visibility("default"))) int lowbit_lab_main(int argc, const char* const* argv);
