// Errors of a part, told with the file that the part was read from.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "lowbit/base/error.h"

namespace lowbit {

// Runs `body`. An Error that leaves it names `where` (a file, a tensor): "where: message", unless it already
// begins with it. Wrong usage and the wish to stop pass as they are.
template <typename Body>
decltype(auto) Naming(const std::string& where, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const UsageError&) {
    throw;
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(where)) throw;
    throw Error(where + ": " + error.what());
  }
}

}  // namespace lowbit
