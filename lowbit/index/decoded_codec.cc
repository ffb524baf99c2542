#include "lowbit/index/decoded_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/finite.h"
#include "lowbit/format/bit_field.h"
#include "lowbit/format/code_record.h"
#include "lowbit/kernel/float_matmul.h"
#include "lowbit/quantize/codebook_quantizer.h"

namespace lowbit {
namespace {

class DecodedBatch : public IndexCodec::Batch {
 public:
  DecodedBatch(const IndexCodec& codec, const ProjectedQueries& queries, ScoreKind kind)
      : codec_(codec), kind_(kind), constant_(queries.constant, queries.constant + queries.rows.rows) {
    for (int64_t r = 0; r < queries.rows.rows; ++r)
      queries_.insert(queries_.end(), queries.rows.Row(r), queries.rows.Row(r) + queries.rows.cols);
  }

  void Scores(const uint8_t* codes, int64_t n, float* scores) const override {
    const int64_t dim = codec_.dim(), run = std::clamp<int64_t>(16384 / dim, 1, n);
    const auto queries = static_cast<int64_t>(constant_.size());
    std::vector<float> rows(static_cast<size_t>(run * dim)), part(static_cast<size_t>(queries * run));
    for (int64_t first = 0; first < n; first += run) {
      const int64_t count = std::min(run, n - first);
      codec_.Decode(codes + first * codec_.bytes(), count, rows.data());
      ScoreRows(kind_, queries_.data(), queries, rows.data(), count, dim, part.data());
      for (int64_t r = 0; r < queries; ++r) {
        for (int64_t i = 0; i < count; ++i)
          scores[r * n + first + i] =
              part[static_cast<size_t>(r * count + i)] + constant_[static_cast<size_t>(r)];
      }
    }
  }

 private:
  const IndexCodec& codec_;
  ScoreKind kind_;
  std::vector<float> queries_, constant_;
};

class PlainCodec : public DecodedCodec {
 public:
  PlainCodec(int64_t dim, DType type) : DecodedCodec(dim), type_(type) {}

  int64_t bytes() const override { return dim() * (type_ == DType::kF32 ? 4 : 2); }
  void Encode(MatrixView<const float> x, int64_t first, uint8_t* codes) const override {
    for (int64_t i = 0; i < x.rows; ++i, codes += bytes()) {
      ConvertFromFloat(x.Row(i), dim(), type_, codes);
      if (type_ == DType::kF32) continue;
      for (int64_t j = 0; j < dim(); ++j) {
        if (std::abs(x(i, j)) > 65504)
          Fail("row {}: entry {} is {}, beyond 65504, the largest f16; use Flat", first + i, j, x(i, j));
      }
    }
  }
  void Decode(const uint8_t* codes, int64_t n, float* x) const override {
    ConvertToFloat(type_, codes, n * dim(), x);
  }

 private:
  DType type_;
};

// code = round((x - low) / step), 0 to 2^bits - 1; low and step of each dimension from the training vectors'
// range.
class ScalarCodec : public DecodedCodec {
 public:
  ScalarCodec(int64_t dim, int bits)
      : DecodedCodec(dim), bits_(bits), low_(static_cast<size_t>(dim)), step_(low_.size()) {}

  int64_t bytes() const override { return (dim() * bits_ + 7) / 8; }
  void Train(MatrixView<const float> x, const KMeansOptions& kmeans, ThreadPool& pool) override {
    DecodedCodec::Train(x, kmeans, pool);
    for (int64_t j = 0; j < dim(); ++j) {
      float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
      for (int64_t i = 0; i < x.rows; ++i) low = std::min(low, x(i, j)), high = std::max(high, x(i, j));
      const auto at = static_cast<size_t>(j);
      low_[at] = x.rows > 0 ? low : 0;
      step_[at] = x.rows > 0 ? (high - low) / static_cast<float>(Most()) : 0;
    }
  }
  std::vector<float> Parameters() const override {
    std::vector<float> parameters = low_;
    parameters.insert(parameters.end(), step_.begin(), step_.end());
    return parameters;
  }
  void SetParameters(std::span<const float> parameters) override {
    if (parameters.size() != 2 * low_.size() || !AllFinite(parameters))
      Fail("{} parameters of a scalar grid, {} finite ones are needed", parameters.size(), 2 * low_.size());
    low_.assign(parameters.begin(), parameters.begin() + dim());
    step_.assign(parameters.begin() + dim(), parameters.end());
  }
  void Encode(MatrixView<const float> x, int64_t, uint8_t* codes) const override {
    for (int64_t i = 0; i < x.rows; ++i, codes += bytes()) {
      const std::span<uint8_t> record(codes, static_cast<size_t>(bytes()));
      std::fill(record.begin(), record.end(), uint8_t{0});
      for (size_t j = 0; j < low_.size(); ++j) {
        const float level = step_[j] > 0 ? (x(i, static_cast<int64_t>(j)) - low_[j]) / step_[j] : 0;
        const float code = std::clamp(std::nearbyint(level), 0.0f, static_cast<float>(Most()));
        const auto value = static_cast<uint8_t>(code);
        if (bits_ == 8) {
          record[j] = value;
        } else {
          WriteBitField(record, j * static_cast<size_t>(bits_), bits_, value);
        }
      }
    }
  }
  void Decode(const uint8_t* codes, int64_t n, float* x) const override {
    if (bits_ == 8) {  // a loop that compilers turn into vectors
      const float *low = low_.data(), *step = step_.data();
      const int64_t width = dim();
      for (int64_t i = 0; i < n; ++i, codes += width, x += width) {
        for (int64_t j = 0; j < width; ++j) x[j] = low[j] + static_cast<float>(codes[j]) * step[j];
      }
      return;
    }
    for (int64_t i = 0; i < n; ++i, codes += bytes(), x += dim()) {
      // Fields of 1 to 8 bits, least significant first, from a window of at least `bits` bits.
      uint32_t window = 0;
      int held = 0;
      const uint8_t* next = codes;
      for (size_t j = 0; j < low_.size(); ++j) {
        if (held < bits_) window |= static_cast<uint32_t>(*next++) << held, held += 8;
        const auto code = static_cast<float>(window & static_cast<uint32_t>(Most()));
        window >>= bits_, held -= bits_;
        x[j] = low_[j] + code * step_[j];
      }
    }
  }

 private:
  int Most() const { return (1 << bits_) - 1; }

  int bits_;
  std::vector<float> low_, step_;
};

// Product and residual quantizers; parameters are the codewords, codebook after codebook.
class CodebookCodec : public DecodedCodec {
 public:
  CodebookCodec(int64_t dim, const CodebookCode& spec)
      : DecodedCodec(dim),
        shapes_(spec.residual ? ResidualQuantizer::Shapes(dim, spec.codebooks, int64_t{1} << spec.bits)
                              : ProductQuantizer::Shapes(dim, spec.codebooks, int64_t{1} << spec.bits)),
        widths_(static_cast<size_t>(spec.codebooks), spec.bits) {}

  int64_t bytes() const override { return CodeRecordBytes(widths_); }
  int64_t codebooks() const override { return static_cast<int64_t>(widths_.size()); }
  void Train(MatrixView<const float> x, const KMeansOptions& kmeans, ThreadPool& pool) override {
    DecodedCodec::Train(x, kmeans, pool);
    CodebookOptions options;
    options.kmeans = kmeans;
    options.search = search_;
    quantizer_ = std::make_unique<CodebookQuantizer>(
        CodebookQuantizer::Train(MatrixSource(x), shapes_, options, pool));
  }
  std::vector<float> Parameters() const override {
    std::vector<float> parameters;
    for (const Codebook& codebook : Trained().codebooks())
      parameters.insert(parameters.end(), codebook.words.begin(), codebook.words.end());
    return parameters;
  }
  void SetParameters(std::span<const float> parameters) override {
    size_t needed = 0;
    for (const CodebookShape& shape : shapes_) needed += static_cast<size_t>(shape.size * shape.width);
    if (parameters.size() != needed || !AllFinite(parameters))
      Fail("{} numbers of codebooks, {} finite ones are needed", parameters.size(), needed);
    std::vector<Codebook> codebooks;
    for (const CodebookShape& shape : shapes_) {
      const auto size = static_cast<size_t>(shape.size * shape.width);
      codebooks.emplace_back(
          shape, std::vector<float>(parameters.begin(), parameters.begin() + static_cast<int64_t>(size)));
      parameters = parameters.subspan(size);
    }
    quantizer_ = std::make_unique<CodebookQuantizer>(dim(), std::move(codebooks), search_);
  }
  void Encode(MatrixView<const float> x, int64_t, uint8_t* codes) const override {
    const auto count = static_cast<int64_t>(widths_.size());
    std::vector<uint16_t> fields(static_cast<size_t>(x.rows * count));
    Trained().Encode(x, {fields.data(), x.rows, count}, Serial());
    PackCodeRecords({fields.data(), x.rows, count}, widths_, {codes, static_cast<size_t>(x.rows * bytes())});
  }
  void Decode(const uint8_t* codes, int64_t n, float* x) const override {
    const auto count = static_cast<int64_t>(widths_.size());
    const std::vector<Codebook>& codebooks = Trained().codebooks();
    std::vector<uint16_t> fields;
    if (widths_[0] != 8) {
      fields.resize(static_cast<size_t>(n * count));
      UnpackCodeRecords({codes, static_cast<size_t>(n * bytes())}, widths_, {fields.data(), n, count});
    }
    std::fill(x, x + n * dim(), 0.0f);
    for (int64_t i = 0; i < n; ++i, x += dim()) {
      for (int64_t m = 0; m < count; ++m) {
        const Codebook& codebook = codebooks[static_cast<size_t>(m)];
        const int64_t code =
            fields.empty() ? codes[i * count + m] : int64_t{fields[static_cast<size_t>(i * count + m)]};
        const float* word = &codebook.words[static_cast<size_t>(code * codebook.shape.width)];
        float* to = x + codebook.shape.first;
        for (int64_t j = 0; j < codebook.shape.width; ++j) to[j] += word[j];
      }
    }
  }

 private:
  const CodebookQuantizer& Trained() const {
    if (!quantizer_) Fail("a codec of codebooks needs Train before it can encode or decode");
    return *quantizer_;
  }
  static ThreadPool& Serial() {
    static ThreadPool pool(1);
    return pool;
  }

  std::vector<CodebookShape> shapes_;
  std::vector<int> widths_;
  CodeSearch search_{.beam = 8};  // of residual stages; parts are searched exactly
  std::unique_ptr<CodebookQuantizer> quantizer_;
};

}  // namespace

std::unique_ptr<IndexCodec::Batch> DecodedCodec::PrepareBatch(const ProjectedQueries& queries,
                                                              ScoreKind kind) const {
  return std::make_unique<DecodedBatch>(*this, queries, kind);
}

std::unique_ptr<IndexCodec> MakeDecodedCodec(const CodecSpec& spec, int64_t dim) {
  if (const auto* plain = std::get_if<PlainCode>(&spec))
    return std::make_unique<PlainCodec>(dim, plain->half ? DType::kF16 : DType::kF32);
  if (const auto* scalar = std::get_if<ScalarCode>(&spec))
    return std::make_unique<ScalarCodec>(dim, scalar->bits);
  const auto& codebooks = std::get<CodebookCode>(spec);
  if (!codebooks.residual && codebooks.codebooks > dim)
    FailUsage("{}: {} parts of vectors with {} dimensions; at most {} are possible", NameOf(spec),
              codebooks.codebooks, dim, dim);
  return std::make_unique<CodebookCodec>(dim, codebooks);
}

}  // namespace lowbit
