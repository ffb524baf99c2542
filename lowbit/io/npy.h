// Arrays of NumPy (.npy, format versions 1 to 3): one little-endian array in C order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lowbit {

struct NpyArray {
  std::string type;  // "f2", "f4", "f8", "u1", "i1", "i2", "i4", "i8", ...: kind and bytes of an entry
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // of the file

  int64_t entry_bytes() const { return type[1] - '0'; }
  int64_t entries() const;
};

// Throws Error, naming the file, for a damaged header, another byte order, Fortran order and for data that do
// not have the size of the shape.
NpyArray ParseNpy(std::span<const std::byte> bytes, const std::string& name);

// Entries first ... first + to.size() - 1 as floats. Throws for types other than f2, f4, f8, u1 and i1.
void ReadNpyFloats(const NpyArray& array, int64_t first, std::span<float> to, const std::string& name);
// All entries of an integer array.
std::vector<int64_t> ReadNpyIntegers(const NpyArray& array, const std::string& name);

// What precedes the entries of an array of `type` ("f4", "i8" ...) in a file, format version 1.
std::string NpyHeader(const std::string& type, const std::vector<int64_t>& shape);

}  // namespace lowbit
