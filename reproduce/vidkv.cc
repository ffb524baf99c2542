// VidKV (2025): what its card claims of keys below two bits and of ternary values, on the keys and values
// that a trained language model makes of a text (the card's are of video models), and on its predictions.
// Errors are relative: sum |x - x^|^2 / sum |x|^2 of a layer, the mean over layers.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/calibrate/cache_sample.h"
#include "lowbit/metric/score.h"
#include "lowbit/runtime/cache_format.h"
#include "lowbit/text/entries.h"
#include "lowbit/text/utf8.h"
#include "reproduce/claim.h"

namespace lowbit::reproduce {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPage = kCachePage;

// The text that is run: the first of the item "text".
std::pair<std::string, std::vector<std::string>> FirstText(const fs::path& folder) {
  if (!fs::is_directory(folder)) Fail("{}: the data folder has no item \"text\"", folder.string());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt" && entry.file_size() > 20000) files.push_back(entry.path());
  }
  if (files.empty()) Fail("{}: holds no .txt file of at least 20 kB", folder.string());
  const fs::path first = *std::min_element(files.begin(), files.end());
  std::vector<std::string> entries = ReadEntries(first);
  entries[0].resize(std::min<size_t>(entries[0].size(), 60000));
  while (FirstInvalidUtf8(entries[0]) != std::string_view::npos) entries[0].pop_back();
  return {first.filename().string(), {entries[0]}};
}

// One layer's keys or values by head and page: (head, page, 32, head_size).
struct Layer {
  int d = 0;
  std::vector<float> pages;
  std::vector<float> range, variance;  // by channel, over all heads and positions

  int64_t count() const { return static_cast<int64_t>(pages.size()) / (kPage * d); }
  const float* page(int64_t i) const { return pages.data() + i * kPage * d; }
};

std::vector<Layer> LayersOf(const std::vector<float>& all, int64_t positions, int64_t heads, int d) {
  std::vector<Layer> layers;
  const int64_t row = heads * d, whole = positions / kPage * kPage;
  for (size_t at = 0; at < all.size(); at += static_cast<size_t>(positions * row)) {
    Layer layer{.d = d, .pages = {}, .range = {}, .variance = {}};
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 0; t < whole; ++t) {
        const float* x = all.data() + at + static_cast<size_t>(t * row + h * d);
        layer.pages.insert(layer.pages.end(), x, x + d);
      }
    }
    const auto n = static_cast<double>(layer.count() * kPage);
    for (int c = 0; c < d; ++c) {
      float low = layer.pages[c], high = low;
      double sum = 0, squares = 0;
      for (size_t i = static_cast<size_t>(c); i < layer.pages.size(); i += static_cast<size_t>(d)) {
        const float x = layer.pages[i];
        low = std::min(low, x), high = std::max(high, x);
        sum += x, squares += double{x} * x;
      }
      layer.range.push_back(high - low);
      layer.variance.push_back(static_cast<float>(squares / n - sum / n * sum / n));
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

// The half of the channels of smaller range: those that one bit is meant for.
std::vector<Layer> NormalChannels(const std::vector<Layer>& layers) {
  std::vector<Layer> halves;
  for (const Layer& layer : layers) {
    std::vector<int> order(static_cast<size_t>(layer.d));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return layer.range[a] < layer.range[b]; });
    order.resize(order.size() / 2);
    Layer half{
        .d = layer.d / 2, .pages = {}, .range = std::vector<float>(order.size(), 1.0f), .variance = {}};
    for (size_t at = 0; at < layer.pages.size(); at += static_cast<size_t>(layer.d)) {
      for (const int c : order) half.pages.push_back(layer.pages[at + static_cast<size_t>(c)]);
    }
    halves.push_back(std::move(half));
  }
  return halves;
}

// The error of a layer under `apply` (one vector to the codec's space) and the codec.
template <typename Apply>
double ErrorOf(const Layer& layer, const PageCodec& codec, Apply apply) {
  const int d = layer.d;
  std::vector<float> turned(static_cast<size_t>(kPage * d)), decoded = turned;
  std::vector<uint8_t> bytes(codec.bytes());
  double error = 0, square = 0;
  for (int64_t i = 0; i < layer.count(); ++i) {
    for (int64_t t = 0; t < kPage; ++t) apply(layer.page(i) + t * d, turned.data() + t * d);
    codec.Encode(turned.data(), bytes.data());
    codec.Decode(bytes.data(), decoded.data());
    for (int64_t t = 0; t < kPage; ++t) {
      for (int c = 0; c < d; ++c) {
        const double x = turned[t * d + c], e = x - decoded[c * kPage + t];
        error += e * e, square += x * x;
      }
    }
  }
  return error / square;
}

double MeanError(const std::vector<Layer>& layers, auto&& error_of) {
  double sum = 0;
  for (const Layer& layer : layers) sum += error_of(layer);
  return sum / static_cast<double>(layers.size());
}

// A cache format's own error; `chosen_by` ranks the channels.
double FormatError(const std::vector<Layer>& layers, const char* name, bool keys,
                   const std::function<std::vector<float>(const Layer&)>& chosen_by = {}) {
  const CacheFormat format = ParseCacheFormat(name);
  return MeanError(layers, [&](const Layer& layer) {
    const CacheSide side(keys ? format.keys : format.values, keys, chosen_by ? chosen_by(layer) : layer.range,
                         layer.range, 1);
    return ErrorOf(layer, side.codec(), [&](const float* x, float* y) { side.Apply(x, y); });
  });
}

double RunError(const std::vector<Layer>& layers, const std::function<std::vector<ChannelRun>(int)>& runs) {
  return MeanError(layers, [&](const Layer& layer) {
    return ErrorOf(layer, PageCodec(runs(layer.d)),
                   [&](const float* x, float* y) { std::copy_n(x, layer.d, y); });
  });
}

// The error when each entry x of a page becomes decoded(x, the mean of |x| over the channel's page).
double ErrorOfDecoding(const std::vector<Layer>& layers, double (*decoded)(double x, double mean)) {
  return MeanError(layers, [&](const Layer& layer) {
    double error = 0, square = 0;
    for (int64_t i = 0; i < layer.count(); ++i) {
      for (int c = 0; c < layer.d; ++c) {
        double mean = 0;
        for (int64_t t = 0; t < kPage; ++t) mean += std::abs(layer.page(i)[t * layer.d + c]) / kPage;
        for (int64_t t = 0; t < kPage; ++t) {
          const double x = layer.page(i)[t * layer.d + c], e = x - decoded(x, mean);
          error += e * e, square += x * x;
        }
      }
    }
    return error / square;
  });
}
// The sign, decoded as 0 and s = mean |x|.
double ZeroOrScale(double x, double mean) {
  return x >= 0 ? mean : 0;
}
// Ternary codes as the published code decodes them: -1, 0 and 1 without a scale.
double BareTernary(double x, double mean) {
  return std::abs(x) > 0.7 * mean ? (x > 0 ? 1 : -1) : 0;
}

}  // namespace

Outcome ReproduceVidKv(const Options& options, ThreadPool& pool) {
  const Model model = OpenModel(options.model.empty() ? FirstModel(options.data) : options.model);
  if (!model.tokenizer) Fail("{}: the model brings no tokenizer", model.path.string());
  const auto [text, entries] = FirstText(options.data / "text");
  Outcome outcome{.system = "vidkv", .model = model.path.filename().string(), .text = text};
  const auto claim = [&](std::string id, std::string what, std::string measured, std::string expected,
                         bool holds) {
    outcome.claims.push_back(
        {std::move(id), std::move(what), std::move(measured), std::move(expected), holds});
  };
  std::vector<int32_t> tokens = model.tokenizer->Encode(entries[0]);
  tokens.resize(
      std::min<size_t>(tokens.size(), static_cast<size_t>(std::min<int64_t>(model.config.context, 1024))));
  const CacheSample sample = SampleCache(model, tokens, pool);
  const auto positions = static_cast<int64_t>(tokens.size());
  const int d = static_cast<int>(sample.head_size);
  const std::vector<Layer> keys = LayersOf(sample.keys, positions, model.config.kv_heads, d);
  const std::vector<Layer> values = LayersOf(sample.values, positions, model.config.kv_heads, d);

  outcome.header = {"what", "code", "relative squared error"};
  const auto row = [&](const char* what, std::string code, double error) {
    outcome.rows.push_back({what, std::move(code), fmt::format("{:.4f}", error)});
    return error;
  };
  const auto two_bits = [](CacheAxis axis) {
    return [axis](int channels) {
      std::vector<ChannelRun> runs;
      for (int c = 0; c < channels; c += 32)
        runs.push_back(
            {.channels = std::min(32, channels - c), .bits = 2, .axis = axis, .rule = CacheRule::kRange});
      return runs;
    };
  };
  const double key_channel =
      row("keys", "2 bits, per channel over 32 positions", RunError(keys, two_bits(CacheAxis::kChannel)));
  const double key_position =
      row("keys", "2 bits, per position over 32 channels", RunError(keys, two_bits(CacheAxis::kPosition)));
  const double value_channel =
      row("values", "2 bits, per channel over 32 positions", RunError(values, two_bits(CacheAxis::kChannel)));
  const double value_position = row("values", "2 bits, per position over 32 channels",
                                    RunError(values, two_bits(CacheAxis::kPosition)));
  claim("1", "keys of 2 bits belong on grids per channel (of values on plain text the card expects no order)",
        fmt::format("keys {:.4f} per channel, {:.4f} per position; values {:.4f}, {:.4f}", key_channel,
                    key_position, value_channel, value_position),
        "keys: less error per channel", key_channel < key_position);

  const double by_range = row("keys", "vidkv1.5, channels by range", FormatError(keys, "vidkv1.5", true));
  const double by_variance =
      row("keys", "vidkv1.5, channels by variance",
          FormatError(keys, "vidkv1.5", true, [](const Layer& l) { return l.variance; }));
  double by_chance = 0, luckiest = 1e9;
  for (int seed = 0; seed < 2 * options.seeds; ++seed) {
    Random random(static_cast<uint64_t>(seed), 5);
    const double error = FormatError(keys, "vidkv1.5", true, [&](const Layer& l) {
      std::vector<float> rank;
      for (int c = 0; c < l.d; ++c) rank.push_back(random.Uniform());
      return rank;
    });
    by_chance += error / (2 * options.seeds), luckiest = std::min(luckiest, error);
  }
  row("keys", "vidkv1.5, channels by chance", by_chance);
  claim("2", "channels of large range deserve the second bit",
        fmt::format("by range {:.4f}, by variance {:.4f}, by chance {:.4f} (at best {:.4f})", by_range,
                    by_variance, by_chance, luckiest),
        "by range better than every draw by chance", by_range < luckiest);

  const std::vector<Layer> normal = NormalChannels(keys);
  const double turned =
      row("normal keys", "1 bit after a Hadamard transform, +-s", FormatError(normal, "vidkv1", true));
  const double plain = row("normal keys", "1 bit, +-s", FormatError(normal, "sign", true));
  const double zero = row("normal keys", "1 bit, 0 and s", ErrorOfDecoding(normal, ZeroOrScale));
  claim("3a", "one bit loses far less as +-s than as 0 and s", fmt::format("{:.4f} and {:.4f}", plain, zero),
        "+-s loses less", plain < zero);
  claim("3b", "one bit of the channels of smaller range loses less after the transform",
        fmt::format("transform {:.4f}, plain {:.4f}", turned, plain), "transform < plain", turned < plain);

  const double ternary = row("values", "ternary with its scale", FormatError(values, "vidkv1.5", false));
  const double bare = row("values", "ternary without a scale", ErrorOfDecoding(values, BareTernary));
  const double sign = row("values", "1 bit, +-s", FormatError(values, "sign", false));
  claim("4", "ternary values need their scale, and beat one bit",
        fmt::format("scaled {:.4f}, bare {:.4f}, one bit {:.4f}", ternary, bare, sign),
        "scaled < bare and scaled < one bit", ternary < bare && ternary < sign);

  // Predictions, values in 8 bits.
  ScoreOptions score;
  score.context = std::min<int64_t>(512, model.config.context);
  score.max_tokens = 4000;
  score.prefix_space = false;
  const Windows windows = MakeWindows(*model.tokenizer, entries, score);
  LanguageModel scored(model, pool, Arithmetic::kFloat);
  std::vector<double> kl;
  std::string sweep;
  for (const char* bits : {"2", "1.75", "1.5", "1.25", "1"}) {
    score.cache = ParseCacheFormat(fmt::format("vidkv{}/int8", bits));
    kl.push_back(Score(scored, &scored, windows, score, pool, std::string("keys of ") + bits + " bits")
                     .metrics.kl_mean());
    sweep += fmt::format("{}{} bits: {:.4f}", sweep.empty() ? "" : ", ", bits, kl.back());
  }
  const bool rises = std::is_sorted(kl.begin(), kl.end());
  claim("5", "fewer bits of keys cost more and more: the last quarter of a bit most (mean KL divergence)",
        sweep, "rising, the step from 1.25 to 1 the largest",
        rises && kl[4] - kl[3] > std::max({kl[3] - kl[2], kl[2] - kl[1], kl[1] - kl[0]}));
  return outcome;
}

}  // namespace lowbit::reproduce
