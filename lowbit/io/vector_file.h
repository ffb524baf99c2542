// Files of vectors as the nearest-neighbour benchmarks publish them: .fvecs (float), .bvecs (bytes) and
// .ivecs (int32). Each vector is an int32 number of dimensions followed by its entries, little-endian,
// without a header. And matrices of NumPy (.npy).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lowbit/io/file.h"
#include "lowbit/io/npy.h"

namespace lowbit {

struct Vectors {
  int64_t count = 0, dim = 0;
  std::vector<float> data;  // (count, dim)
};

// A file of vectors read a block at a time: it may exceed memory.
class VectorFile {
 public:
  // .fvecs, .bvecs or .npy with shape (n, d). Throws, naming the file, for other endings and sizes that do
  // not fit.
  explicit VectorFile(const std::filesystem::path& path);

  int64_t count() const { return count_; }
  int64_t dim() const { return dim_; }
  std::string name() const { return file_.path().string(); }
  // x (rows, dim) = vectors first ... first + rows - 1. Throws for a vector that states other dimensions than
  // the first.
  void Read(int64_t first, int64_t rows, float* x) const;

 private:
  MappedFile file_;
  NpyArray array_;  // of .npy
  int64_t count_ = 0, dim_ = 0, entry_bytes_ = 4;
};

// Reads .fvecs, .bvecs or .npy, the first `limit` vectors (0: all). Throws, naming the file and the vector,
// for other endings, truncated files and vectors of different dimensions.
Vectors ReadVectors(const std::filesystem::path& path, int64_t limit = 0);

// The same of bytes in memory, called `name` in messages.
enum class VectorEntries : uint8_t { kFloats, kBytes };
Vectors ParseVectors(std::span<const std::byte> bytes, VectorEntries entries, const std::string& name,
                     int64_t limit = 0);

struct IdLists {
  int64_t count = 0, length = 0;
  std::vector<int32_t> ids;  // (count, length)
};

// Reads .ivecs: for each query, the ids of its neighbours, nearest first.
IdLists ReadIds(const std::filesystem::path& path, int64_t limit = 0);

}  // namespace lowbit
