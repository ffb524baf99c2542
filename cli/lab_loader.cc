#include "cli/lab_loader.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "lowbit/base/error.h"

namespace lowbit::cli {

int RunLab(int argc, const char* const* argv) {
  namespace fs = std::filesystem;
  constexpr const char* kLibrary = "liblowbit_lab.so";
  // Waiting OpenMP threads must not spin: beside another busy process a gradient step took 1.15 s instead of
  // 0.16.
  setenv("OMP_WAIT_POLICY", "passive", 0);
  std::vector<fs::path> places;
  if (const char* named = std::getenv("LOWBIT_LAB_LIBRARY")) {
    places = {named};
  } else {
    std::error_code ignored;
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
    places = {program.parent_path() / kLibrary, program.parent_path().parent_path() / "lib" / kLibrary,
              program.parent_path().parent_path() / LOWBIT_LIBRARY_FOLDER / kLibrary};
  }
  std::string reason;
  for (const fs::path& place : places) {
    if (!fs::exists(place)) continue;
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifndef __SANITIZE_ADDRESS__
    flags |= RTLD_DEEPBIND;  // libtorch's own libraries before whatever the program has loaded
#endif
    void* library = dlopen(place.c_str(), flags);
    if (library == nullptr) {
      reason = dlerror();
      continue;
    }
    using Main = int (*)(int, const char* const*);
    const auto run = reinterpret_cast<Main>(dlsym(library, "lowbit_lab_main"));
    if (run == nullptr) Fail("{}: not the laboratory of lowbit (no lowbit_lab_main)", place.string());
    return run(argc, argv);
  }
  if (!reason.empty()) Fail("'{}' needs the laboratory, which does not load: {}", argv[0], reason);
  Fail(
      "'{}' needs the laboratory, and {} is not there; build with -DLOWBIT_LAB=ON (needs libtorch) or name "
      "the file in "
      "LOWBIT_LAB_LIBRARY",
      argv[0], places.front().string());
}

}  // namespace lowbit::cli
