#include "lowbit/format/tensor_floats.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/format/ggml_blocks.h"
#include "lowbit/io/read_tensor.h"

namespace lowbit {
namespace {

// Values a task converts: a whole number of blocks of every type, and enough work to be worth handing out.
constexpr int64_t kTaskValues = 1 << 16;

std::vector<float> Convert(const TensorView& view, int64_t first, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  const BlockSize block = BlockSizeOf(view.type);
  ThreadPool::Global().Run((count + kTaskValues - 1) / kTaskValues, [&](int64_t task, int) {
    const int64_t begin = task * kTaskValues, size = std::min(kTaskValues, count - begin);
    const auto part = std::span(out).subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    if (const auto* type = std::get_if<GgmlType>(&view.type)) {
      const auto at = static_cast<size_t>((first + begin) / block.elements * block.bytes);
      DequantizeGgml(*type, view.bytes.subspan(at, static_cast<size_t>(size / block.elements * block.bytes)),
                     part);
    } else {
      ReadFloats(view, first + begin, part);
    }
  });
  return out;
}

}  // namespace

std::vector<float> TensorToFloats(const TensorSource& source, const std::string& name) {
  const TensorView view = source.Get(name);
  return Convert(view, 0, view.elements());
}

std::vector<float> TensorRowsToFloats(const TensorSource& source, const std::string& name, int64_t first,
                                      int64_t count) {
  const TensorView view = source.Get(name);
  const int64_t rows = view.shape.empty() ? 1 : view.shape.front();
  if (first < 0 || count < 0 || first > rows || count > rows - first) {
    Fail("{}: tensor {} has {} rows, rows {} to {} asked for", source.Where(), name, rows, first,
         first + count);
  }
  if (count == 0) return {};
  const int64_t row = view.elements() / rows, block = BlockSizeOf(view.type).elements;
  if (first * row % block != 0 || count * row % block != 0) {
    Fail("{}: tensor {} is stored in blocks of {}; elements {} to {} cut one", source.Where(), name, block,
         first * row, (first + count) * row);
  }
  return Convert(view, first * row, count * row);
}

}  // namespace lowbit
