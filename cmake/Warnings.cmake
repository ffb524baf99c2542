# Warnings are errors in our own targets; headers of dependencies are SYSTEM.
add_library(lowbit_warnings INTERFACE)
target_compile_options(lowbit_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports false positives of these inside the standard library and Highway at -O2.
  target_compile_options(lowbit_warnings INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow
                         -Wno-array-bounds -Wno-restrict -Wno-psabi)
endif()
