#include "lowbit/io/vector_file.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"

namespace lowbit {
namespace {

constexpr int32_t kMostDimensions = 1 << 20;

int32_t LoadInt(const std::byte* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

struct Shape {
  int64_t count, dim, row;  // row: bytes of a vector with its count
};

// Every vector must state the first one's dimensions, and the file must end with a vector.
Shape ShapeOf(std::span<const std::byte> bytes, const std::string& path, int64_t entry_bytes, int64_t limit) {
  if (bytes.size() < 4) Fail("{}: holds no vector", path);
  const int32_t dim = LoadInt(bytes.data());
  if (dim < 1 || dim > kMostDimensions)
    Fail("{}: the first vector states {} dimensions; 1 to {} are possible", path, dim, kMostDimensions);
  Shape shape{0, dim, 4 + dim * entry_bytes};
  const auto size = static_cast<int64_t>(bytes.size());
  if (size % shape.row != 0)
    Fail("{}: its {} bytes are no whole number of vectors of {} dimensions ({} bytes each)", path, size, dim,
         shape.row);
  shape.count = size / shape.row;
  if (limit > 0) shape.count = std::min(shape.count, limit);
  for (int64_t i = 0; i < shape.count; ++i) {
    const int32_t stated = LoadInt(bytes.data() + i * shape.row);
    if (stated != dim) Fail("{}: vector {} states {} dimensions, the first {}", path, i, stated, dim);
  }
  return shape;
}

}  // namespace

Vectors ParseVectors(std::span<const std::byte> bytes, VectorEntries entries, const std::string& name,
                     int64_t limit) {
  const bool of_bytes = entries == VectorEntries::kBytes;
  const Shape shape = ShapeOf(bytes, name, of_bytes ? 1 : 4, limit);
  Vectors vectors{shape.count, shape.dim, std::vector<float>(static_cast<size_t>(shape.count * shape.dim))};
  for (int64_t i = 0; i < shape.count; ++i) {
    const std::byte* from = bytes.data() + i * shape.row + 4;
    float* to = vectors.data.data() + i * shape.dim;
    if (of_bytes) {
      for (int64_t j = 0; j < shape.dim; ++j) to[j] = static_cast<float>(std::to_integer<int>(from[j]));
    } else {
      std::memcpy(to, from, static_cast<size_t>(shape.dim) * sizeof(float));
    }
  }
  return vectors;
}

Vectors ReadVectors(const std::filesystem::path& path, int64_t limit) {
  const bool of_bytes = path.extension() == ".bvecs";
  if (!of_bytes && path.extension() != ".fvecs")
    Fail("{}: vectors are read from .fvecs and .bvecs files", path.string());
  const MappedFile file(path);
  return ParseVectors(file.bytes(), of_bytes ? VectorEntries::kBytes : VectorEntries::kFloats, path.string(),
                      limit);
}

IdLists ReadIds(const std::filesystem::path& path, int64_t limit) {
  if (path.extension() != ".ivecs") Fail("{}: ids are read from .ivecs files", path.string());
  const MappedFile file(path);
  const Shape shape = ShapeOf(file.bytes(), path.string(), 4, limit);
  IdLists lists{shape.count, shape.dim, std::vector<int32_t>(static_cast<size_t>(shape.count * shape.dim))};
  for (int64_t i = 0; i < shape.count; ++i) {
    std::memcpy(lists.ids.data() + i * shape.dim, file.bytes().data() + i * shape.row + 4,
                static_cast<size_t>(shape.dim) * sizeof(int32_t));
  }
  return lists;
}

}  // namespace lowbit
