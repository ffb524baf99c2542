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

// The shape that the first vector states; the file must end with a vector.
Shape ShapeOf(std::span<const std::byte> bytes, const std::string& path, int64_t entry_bytes) {
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
  return shape;
}

// The entries of vector i, which must have the stated dimensions.
const std::byte* EntriesOf(std::span<const std::byte> bytes, const Shape& shape, int64_t i,
                           const std::string& path) {
  const std::byte* vector = bytes.data() + i * shape.row;
  if (const int32_t stated = LoadInt(vector); stated != shape.dim)
    Fail("{}: vector {} states {} dimensions, the first {}", path, i, stated, shape.dim);
  return vector + 4;
}

void ReadRows(std::span<const std::byte> bytes, const Shape& shape, int64_t entry_bytes, int64_t first,
              int64_t rows, const std::string& path, float* to) {
  for (int64_t i = first; i < first + rows; ++i, to += shape.dim) {
    const std::byte* from = EntriesOf(bytes, shape, i, path);
    if (entry_bytes == 1) {
      for (int64_t j = 0; j < shape.dim; ++j) to[j] = static_cast<float>(std::to_integer<int>(from[j]));
    } else {
      std::memcpy(to, from, static_cast<size_t>(shape.dim) * sizeof(float));
    }
  }
}

int64_t Limited(int64_t count, int64_t limit) {
  return limit > 0 ? std::min(count, limit) : count;
}

}  // namespace

Vectors ParseVectors(std::span<const std::byte> bytes, VectorEntries entries, const std::string& name,
                     int64_t limit) {
  const int64_t entry_bytes = entries == VectorEntries::kBytes ? 1 : 4;
  const Shape shape = ShapeOf(bytes, name, entry_bytes);
  const int64_t count = Limited(shape.count, limit);
  Vectors vectors{count, shape.dim, std::vector<float>(static_cast<size_t>(count * shape.dim))};
  ReadRows(bytes, shape, entry_bytes, 0, count, name, vectors.data.data());
  return vectors;
}

VectorFile::VectorFile(const std::filesystem::path& path) : file_(path) {
  const auto extension = path.extension();
  if (extension == ".npy") {
    array_ = ParseNpy(file_.bytes(), name());
    if (array_.shape.size() != 2 || array_.shape[1] < 1 || array_.shape[1] > kMostDimensions)
      Fail("{}: an array of {} dimensions; vectors need two, (n, d)", name(), array_.shape.size());
    count_ = array_.shape[0];
    dim_ = array_.shape[1];
    if (count_ == 0) Fail("{}: holds no vector", name());
    ReadNpyFloats(array_, 0, {}, name());  // names a type that is not read
    return;
  }
  if (extension != ".bvecs" && extension != ".fvecs")
    Fail("{}: vectors are read from .fvecs, .bvecs and .npy files", name());
  entry_bytes_ = extension == ".bvecs" ? 1 : 4;
  const Shape shape = ShapeOf(file_.bytes(), name(), entry_bytes_);
  count_ = shape.count;
  dim_ = shape.dim;
}

void VectorFile::Read(int64_t first, int64_t rows, float* x) const {
  if (first < 0 || rows < 0 || first + rows > count_)
    Fail("{}: vectors {} to {} of {}", name(), first, first + rows, count_);
  if (!array_.shape.empty())
    return ReadNpyFloats(array_, first * dim_, {x, static_cast<size_t>(rows * dim_)}, name());
  ReadRows(file_.bytes(), {count_, dim_, 4 + dim_ * entry_bytes_}, entry_bytes_, first, rows, name(), x);
}

Vectors ReadVectors(const std::filesystem::path& path, int64_t limit) {
  const VectorFile file(path);
  const int64_t count = Limited(file.count(), limit);
  Vectors vectors{count, file.dim(), std::vector<float>(static_cast<size_t>(count * file.dim()))};
  file.Read(0, count, vectors.data.data());
  return vectors;
}

IdLists ReadIds(const std::filesystem::path& path, int64_t limit) {
  if (path.extension() != ".ivecs") Fail("{}: ids are read from .ivecs files", path.string());
  const MappedFile file(path);
  const Shape shape = ShapeOf(file.bytes(), path.string(), 4);
  const int64_t count = Limited(shape.count, limit);
  IdLists lists{count, shape.dim, std::vector<int32_t>(static_cast<size_t>(count * shape.dim))};
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(lists.ids.data() + i * shape.dim, EntriesOf(file.bytes(), shape, i, path.string()),
                static_cast<size_t>(shape.dim) * sizeof(int32_t));
  }
  return lists;
}

}  // namespace lowbit
