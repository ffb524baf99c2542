// Errors are part of the product: every message names the file, tensor, line or option and says what would be
// right.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace lowbit {

// Base of everything lowbit throws. The program prints what() and exits with 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The request itself is wrong (an option, a format name): exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

// The user asked to stop (Ctrl-C). Long work leaves nothing half-written under a final name.
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> message, Args&&... args) {
  throw Error(fmt::format(message, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void FailUsage(fmt::format_string<Args...> message, Args&&... args) {
  throw UsageError(fmt::format(message, std::forward<Args>(args)...));
}

}  // namespace lowbit
