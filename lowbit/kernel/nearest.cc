#include "lowbit/kernel/nearest.h"

#include <algorithm>
#include <limits>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/nearest.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DI = hn::ScalableTag<int32_t>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
// Three vectors of points times four centroids: twelve independent sums, three points and one broadcast fill
// the sixteen registers of AVX2, and seven loads feed twelve multiply-adds.
constexpr int kVectors = 3, kCentroids = 4;
constexpr int kTile = kVectors * kLanes;

// Channel c of point p of the tile to x[c * kTile + p]; the last point stands in for missing ones.
void Transpose(MatrixView<const float> points, float* x) {
  const int rows = static_cast<int>(points.rows);
  const int64_t width = points.cols;
  int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d4;
  const hn::Repartition<double, decltype(d4)> pairs;
  for (; c + 4 <= width; c += 4) {
    for (int p = 0; p < kTile; p += 4) {
      const auto row = [&](int i) { return hn::LoadU(d4, points.Row(std::min(p + i, rows - 1)) + c); };
      const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
      const auto a = hn::BitCast(pairs, hn::InterleaveLower(d4, r0, r1));
      const auto b = hn::BitCast(pairs, hn::InterleaveLower(d4, r2, r3));
      const auto e = hn::BitCast(pairs, hn::InterleaveUpper(d4, r0, r1));
      const auto f = hn::BitCast(pairs, hn::InterleaveUpper(d4, r2, r3));
      float* to = x + c * kTile + p;
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(pairs, a, b)), d4, to);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(pairs, a, b)), d4, to + kTile);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(pairs, e, f)), d4, to + 2 * kTile);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(pairs, e, f)), d4, to + 3 * kTile);
    }
  }
#endif
  for (int p = 0; p < kTile && c < width; ++p) {
    const float* row = points.Row(std::min(p, rows - 1));
    for (int64_t i = c; i < width; ++i) x[i * kTile + p] = row[i];
  }
}

// Scores of kCount consecutive centroids for the whole tile.
template <int kCount>
struct Scores {
  V s[kCount][kVectors];

  HWY_INLINE Scores(const float* HWY_RESTRICT x, int64_t width, const float* HWY_RESTRICT centroid,
                    int64_t stride, const float* half_norm) {
    const D d;
    V sum[kCount][kVectors];  // apart from `s`, whose address is taken: these stay in registers
    Unroll<0, kCount>([&](auto j) LOWBIT_STEP {
      Unroll<0, kVectors>([&](auto v) LOWBIT_STEP { sum[j][v] = hn::Set(d, half_norm[j]); });
    });
    for (int64_t c = 0; c < width; ++c, x += kTile, ++centroid) {
      const auto x0 = hn::LoadU(d, x), x1 = hn::LoadU(d, x + kLanes), x2 = hn::LoadU(d, x + 2 * kLanes);
      Unroll<0, kCount>([&](auto j) LOWBIT_STEP {
        const auto b = hn::Set(d, centroid[j * stride]);
        sum[j][0] = hn::NegMulAdd(b, x0, sum[j][0]);
        sum[j][1] = hn::NegMulAdd(b, x1, sum[j][1]);
        sum[j][2] = hn::NegMulAdd(b, x2, sum[j][2]);
      });
    }
    Unroll<0, kCount>(
        [&](auto j) LOWBIT_STEP { Unroll<0, kVectors>([&](auto v) LOWBIT_STEP { s[j][v] = sum[j][v]; }); });
  }
};

// The single nearest of each point of a tile.
struct Minimum {
  HWY_ALIGN float best[kTile];
  HWY_ALIGN int32_t index[kTile];

  Minimum() {
    std::fill_n(best, kTile, std::numeric_limits<float>::infinity());
    std::fill_n(index, kTile, 0);
  }

  template <int kCount>
  HWY_INLINE void Take(const Scores<kCount>& scores, int64_t first) {
    const D d;
    const DI di;
    Unroll<0, kVectors>([&](auto v) LOWBIT_STEP {
      auto low = hn::Load(d, best + v * kLanes);
      auto at = hn::Load(di, index + v * kLanes);
      // Two by two where that can be: the index of the lower takes one cheap operation.
      constexpr int kStep = kCount % 2 == 0 ? 2 : 1;
      Unroll<0, kCount / kStep>([&](auto pair) LOWBIT_STEP {
        constexpr int kJ = kStep * decltype(pair)::value;
        auto s = scores.s[kJ][v];
        auto name = hn::Set(di, static_cast<int32_t>(first + kJ));
        if constexpr (kStep == 2) {
          const auto second = hn::RebindMask(di, hn::Lt(scores.s[kJ + 1][v], s));
          s = hn::Min(scores.s[kJ + 1][v], s);
#if HWY_TARGET == HWY_AVX3
          name = hn::IfThenElse(second, hn::Set(di, static_cast<int32_t>(first + kJ + 1)), name);
#else
          name = hn::Sub(name, hn::VecFromMask(di, second));
#endif
        }
        const auto less = hn::Lt(s, low);
        low = hn::Min(s, low);
        at = hn::IfThenElse(hn::RebindMask(di, less), name, at);
      });
      hn::Store(low, d, best + v * kLanes);
      hn::Store(at, di, index + v * kLanes);
    });
  }

  void Write(int64_t rows, uint32_t* to_index, float* to_score) const {
    for (int64_t p = 0; p < rows; ++p) to_index[p] = static_cast<uint32_t>(index[p]);
    if (to_score != nullptr) std::copy_n(best, rows, to_score);
  }
};

// The `count` nearest of each point, kept sorted. Most vectors of scores hold none that enters; those that do
// pass through the lists of all lanes at once.
struct Lowest {
  int64_t count;
  Buffer<float> score;  // (count, kTile)
  Buffer<int32_t> index;

  explicit Lowest(int64_t n)
      : count(n), score(static_cast<size_t>(n * kTile)), index(static_cast<size_t>(n * kTile)) {
    std::fill(score.begin(), score.end(), std::numeric_limits<float>::infinity());
    std::fill(index.begin(), index.end(), 0);
  }

  template <int kCount>
  HWY_INLINE void Take(const Scores<kCount>& scores, int64_t first) {
    const D d;
    const DI di;
    for (int j = 0; j < kCount; ++j) {
      for (int v = 0; v < kVectors; ++v) {
        auto s = scores.s[j][v];
        float* list = score.data() + v * kLanes;
        if (hn::AllFalse(d, hn::Lt(s, hn::Load(d, list + (count - 1) * kTile)))) continue;
        int32_t* names = index.data() + v * kLanes;
        auto name = hn::Set(di, static_cast<int32_t>(first + j));
        auto moves = hn::Lt(s, s);  // from the place of the new score on, everything moves, equal scores too
        for (int64_t i = 0; i < count; ++i, list += kTile, names += kTile) {
          const auto held = hn::Load(d, list);
          const auto held_name = hn::Load(di, names);
          moves = hn::Or(moves, hn::Lt(s, held));
          const auto names_move = hn::RebindMask(di, moves);
          hn::Store(hn::IfThenElse(moves, s, held), d, list);
          hn::Store(hn::IfThenElse(names_move, name, held_name), di, names);
          s = hn::IfThenElse(moves, held, s);
          name = hn::IfThenElse(names_move, held_name, name);
        }
      }
    }
  }

  void Write(int64_t rows, uint32_t* to_index, float* to_score) const {
    for (int64_t p = 0; p < rows; ++p) {
      for (int64_t i = 0; i < count; ++i) {
        const auto from = static_cast<size_t>(i * kTile + p);
        to_index[p * count + i] = static_cast<uint32_t>(index[from]);
        if (to_score != nullptr) to_score[p * count + i] = score[from];
      }
    }
  }
};

template <class Result>
HWY_INLINE void Search(const float* x, MatrixView<const float> centroids, const float* half_norms,
                       Result& result) {
  int64_t j = 0;
  for (; j + kCentroids <= centroids.rows; j += kCentroids) {
    result.Take(Scores<kCentroids>(x, centroids.cols, centroids.Row(j), centroids.stride, half_norms + j), j);
  }
  for (; j < centroids.rows; ++j) {
    result.Take(Scores<1>(x, centroids.cols, centroids.Row(j), centroids.stride, half_norms + j), j);
  }
}

// Any number of points on the calling thread.
void NearestRange(MatrixView<const float> points, MatrixView<const float> centroids, const float* half_norms,
                  int64_t count, uint32_t* index, float* score) {
  Buffer<float> x(static_cast<size_t>(kTile * points.cols));
  for (int64_t p = 0; p < points.rows; p += kTile) {
    const int64_t rows = std::min<int64_t>(kTile, points.rows - p);
    Transpose(points.Block(p, 0, rows, points.cols), x.data());
    float* const to_score = score == nullptr ? nullptr : score + p * count;
    if (count == 1) {
      Minimum minimum;
      Search(x.data(), centroids, half_norms, minimum);
      minimum.Write(rows, index + p, to_score);
    } else {
      Lowest lowest(count);
      Search(x.data(), centroids, half_norms, lowest);
      lowest.Write(rows, index + p * count, to_score);
    }
  }
}

int64_t TileRows() {
  return kTile;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(NearestRange);
HWY_EXPORT(TileRows);

std::vector<float> HalfSquaredNorms(MatrixView<const float> centroids) {
  std::vector<float> norms(static_cast<size_t>(centroids.rows));
  for (int64_t j = 0; j < centroids.rows; ++j) {
    double sum = 0;
    for (int64_t c = 0; c < centroids.cols; ++c) sum += double{centroids(j, c)} * centroids(j, c);
    norms[static_cast<size_t>(j)] = static_cast<float>(0.5 * sum);
  }
  return norms;
}

void NearestCentroids(MatrixView<const float> points, MatrixView<const float> centroids,
                      const float* half_norms, int64_t count, uint32_t* index, float* score,
                      ThreadPool& pool) {
  if (points.cols != centroids.cols)
    Fail("points of {} channels cannot be compared with centroids of {}", points.cols, centroids.cols);
  if (count < 1 || count > centroids.rows)
    Fail("the {} nearest of {} centroids were asked for; at least 1 and at most all can be had", count,
         centroids.rows);
  // Tasks of some million operations, whole tiles.
  const int64_t tile = LOWBIT_KERNEL(TileRows)();
  const int64_t work = tile * centroids.rows * (points.cols + 3);
  const int64_t step = tile * std::clamp<int64_t>((int64_t{1} << 23) / work, 1, 256);
  pool.Run((points.rows + step - 1) / step, [&](int64_t task, int) {
    const int64_t first = task * step, rows = std::min(step, points.rows - first);
    LOWBIT_KERNEL(NearestRange)
    (points.Block(first, 0, rows, points.cols), centroids, half_norms, count, index + first * count,
     score == nullptr ? nullptr : score + first * count);
  });
}

}  // namespace lowbit
#endif  // HWY_ONCE
