// Files of vectors as the nearest-neighbour benchmarks publish them: .fvecs (float), .bvecs (bytes) and
// .ivecs (int32). Each vector is an int32 number of dimensions followed by its entries, little-endian,
// without a header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace lowbit {

struct Vectors {
  int64_t count = 0, dim = 0;
  std::vector<float> data;  // (count, dim)
};

// Reads .fvecs or .bvecs, the first `limit` vectors (0: all). Throws, naming the file and the vector, for
// other endings, truncated files and vectors of different dimensions.
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
