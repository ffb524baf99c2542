// Training and encoding of vector quantizers, all threads; scripts/faiss_nearest.py prints the same for
// FAISS.
//   bench_codebooks --benchmark_filter='PQ'
// `Gpairs` are point-codeword pairs of the encoder a second; `error` is the mean squared error a channel of
// the training points (normal, unit variance), `bits` the bits a channel without tables.
#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "lowbit/base/buffer.h"
#include "lowbit/base/random.h"
#include "lowbit/quantize/additive_quantizer.h"
#include "lowbit/quantize/codebook_quantizer.h"
#include "lowbit/quantize/pyramid_quantizer.h"
#include "lowbit/quantize/sign_split_quantizer.h"

namespace lowbit {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Buffer<float> Draw(int64_t n) {
  Random random(1);
  Buffer<float> values(static_cast<size_t>(n));
  for (float& v : values) v = random.Normal();
  return values;
}

// `pairs`: codewords one point is compared with, 0 when that is not what takes the time.
void Quantize(benchmark::State& state, int64_t n, int64_t d, int64_t pairs,
              const std::function<std::unique_ptr<VectorQuantizer>(const PointSource&)>& train) {
  const Buffer<float> x = Draw(n * d);
  const MatrixView<const float> points(x.data(), n, d);
  std::unique_ptr<VectorQuantizer> quantizer;
  for (auto _ : state) {
    double start = Seconds();
    quantizer = train(MatrixSource(points));
    state.counters["train_s"] = Seconds() - start;
    Buffer<uint16_t> codes(static_cast<size_t>(n * quantizer->codes()));
    const MatrixView<uint16_t> view(codes.data(), n, quantizer->codes());
    double best = 1e30;
    for (int i = 0; i < 3; ++i) {
      start = Seconds();
      quantizer->Encode(points, view);
      best = std::min(best, Seconds() - start);
    }
    state.counters["encode_s"] = best;
    if (pairs > 0) state.counters["Gpairs"] = static_cast<double>(n * pairs) / best * 1e-9;
  }
  state.counters["error"] = Distortion(*quantizer, MatrixSource(points)) / static_cast<double>(d);
  state.counters["bits"] = static_cast<double>(quantizer->bits_per_point()) / static_cast<double>(d);
}

void TrainKMeans(benchmark::State& state, int64_t d, int64_t k) {
  const int64_t n = 256 * k;
  const Buffer<float> x = Draw(n * d);
  KMeansOptions options;
  options.tolerance = -1;  // all 25 iterations
  for (auto _ : state) {
    const double start = Seconds();
    const KMeans kmeans = KMeans::Train(MatrixSource({x.data(), n, d}), k, options);
    state.counters["train_s"] = Seconds() - start;
    state.counters["error"] = kmeans.report().distortion.back();
  }
}

const bool registered = [] {
  const auto add = [](const std::string& name, int64_t n, int64_t d, int64_t pairs, auto train) {
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) {
                                   Quantize(state, n, d, pairs, [=](const PointSource& source) {
                                     return std::unique_ptr<VectorQuantizer>(new auto(train(source)));
                                   });
                                 })
        ->Unit(benchmark::kSecond)
        ->Iterations(1);
  };
  for (const auto& [parts, bits] :
       std::vector<std::pair<int64_t, int>>{{16, 8}, {32, 8}, {64, 8}, {32, 4}, {64, 4}}) {
    const int64_t codewords = int64_t{1} << bits;
    add("PQ" + std::to_string(parts) + "x" + std::to_string(bits), 100000, 128, parts * codewords,
        [=](const PointSource& source) { return ProductQuantizer::Train(source, parts, codewords); });
  }
  for (const int beam : {1, 4}) {
    CodebookOptions options;
    options.search.beam = beam;
    add("RQ4x8/beam" + std::to_string(beam), 65536, 32, 0,
        [=](const PointSource& source) { return ResidualQuantizer::Train(source, 4, 256, options); });
  }
  add("GRVQ2x2x8", 65536, 32, 0,
      [](const PointSource& source) { return GroupResidualQuantizer::Train(source, 2, 2, 256); });
  add("MCRVQ3of4x8", 65536, 32, 0,
      [](const PointSource& source) { return MaskedChannelQuantizer::Train(source, 3, 4, 256); });
  add("AQ4x6", 16384, 16, 0,
      [](const PointSource& source) { return AdditiveQuantizer::Train(source, 4, 64); });
  for (const int64_t codewords : {16, 256}) {
    add("SignSplit8x" + std::to_string(codewords), 400000, 8, codewords, [=](const PointSource& source) {
      return SignSplitQuantizer::Train(source, {{0, 8, codewords}});
    });
  }
  for (const int bits : {16, 32, 48, 64}) {
    add("Pyramid16x" + std::to_string(bits), 100000, 16, 0, [=](const PointSource& source) {
      return PyramidQuantizer::Train(source, {.shape_bits = bits, .gain_bits = 4});
    });
  }
  for (const auto& [d, k] : std::vector<std::pair<int64_t, int64_t>>{{128, 256}, {128, 1024}, {8, 256}}) {
    benchmark::RegisterBenchmark(("k-means/d" + std::to_string(d) + "/k" + std::to_string(k)).c_str(),
                                 [d, k](benchmark::State& state) { TrainKMeans(state, d, k); })
        ->Unit(benchmark::kSecond)
        ->Iterations(1);
  }
  return true;
}();

}  // namespace
}  // namespace lowbit
