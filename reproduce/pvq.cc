// Pyramid vector quantization (PVQ for LLMs, 2024): what its card computes for Gaussian weights, and the code
// on the matrices of a trained model beside 3-bit integers, with and without a rotation. The code here is
// free of data: rows are turned, scaled to unit variance by their radius, and cut into groups, whose gain
// levels are fitted once to Gaussian rows of that length. The card's version with a Hessian is not measured.
#include <algorithm>
#include <cmath>
#include <map>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/base/random.h"
#include "lowbit/format/lloyd_max.h"
#include "lowbit/method/layer.h"
#include "lowbit/model/model.h"
#include "lowbit/quantize/pyramid_quantizer.h"
#include "lowbit/transform/rotation.h"
#include "reproduce/claim.h"

namespace lowbit::reproduce {
namespace {

// Rows of one length, (count, cols).
struct Rows {
  std::string name;
  int64_t cols = 0;
  std::vector<float> values;
  int64_t count() const { return static_cast<int64_t>(values.size()) / cols; }
  MatrixView<const float> view() const { return {values.data(), count(), cols}; }
};

Rows GaussianRows(int64_t count, int64_t cols, uint64_t seed) {
  Rows rows{"Gaussian", cols, std::vector<float>(static_cast<size_t>(count * cols))};
  Random random(seed, 31);
  for (float& x : rows.values) x = random.Normal();
  return rows;
}

// Rows turned by one rotation and scaled to the radius sqrt(cols); zero rows stay.
Rows Normalized(const Rows& rows, RotationKind kind) {
  Rows unit = rows;
  const Rotation rotation(rows.cols, {.kind = kind, .seed = 1});
  for (int64_t r = 0; r < rows.count(); ++r) {
    float* x = unit.values.data() + r * rows.cols;
    rotation.Apply(x, x);
    double square = 0;
    for (int64_t j = 0; j < rows.cols; ++j) square += double{x[j]} * x[j];
    if (square == 0) continue;
    const auto scale = static_cast<float>(std::sqrt(static_cast<double>(rows.cols) / square));
    for (int64_t j = 0; j < rows.cols; ++j) x[j] *= scale;
  }
  return unit;
}

struct Shape {
  int dimension = 16, pulses = 27, gain_bits = 4;
  // Of a weight of rows of `cols`: index, gain, radius in f16.
  double bits(int64_t cols) const {
    return static_cast<double>(PyramidCodec(dimension, pulses).bits() + gain_bits) / dimension +
           16.0 / static_cast<double>(cols);
  }
};

// The code of a shape for rows of `cols`, gains fitted to Gaussian rows.
PyramidQuantizer CodeFor(const Shape& shape, int64_t cols, ThreadPool& pool) {
  const Rows sample = Normalized(GaussianRows((1 << 20) / cols + 1, cols, 7), RotationKind::kNone);
  const int64_t groups = static_cast<int64_t>(sample.values.size()) / shape.dimension;
  const MatrixSource source({sample.values.data(), groups, shape.dimension});
  return PyramidQuantizer::Train(source, {.pulses = shape.pulses, .gain_bits = shape.gain_bits}, pool);
}

// sum |w - q|^2 / sum |w|^2 over normalized rows.
double RelativeError(const PyramidQuantizer& code, const Rows& unit, ThreadPool& pool) {
  const int64_t d = code.dimension(), groups = static_cast<int64_t>(unit.values.size()) / d;
  std::vector<uint16_t> codes(static_cast<size_t>(groups * code.codes()));
  std::vector<float> decoded(static_cast<size_t>(groups * d));
  code.Encode({unit.values.data(), groups, d}, {codes.data(), groups, code.codes()}, pool);
  code.Decode({codes.data(), groups, code.codes()}, {decoded.data(), groups, d}, pool);
  double error = 0, square = 0;
  for (size_t i = 0; i < decoded.size(); ++i) {
    const double x = unit.values[i], e = x - decoded[i];
    error += e * e, square += x * x;
  }
  return error / square;
}

// The same with gains that cost nothing: |x|^2 - <x, u>^2.
double ErrorOfExactGain(const Shape& shape, const Rows& unit) {
  double error = 0, square = 0;
  std::vector<int16_t> y(static_cast<size_t>(shape.dimension));
  for (size_t at = 0; at + y.size() <= unit.values.size(); at += y.size()) {
    const std::span<const float> x(unit.values.data() + at, y.size());
    const PyramidFit fit = PyramidDirection(x, shape.pulses, y);
    double own = 0;
    for (const float v : x) own += double{v} * v;
    error += own - double{fit.dot} * fit.dot / fit.squares;
    square += own;
  }
  return error / square;
}

// The greatest distance between the distribution of the groups' gains and that of groups of uniformly
// directed rows, whose g^2 / |row|^2 is Beta(d / 2, (cols - d) / 2).
double KolmogorovSmirnov(const Rows& unit, int d) {
  std::vector<double> gains;
  for (size_t at = 0; at + static_cast<size_t>(d) <= unit.values.size(); at += static_cast<size_t>(d)) {
    double square = 0;
    for (int j = 0; j < d; ++j) square += double{unit.values[at + j]} * unit.values[at + j];
    gains.push_back(std::sqrt(square));
  }
  std::sort(gains.begin(), gains.end());
  const auto n = static_cast<double>(unit.cols);
  const double high = std::min(std::sqrt(n), std::sqrt(d) + 6);
  const Density law = NumericDensity(
      [&](double g) { return std::pow(g / std::sqrt(d), d - 1) * std::pow(1 - g * g / n, (n - d) / 2 - 1); },
      0, high);
  double distance = 0, below = 0, last = 0;
  for (size_t i = 0; i < gains.size(); ++i) {
    const double g = std::min(gains[i], high);
    below += law.mass(last, g), last = g;
    const double size = static_cast<double>(gains.size());
    distance = std::max({distance, std::abs(below - static_cast<double>(i) / size),
                         std::abs(below - static_cast<double>(i + 1) / size)});
  }
  return distance;
}

// Matrices inside the blocks whose rows can be cut into groups of 16.
std::vector<Rows> Matrices(const Model& model) {
  std::vector<Rows> all;
  for (const Node& node : model.graph->nodes) {
    if (node.op != Op::kLinear || node.block < 0) continue;
    const std::string& name = model.graph->values[node.in[1]].name;
    const int64_t cols = model.weights->Shape(name).at(1);
    if (cols % 16 == 0) all.push_back({name, cols, model.weights->Floats(name)});
  }
  if (all.empty()) Fail("{}: no layer has a multiple of 16 columns", model.path.string());
  return all;
}

// E (g - g^)^2 / E g^2 of four quantizers of the length of Gaussian vectors of 16, 16 levels each.
std::map<std::string, double> GainErrors() {
  const int d = 16;
  const Density chi =
      NumericDensity([](double g) { return std::pow(g / 4, d - 1) * std::exp(8 - g * g / 2); }, 0, 12, 256);
  const std::vector<double> lloyd = DesignLloydMax(chi, 4).level;
  std::vector<double> gains;
  const Rows rows = GaussianRows(100000, d, 40);
  for (int64_t r = 0; r < rows.count(); ++r) {
    double square = 0;
    for (int j = 0; j < d; ++j) square += double{rows.values[r * d + j]} * rows.values[r * d + j];
    gains.push_back(std::sqrt(square));
  }
  std::sort(gains.begin(), gains.end());
  std::map<std::string, std::vector<double>> levels = {{"Lloyd-Max", lloyd}};
  for (int i = 0; i < 16; ++i) {
    const double at = (i + 0.5) / 16;
    levels["companding"].push_back(gains[static_cast<size_t>(at * static_cast<double>(gains.size()))]);
    levels["uniform from the least"].push_back(gains.front() + at * (gains.back() - gains.front()));
    levels["uniform from 0"].push_back(at * gains.back());
  }
  std::map<std::string, double> errors;
  for (const auto& [name, level] : levels) {
    double error = 0, square = 0;
    for (const double g : gains) {
      double least = 1e9;
      for (const double l : level) least = std::min(least, (g - l) * (g - l));
      error += least, square += g * g;
    }
    errors[name] = error / square;
  }
  return errors;
}

}  // namespace

Outcome ReproducePvq(const Options& options, ThreadPool& pool) {
  const Model model = OpenModel(options.model.empty() ? FirstModel(options.data) : options.model);
  Outcome outcome{.system = "pvq", .model = "Gaussian rows and " + model.path.filename().string()};
  const auto claim = [&](std::string id, std::string text, std::string measured, std::string expected,
                         bool holds) {
    outcome.claims.push_back(
        {std::move(id), std::move(text), std::move(measured), std::move(expected), holds});
  };
  outcome.header = {"weights", "code", "bits", "relative squared error"};
  const auto row = [&](const std::string& weights, const std::string& code, double bits, double error) {
    outcome.rows.push_back({weights, code, fmt::format("{:.3f}", bits), fmt::format("{:.5f}", error)});
    return error;
  };

  // Gaussian rows, the card's own setting.
  const int64_t cols = 4096;
  Rows gauss{"Gaussian", cols, {}};
  for (int seed = 0; seed < options.seeds; ++seed) {
    const Rows part = GaussianRows(64, cols, static_cast<uint64_t>(seed));
    gauss.values.insert(gauss.values.end(), part.values.begin(), part.values.end());
  }
  const Rows unit = Normalized(gauss, RotationKind::kNone);
  const auto pyramid = [&](int d, int k, int gain_bits) {
    const Shape shape{d, k, gain_bits};
    return row("Gaussian", fmt::format("pyramid {}, {} pulses, {}-bit gain", d, k, gain_bits),
               shape.bits(cols), RelativeError(CodeFor(shape, cols, pool), unit, pool));
  };
  const auto exact = [&](int d, int k) {
    const Shape shape{d, k, 0};
    return row("Gaussian", fmt::format("pyramid {}, {} pulses, exact gain (not counted)", d, k),
               shape.bits(cols), ErrorOfExactGain(shape, unit));
  };
  const auto integers = [&](const std::string& name, const Rows& rows) {
    return QuantizeLayer(name, rows.view(), std::get<PackedFormat>(ParseFormat("int3-g128-asym")),
                         {.method = Method::kRtn}, {}, pool)
        .report;
  };
  const double two = pyramid(16, 12, 4), three = pyramid(16, 27, 4), wide = pyramid(32, 50, 8);
  const double exact8 = exact(8, 16), exact16 = exact(16, 27), exact32 = exact(32, 50), four = exact(16, 58);
  const LayerReport int3 = integers("Gaussian", gauss);
  row("Gaussian", int3.format, int3.bits, int3.weight_error);
  const std::pair<double, double> pairs[] = {{two, 0.083},     {three, 0.0197},   {four, 0.0043},
                                             {exact8, 0.0148}, {exact16, 0.0192}, {exact32, 0.0214},
                                             {wide, 0.0216}};
  double worst = 0;
  for (const auto& [measured, table] : pairs) worst = std::max(worst, std::abs(measured / table - 1));
  claim("table", "the card's table for Gaussian weights",
        fmt::format(
            "largest deviation from its seven figures for pyramids {:.1f} %; int3-g128-asym {:.4f} (card: "
            "0.0465)",
            100 * worst, int3.weight_error),
        "pyramids within 3 %", worst < 0.03);

  // The model's own matrices.
  const std::vector<Rows> matrices = Matrices(model);
  Progress progress("matrices", static_cast<int64_t>(matrices.size()), "matrices");
  std::map<int64_t, PyramidQuantizer> codes;
  double turned_error = 0, plain_error = 0, int_error = 0, int_bits = 0, bits = 0, total = 0;
  double turned_distance = 0, plain_distance = 0, worst_distance = -1, worst_gain = 0;
  std::string worst_text;
  for (size_t i = 0; i < matrices.size(); ++i) {
    CheckInterrupt();
    progress.Update(static_cast<int64_t>(i));
    const Rows& m = matrices[i];
    const Shape shape;
    const auto code = codes.try_emplace(m.cols, CodeFor(shape, m.cols, pool)).first;
    const Rows turned = Normalized(m, RotationKind::kHadamard), plain = Normalized(m, RotationKind::kNone);
    const double with = RelativeError(code->second, turned, pool);
    const double without = RelativeError(code->second, plain, pool);
    const LayerReport rounded = integers(m.name, m);
    const double distance_with = KolmogorovSmirnov(turned, 16),
                 distance_without = KolmogorovSmirnov(plain, 16);
    const auto weight = static_cast<double>(m.values.size());
    turned_error += weight * with, plain_error += weight * without;
    int_error += weight * rounded.weight_error, int_bits += weight * rounded.bits;
    bits += weight * shape.bits(m.cols), total += weight;
    turned_distance += weight * distance_with, plain_distance += weight * distance_without;
    if (distance_without > worst_distance) {
      worst_distance = distance_without, worst_gain = without / with;
      worst_text = fmt::format("{}: {:.4f} turned, {:.4f} as it is, distances {:.3f} and {:.3f}", m.name,
                               with, without, distance_with, distance_without);
    }
  }
  row("model", "pyramid 16, 27 pulses, turned", bits / total, turned_error / total);
  row("model", "pyramid 16, 27 pulses, as it is", bits / total, plain_error / total);
  row("model", int3.format, int_bits / total, int_error / total);
  // What the difference in bits is worth: 4 for a bit.
  const double fair = int_error / turned_error * std::pow(4, (int_bits - bits) / total);
  claim(
      "1",
      "turned weights in a pyramid beat round-to-nearest integers of 3 bits, groups of 128 with zero points",
      fmt::format("{:.4f} at {:.2f} bits, integers {:.4f} at {:.2f}; {:.2f}x less error at equal bits",
                  turned_error / total, bits / total, int_error / total, int_bits / total, fair),
      "1.5x or more (2.4x on Gaussian weights, before zero points are packed)", fair > 1.5);
  claim("2a", "without the rotation the law of gains no longer fits (Kolmogorov-Smirnov distance, mean)",
        fmt::format("{:.4f} turned, {:.4f} as they are", turned_distance / total, plain_distance / total),
        "greater without", plain_distance > turned_distance);
  claim("2b", "and the layer that it fits worst loses", worst_text, "more error without", worst_gain > 1);

  const std::map<std::string, double> gains = GainErrors();
  std::string gain_text;
  for (const auto& [name, error] : gains)
    gain_text += fmt::format("{}{} {:.5f}", gain_text.empty() ? "" : ", ", name, error);
  const double cost = 100 * (three / exact16 - 1);
  claim("4", "four bits of gain are enough, and Lloyd-Max places them best (relative error of the gain)",
        fmt::format("{:.1f} % more error than with exact gains; {}", cost, gain_text),
        "below 4 %; Lloyd-Max below half of every other",
        cost < 4 && std::all_of(gains.begin(), gains.end(), [&](const auto& g) {
          return g.first == "Lloyd-Max" || g.second > 2 * gains.at("Lloyd-Max");
        }));
  claim("5", "at 3.25 bits groups of 16 with 4-bit gains beat groups of 32 with 8-bit gains",
        fmt::format("{:.4f} and {:.4f}; shapes alone, 8, 16, 32: {:.4f}, {:.4f}, {:.4f}", three, wide, exact8,
                    exact16, exact32),
        "16 wins, shapes alone lose with their size", three < wide && exact8 < exact16 && exact16 < exact32);
  return outcome;
}

}  // namespace lowbit::reproduce
