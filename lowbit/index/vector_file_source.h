// The vectors of a file (io/vector_file.h) as a source of points, read a block at a time.
#pragma once

#include "lowbit/io/vector_file.h"
#include "lowbit/quantize/point_source.h"

namespace lowbit {

class VectorFileSource final : public PointSource {
 public:
  // `limit` > 0: the first vectors only.
  explicit VectorFileSource(const std::filesystem::path& path, int64_t limit = 0)
      : file_(path), count_(limit > 0 ? std::min(limit, file_.count()) : file_.count()) {}
  int64_t count() const override { return count_; }
  int64_t dimension() const override { return file_.dim(); }
  std::string name() const { return file_.name(); }
  PointBlock Read(int64_t first, int64_t rows, PointScratch& scratch) const override {
    scratch.points.Reserve(static_cast<size_t>(rows * dimension()));
    file_.Read(first, rows, scratch.points.data());
    return {{scratch.points.data(), rows, dimension()}, nullptr};
  }

 private:
  VectorFile file_;
  int64_t count_;
};

}  // namespace lowbit
