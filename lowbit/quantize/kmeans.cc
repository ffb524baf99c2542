#include "lowbit/quantize/kmeans.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/cluster_sums.h"
#include "lowbit/kernel/nearest.h"

namespace lowbit {
namespace {

constexpr uint64_t kSeedStream = 0x6b6d2b2b, kBatchStream = 0x6261746368;
constexpr int64_t kDrawBlock = 4096;      // points whose masses are summed as one
constexpr int64_t kClustersPerTask = 16;  // clusters updated as one task

// Draws points with probability proportional to their masses. The masses become integers, scaled so that
// their sum fits 64 bits: sums of integers do not depend on their order.
class MassDraw {
 public:
  // mass(i) >= 0 for i < n.
  template <typename F>
  void Set(int64_t n, F mass, ThreadPool& pool) {
    const int64_t blocks = (n + kDrawBlock - 1) / kDrawBlock;
    mass_.resize(static_cast<size_t>(n));
    integer_.resize(mass_.size());
    sums_.assign(static_cast<size_t>(blocks), 0);
    std::vector<double> largest(static_cast<size_t>(blocks));
    InBlocks(n, pool, [&](size_t i, size_t block) {
      mass_[i] = mass(static_cast<int64_t>(i));
      largest[block] = std::max(largest[block], mass_[i]);
    });
    const double top = *std::max_element(largest.begin(), largest.end());
    const double scale =
        top > 0 ? std::ldexp(1.0, 61 - std::bit_width(static_cast<uint64_t>(n)) - std::ilogb(top)) : 0.0;
    InBlocks(n, pool, [&](size_t i, size_t block) {
      integer_[i] = static_cast<uint64_t>(mass_[i] * scale);
      sums_[block] += integer_[i];
    });
  }

  int64_t Draw(Random& random) const {
    const uint64_t total = std::accumulate(sums_.begin(), sums_.end(), uint64_t{0});
    if (total == 0) return static_cast<int64_t>(random.Below(integer_.size()));
    uint64_t draw = random.Below(total);
    size_t block = 0;
    while (draw >= sums_[block]) draw -= sums_[block++];
    size_t i = block * static_cast<size_t>(kDrawBlock);
    while (draw >= integer_[i]) draw -= integer_[i++];
    return static_cast<int64_t>(i);
  }

 private:
  template <typename F>
  static void InBlocks(int64_t n, ThreadPool& pool, F f) {
    pool.Run((n + kDrawBlock - 1) / kDrawBlock, [&](int64_t block, int) {
      for (int64_t i = block * kDrawBlock; i < std::min(n, (block + 1) * kDrawBlock); ++i)
        f(static_cast<size_t>(i), static_cast<size_t>(block));
    });
  }

  std::vector<double> mass_;
  std::vector<uint64_t> integer_, sums_;  // of blocks
};

// k-means++ with kCandidates draws for each centroid, of which the one that lowers the error most is taken.
// The first `kept` centroids are given.
class PlusPlus {
 public:
  PlusPlus(const PointBlock& sample, uint64_t seed, ThreadPool& pool)
      : sample_(sample),
        pool_(pool),
        random_(seed, kSeedStream),
        distance_(static_cast<size_t>(sample.points.rows), std::numeric_limits<float>::max()) {}

  void Run(int64_t kept, MatrixView<float> centroids) {
    const int64_t n = sample_.points.rows;
    masses_.Set(
        n, [&](int64_t i) { return Weight(i); }, pool_);
    for (int64_t j = 0; j < centroids.rows; ++j) {
      Trial best;
      if (j < kept) {
        best = Try(centroids.Row(j));
      } else {
        for (int i = 0; i < (j == 0 ? 1 : kCandidates); ++i) {
          Trial trial = Try(sample_.points.Row(masses_.Draw(random_)));
          if (i == 0 || trial.error < best.error) best = std::move(trial);
        }
        std::copy_n(best.centroid, centroids.cols, centroids.Row(j));
      }
      distance_ = std::move(best.distance);
      masses_.Set(
          n, [&](int64_t i) { return Weight(i) * distance_[static_cast<size_t>(i)]; }, pool_);
    }
  }

 private:
  static constexpr int kCandidates = 3;
  struct Trial {
    const float* centroid = nullptr;
    std::vector<float> distance;
    double error = 0;
  };

  double Weight(int64_t i) const { return sample_.weights == nullptr ? 1.0 : sample_.weights[i]; }

  // Distances and error with one more centroid.
  Trial Try(const float* centroid) const {
    Trial trial{centroid, distance_, 0.0};
    const int64_t n = sample_.points.rows, blocks = (n + kDrawBlock - 1) / kDrawBlock;
    std::vector<double> errors(static_cast<size_t>(blocks));
    pool_.Run(blocks, [&](int64_t b, int) {
      const int64_t begin = b * kDrawBlock, end = std::min(n, begin + kDrawBlock);
      LowerSquaredDistances(sample_.points.Block(begin, 0, end - begin, sample_.points.cols), centroid,
                            trial.distance.data() + begin);
      for (int64_t i = begin; i < end; ++i)
        errors[static_cast<size_t>(b)] += Weight(i) * trial.distance[static_cast<size_t>(i)];
    });
    trial.error = std::accumulate(errors.begin(), errors.end(), 0.0);
    return trial;
  }

  const PointBlock& sample_;
  ThreadPool& pool_;
  Random random_;
  std::vector<float> distance_;
  MassDraw masses_;
};

// What a pass over points gathers about each cluster.
class Clusters {
 public:
  Clusters(int64_t k, int64_t dimension)
      : k_(k),
        dimension_(dimension),
        sum_(static_cast<size_t>(k * dimension)),
        weight_(static_cast<size_t>(k)),
        error_(static_cast<size_t>(k)),
        farthest_error_(static_cast<size_t>(k)),
        farthest_(static_cast<size_t>(k * dimension)) {}

  void Add(const PointBlock& block, MatrixView<const float> centroids, const std::vector<float>& half_norms,
           ThreadPool& pool) {
    const int64_t n = block.points.rows;
    index_.resize(static_cast<size_t>(n));
    members_.resize(static_cast<size_t>(n));
    distance_.resize(static_cast<size_t>(n));
    NearestCentroids(block.points, centroids, half_norms.data(), 1, index_.data(), nullptr, pool);
    // Members of each cluster, in ascending order.
    start_.assign(static_cast<size_t>(k_ + 2), 0);
    for (const uint32_t j : index_) ++start_[j + 2];
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    for (int64_t i = 0; i < n; ++i)
      members_[static_cast<size_t>(start_[index_[static_cast<size_t>(i)] + 1]++)] = static_cast<int32_t>(i);
    pool.Run((k_ + kClustersPerTask - 1) / kClustersPerTask, [&](int64_t task, int) {
      for (int64_t j = task * kClustersPerTask; j < std::min(k_, (task + 1) * kClustersPerTask); ++j)
        AddCluster(block, centroids.Row(j), static_cast<size_t>(j));
    });
  }

  double weight() const { return std::accumulate(weight_.begin(), weight_.end(), 0.0); }
  double error() const { return std::accumulate(error_.begin(), error_.end(), 0.0); }
  double weight(int64_t j) const { return weight_[static_cast<size_t>(j)]; }
  const double* sum(int64_t j) const { return sum_.data() + j * dimension_; }

  // Points far from their centroids, from the clusters of the largest errors on; empty clusters and clusters
  // without error offer none.
  std::vector<const float*> FarPoints() const {
    std::vector<int64_t> order;
    for (int64_t j = 0; j < k_; ++j) {
      if (farthest_error_[static_cast<size_t>(j)] > 0) order.push_back(j);
    }
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return error_[static_cast<size_t>(a)] > error_[static_cast<size_t>(b)];
    });
    std::vector<const float*> points;
    for (const int64_t j : order) points.push_back(farthest_.data() + j * dimension_);
    return points;
  }

 private:
  void AddCluster(const PointBlock& block, const float* centroid, size_t j) {
    const auto begin = static_cast<size_t>(start_[j]), count = static_cast<size_t>(start_[j + 1]) - begin;
    if (count == 0) return;
    float* const distance = distance_.data() + begin;
    AddMembers(block.points, {members_.data() + begin, count}, block.weights, centroid,
               sum_.data() + static_cast<int64_t>(j) * dimension_, distance);
    int32_t farthest = -1;
    for (size_t i = 0; i < count; ++i) {
      const int32_t p = members_[begin + i];
      const double weight = block.weights == nullptr ? 1.0 : block.weights[p], error = weight * distance[i];
      weight_[j] += weight;
      error_[j] += error;
      if (error > farthest_error_[j]) {
        farthest_error_[j] = error;
        farthest = p;
      }
    }
    if (farthest >= 0)
      std::copy_n(block.points.Row(farthest), dimension_,
                  farthest_.data() + static_cast<int64_t>(j) * dimension_);
  }

  int64_t k_, dimension_;
  std::vector<double> sum_, weight_, error_, farthest_error_;
  std::vector<float> farthest_, distance_;
  std::vector<uint32_t> index_;
  std::vector<int32_t> members_;
  std::vector<int64_t> start_;
};

// Lloyd's and the mini-batch update over one set of centroids.
class Trainer {
 public:
  Trainer(const PointSource& source, const KMeansOptions& options, MatrixView<float> centroids,
          KMeansReport& report, ThreadPool& pool)
      : source_(source),
        options_(options),
        centroids_(centroids),
        report_(report),
        pool_(pool),
        kept_(options.origin == KMeansOptions::Origin::kKept ? 1 : 0),
        seen_(static_cast<size_t>(centroids.rows)) {}

  void Lloyd() {
    double before = std::numeric_limits<double>::infinity();
    bool restarted = false;
    for (int64_t i = 0;; ++i) {
      const Clusters clusters = Pass(0, source_.count(), i == 0);
      const double now = report_.distortion.back();
      report_.converged = !restarted && (now == 0 || before - now < options_.tolerance * before);
      if (report_.converged || i == options_.iterations) return;
      std::fill(seen_.begin(), seen_.end(), 0.0);  // all of this pass counts
      restarted = Move(clusters);
      before = now;
    }
  }

  void MiniBatches() {
    const int64_t n = source_.count(), batches = std::max<int64_t>(1, n / options_.batch);
    Random random(options_.seed, kBatchStream);
    for (int64_t i = 0; i < options_.iterations; ++i) {
      const auto b = static_cast<int64_t>(random.Below(static_cast<uint64_t>(batches)));
      Move(Pass(b * n / batches, (b + 1) * n / batches, true));
    }
    Pass(0, n, false);
  }

 private:
  Clusters Pass(int64_t begin, int64_t end, bool check) {
    CheckInterrupt();
    if (options_.watch) options_.watch(passes_++);
    Clusters clusters(centroids_.rows, centroids_.cols);
    const std::vector<float> half_norms = HalfSquaredNorms(centroids_);
    ForEachBlock(source_, begin, end, [&](const PointBlock& block, int64_t first) {
      if (check) CheckPoints(block, first);
      clusters.Add(block, centroids_, half_norms, pool_);
    });
    const double weight = clusters.weight();
    if (!(weight > 0))
      Fail("k-means over points {} to {} with no positive weight among them", begin, end - 1);
    report_.distortion.push_back(clusters.error() / weight);
    return clusters;
  }

  // Every centroid moves by the share of its new points in all it has seen; idle ones restart. True when one
  // did.
  bool Move(const Clusters& clusters) {
    const std::vector<const float*> far = clusters.FarPoints();
    size_t used = 0;
    for (int64_t j = kept_; j < centroids_.rows; ++j) {
      double& seen = seen_[static_cast<size_t>(j)];
      const double weight = clusters.weight(j);
      seen += weight;
      if (weight > 0) {
        for (int64_t c = 0; c < centroids_.cols; ++c) {
          const double old = centroids_(j, c), mean = clusters.sum(j)[c] / weight;
          centroids_(j, c) = static_cast<float>(seen == weight ? mean : old + (mean - old) * (weight / seen));
        }
      } else if (seen == 0 && used < far.size()) {
        std::copy_n(far[used++], centroids_.cols, centroids_.Row(j));
      }
    }
    report_.restarts += static_cast<int64_t>(used);
    return used > 0;
  }

  const PointSource& source_;
  const KMeansOptions& options_;
  MatrixView<float> centroids_;
  KMeansReport& report_;
  ThreadPool& pool_;
  int64_t kept_, passes_ = 0;
  std::vector<double> seen_;  // weight each centroid stands for
};

}  // namespace

KMeans KMeans::Train(const PointSource& source, int64_t k, const KMeansOptions& options, ThreadPool& pool) {
  if (k < 1) Fail("k-means with {} centroids: at least one is needed", k);
  if (source.count() < k)
    Fail("{} centroids from {} points: k-means needs at least as many points as centroids", k,
         source.count());
  if (source.dimension() < 1) Fail("k-means of points without channels");
  if (options.batch != 0 && options.batch < k)
    Fail("batches of {} points for {} centroids: a batch has at least as many points as there are centroids",
         options.batch, k);
  const int64_t limit = options.points_per_centroid * k;
  std::optional<PointSample> sample;
  std::optional<MatrixSource> sampled;
  if (limit != 0 && limit < source.count())
    sampled.emplace(sample.emplace(source, limit, options.seed).source());
  const PointSource& points = sampled ? *sampled : source;

  KMeans result;
  result.size_ = k;
  result.dimension_ = source.dimension();
  result.centroids_.assign(static_cast<size_t>(k * result.dimension_), 0.0f);
  result.report_.points = points.count();
  const MatrixView<float> centroids(result.centroids_.data(), k, result.dimension_);
  const int64_t kept = options.origin == KMeansOptions::Origin::kKept ? 1 : 0;
  const int64_t start = options.seeding == Seeding::kRandom ? k - kept : std::max<int64_t>(4096, 32 * k);
  if (start > 0) {
    const PointSample seeds(points, start, options.seed + 1);
    PointScratch scratch;
    const PointBlock block = seeds.source().Read(0, seeds.source().count(), scratch);
    if (options.seeding == Seeding::kRandom) {
      for (int64_t j = kept; j < k; ++j)
        std::copy_n(block.points.Row(j - kept), centroids.cols, centroids.Row(j));
    } else {
      PlusPlus(block, options.seed, pool).Run(kept, centroids);
    }
  }
  Trainer trainer(points, options, centroids, result.report_, pool);
  options.batch == 0 ? trainer.Lloyd() : trainer.MiniBatches();
  result.half_norms_ = HalfSquaredNorms(centroids);
  return result;
}

void KMeans::Assign(MatrixView<const float> points, uint32_t* index, ThreadPool& pool) const {
  NearestCentroids(points, centroids(), half_norms_.data(), 1, index, nullptr, pool);
}

}  // namespace lowbit
