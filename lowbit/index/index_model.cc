#include "lowbit/index/index_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
#include "lowbit/base/progress.h"
#include "lowbit/kernel/code_scan.h"
#include "lowbit/kernel/nearest.h"
#include "lowbit/quantize/kmeans.h"

namespace lowbit {
namespace {

constexpr int64_t kEncodeRows = 64;  // of a task

std::vector<float> ReadFloats(const IndexFile& file, const CheckedExtent& extent, const char* what) {
  const auto bytes = file.Checked(extent, what);
  if (bytes.size() % sizeof(float) != 0)
    Fail("{}: the {} take {} bytes, no whole number of floats", file.name(), what, bytes.size());
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  if (!AllFinite(values)) Fail("{}: the {} hold a NaN or an infinity", file.name(), what);
  return values;
}

CheckedExtent WriteFloats(IndexOutput& output, const std::vector<float>& values) {
  return output.AppendSection(std::as_bytes(std::span(values)));
}

std::vector<float> MeanOf(MatrixView<const float> x) {
  std::vector<double> sum(static_cast<size_t>(x.cols));
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.cols; ++j) sum[static_cast<size_t>(j)] += x(i, j);
  }
  std::vector<float> mean(sum.size());
  for (size_t j = 0; j < sum.size(); ++j) mean[j] = static_cast<float>(sum[j] / static_cast<double>(x.rows));
  return mean;
}

}  // namespace

void Normalize(MatrixView<float> x, int64_t first, const char* what) {
  for (int64_t i = 0; i < x.rows; ++i) {
    double square = 0;
    for (int64_t j = 0; j < x.cols; ++j) square += double{x(i, j)} * x(i, j);
    if (square == 0) Fail("{} {} is zero: it has no direction, so no cosine with others", what, first + i);
    const double factor = 1 / std::sqrt(square);
    for (int64_t j = 0; j < x.cols; ++j) x(i, j) = static_cast<float>(x(i, j) * factor);
  }
}

PointBlock MetricSource::Read(int64_t first, int64_t rows, PointScratch& scratch) const {
  PointBlock block = whole_.Read(first, rows, scratch);
  for (int64_t i = 0; i < rows; ++i) {
    const float* x = block.points.Row(i);
    if (AllFinite({x, static_cast<size_t>(dimension())})) continue;
    const float* bad = std::find_if(x, x + dimension(), [](float v) { return !std::isfinite(v); });
    Fail("vector {} is {} in dimension {}: vectors must be finite", first + i, *bad, bad - x);
  }
  if (metric_ != Metric::kCosine) return block;
  const int64_t dim = dimension();
  const MatrixView<const float> from = block.points;
  if (from.data != scratch.points.data()) {
    scratch.points.Reserve(static_cast<size_t>(rows * dim));
    for (int64_t i = 0; i < rows; ++i)
      std::copy(from.Row(i), from.Row(i) + dim, scratch.points.data() + i * dim);
  }
  const MatrixView<float> own(scratch.points.data(), rows, dim);
  Normalize(own, first, "vector");
  block.points = own;
  return block;
}

IndexModel::IndexModel(IndexSpec spec, Metric metric, bool axial, int64_t dim, uint64_t seed)
    : spec_(std::move(spec)), metric_(metric), dim_(dim), seed_(seed) {
  const Beside needed = metric == Metric::kL2 ? Beside::kNorm : Beside::kNothing;
  codec_ = MakeCodec(spec_.codec, dim, axial ? Beside::kAlongAxis : needed, seed);
  if (!spec_.refine.empty()) fine_ = MakeCodec(spec_.refine[0], dim, needed, seed + 1);
}

float IndexModel::InverseNorm(int64_t list) const {
  const float half = half_norms_[static_cast<size_t>(list)];
  return half > 0 ? 1 / std::sqrt(2 * half) : 0.0f;
}

void IndexModel::Subtract(MatrixView<const float> x, const uint32_t* lists, float* residual,
                          float* along) const {
  for (int64_t i = 0; i < x.rows; ++i, residual += x.cols) {
    const float* c = centroids().Row(lists[i]);
    for (int64_t j = 0; j < x.cols; ++j) residual[j] = x(i, j) - c[j];
    if (!codec_->axial()) continue;
    double product = 0;
    for (int64_t j = 0; j < x.cols; ++j) product += double{residual[j]} * c[j];
    const float inverse = InverseNorm(lists[i]);
    along[i] = static_cast<float>(product) * inverse;
    for (int64_t j = 0; j < x.cols; ++j) residual[j] -= along[i] * inverse * c[j];
  }
}

IndexModel IndexModel::Train(const IndexSpec& spec, Metric metric, const PointSource& vectors,
                             const TrainingOptions& options, ThreadPool& pool) {
  IndexModel model(spec, metric, metric != Metric::kL2 && options.axial, vectors.dimension(), options.seed);
  if (vectors.count() < 1) Fail("{}: there are no vectors to learn from", NameOf(spec));
  const int64_t limit = options.sample > 0 ? options.sample : std::max<int64_t>(65536, 256 * spec.lists);
  const PointSample sample(vectors, limit, options.seed);
  const MatrixSource source = sample.source();
  PointScratch scratch;
  const MatrixView<const float> x = source.Read(0, source.count(), scratch).points;
  if (x.rows < spec.lists)
    Fail("{}: {} lists need at least as many vectors to learn from, there are {}", NameOf(spec), spec.lists,
         x.rows);
  KMeansOptions kmeans;
  kmeans.seed = options.seed;
  const int64_t most = kmeans.iterations + 1;
  const int64_t codebooks =
      (spec.lists > 1 ? 1 : 0) + model.codec_->codebooks() + (model.fine_ ? model.fine_->codebooks() : 0);
  Progress progress("learning", codebooks * most, "passes of k-means");
  int64_t begun = 0;
  kmeans.watch = [&](int64_t pass) {
    if (pass == 0) ++begun;  // those before may have ended early
    progress.Update(std::min((begun - 1) * most + pass, codebooks * most));
  };
  std::vector<uint32_t> lists(static_cast<size_t>(x.rows));
  if (spec.lists == 1) {
    model.centroids_ = MeanOf(x);
  } else {
    const KMeans coarse = KMeans::Train(source, spec.lists, kmeans, pool);
    const auto c = coarse.centroids();
    model.centroids_.assign(c.data, c.data + c.rows * c.cols);
    if (model.codec_->of_residuals()) coarse.Assign(x, lists.data(), pool);
  }
  model.half_norms_ = HalfSquaredNorms(model.centroids());
  const auto train = [&](IndexCodec& codec, const CodecSpec& codec_spec, MatrixView<const float> points) {
    const auto* books = std::get_if<CodebookCode>(&codec_spec);
    if (books != nullptr && points.rows < int64_t{1} << books->bits)
      Fail("{}: codebooks of {} codewords need at least as many vectors to learn from, there are {}",
           NameOf(codec_spec), 1 << books->bits, points.rows);
    codec.Train(points, kmeans, pool);
  };
  if (model.codec_->of_residuals()) {
    std::vector<float> residual(static_cast<size_t>(x.rows * x.cols)), along(lists.size());
    model.Subtract(x, lists.data(), residual.data(), along.data());
    train(*model.codec_, spec.codec, {residual.data(), x.rows, x.cols});
  } else {
    train(*model.codec_, spec.codec, x);
  }
  if (model.fine_) train(*model.fine_, spec.refine[0], x);
  return model;
}

IndexModel IndexModel::Load(const IndexFile& file) {
  const IndexTable& table = file.table();
  const auto load = [&] {
    const IndexSpec spec = ParseIndexSpec(table.spec);
    // Before anything is made that has the size of a vector.
    const uint64_t needed = static_cast<uint64_t>(spec.lists) * table.dim * sizeof(float);
    if (table.centroids.extent.bytes != needed)
      Fail("{} bytes of centroids, {} lists of {} dimensions need {}", table.centroids.extent.bytes,
           spec.lists, table.dim, needed);
    IndexModel model(spec, table.metric, table.axial, table.dim, table.seed);
    model.centroids_ = ReadFloats(file, table.centroids, "centroids");
    model.half_norms_ = HalfSquaredNorms(model.centroids());
    model.codec_->SetParameters(ReadFloats(file, table.parameters, "parameters of the codec"));
    const auto fine = ReadFloats(file, table.fine_parameters, "parameters of the refinement");
    if (model.fine_) {
      model.fine_->SetParameters(fine);
    } else if (!fine.empty()) {
      Fail("parameters of a refinement, but there is none");
    }
    return model;
  };
  try {
    return load();
  } catch (const Error& error) {  // also a UsageError: the spec is the file's and not the user's
    const std::string what = error.what();
    throw Error(what.starts_with(file.name()) ? what : file.name() + ": " + what);
  }
}

void IndexModel::Store(IndexOutput& output, IndexTable& table) const {
  table.spec = NameOf(spec_);
  table.metric = metric_;
  table.axial = codec_->axial();
  table.dim = static_cast<uint32_t>(dim_);
  table.seed = seed_;
  table.centroids = WriteFloats(output, centroids_);
  table.parameters = WriteFloats(output, codec_->Parameters());
  table.fine_parameters = WriteFloats(output, fine_ ? fine_->Parameters() : std::vector<float>());
}

void IndexModel::Encode(MatrixView<const float> x, int64_t first, const int64_t* ids, SegmentRows& rows,
                        ThreadPool& pool) const {
  const auto begin = static_cast<size_t>(rows.size()), n = static_cast<size_t>(x.rows);
  const RowBytes bytes = row_bytes();
  rows.ids.insert(rows.ids.end(), ids, ids + x.rows);
  rows.lists.resize(begin + n);
  rows.codes.resize((begin + n) * static_cast<size_t>(bytes.codes));
  rows.fine.resize((begin + n) * static_cast<size_t>(bytes.fine));
  uint32_t* lists = rows.lists.data() + begin;
  if (spec_.lists > 1) NearestCentroids(x, centroids(), half_norms_.data(), 1, lists, nullptr, pool);
  pool.Run((x.rows + kEncodeRows - 1) / kEncodeRows, [&](int64_t task, int) {
    const int64_t from = task * kEncodeRows, count = std::min(kEncodeRows, x.rows - from);
    const int64_t to = static_cast<int64_t>(begin) + from;
    const MatrixView<const float> part = x.Block(from, 0, count, dim_);
    uint8_t* codes = rows.codes.data() + to * bytes.codes;
    if (codec_->of_residuals()) {
      std::vector<float> residual(static_cast<size_t>(count * dim_)), along(static_cast<size_t>(count));
      Subtract(part, lists + from, residual.data(), along.data());
      codec_->Encode({residual.data(), count, dim_}, first + from, codes);
      if (codec_->axial()) codec_->StoreAlong(along.data(), count, first + from, codes);
    } else {
      codec_->Encode(part, first + from, codes);
    }
    if (fine_) fine_->Encode(part, first + from, rows.fine.data() + to * bytes.fine);
  });
}

void IndexModel::Decode(const Segment& segment, int64_t row, float* x) const {
  const size_t entry = segment.EntryOf(row);
  if (fine_) {
    segment.CheckFine(entry);
    return fine_->Decode(segment.Fine(row), 1, x);
  }
  segment.CheckCodes(entry);
  codec_->Decode(segment.Codes(row), 1, x);
  if (!codec_->of_residuals()) return;
  const uint32_t list = segment.ListAt(entry);
  const float* c = centroids().Row(list);
  const float share = 1 + codec_->Along(segment.Codes(row)) * InverseNorm(list);
  for (int64_t j = 0; j < dim_; ++j) x[j] += share * c[j];
}

}  // namespace lowbit
