#include "lowbit/model/bundle.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "lowbit/base/buffer.h"
#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/naming.h"
#include "lowbit/io/json.h"
#include "lowbit/io/read_tensor.h"
#include "lowbit/model/hf_config.h"
#include "lowbit/model/stored_form.h"

namespace lowbit {
namespace {

using nlohmann::json;

constexpr std::string_view kTablePrefix = "tables/";
constexpr std::string_view kOrderSuffix = ".order";

std::vector<SafetensorsWriter::Tensor> Declare(const BundleHeader& header) {
  std::vector<SafetensorsWriter::Tensor> tensors;
  for (const auto& [name, entry] : header.packed) {
    tensors.push_back(
        {name, DType::kU8, {static_cast<int64_t>(StoredBytesOf(entry.format, entry.rows, entry.cols))}});
    if (entry.ordered) tensors.push_back({name + std::string(kOrderSuffix), DType::kI32, {entry.cols}});
  }
  for (const auto& [name, entry] : header.plain) tensors.push_back({name, entry.type, entry.shape});
  for (const auto& [name, text] : header.tables) {
    tensors.push_back({std::string(kTablePrefix) + name, DType::kU8, {static_cast<int64_t>(text.size())}});
  }
  return tensors;
}

Metadata Describe(const BundleHeader& header) {
  json formats = json::object();
  for (const auto& [name, entry] : header.packed) {
    formats[name] = {{"format", NameOf(entry.format)}, {"shape", {entry.rows, entry.cols}}};
  }
  const json networks = {{"main", {{"builder", "llama"}, {"config", ToHfConfig(header.config)}}}};
  Metadata metadata = {{"format", "pt"},
                       {"lowbit.version", std::string(kBundleVersion)},
                       {"lowbit.networks", networks.dump()},
                       {"lowbit.formats", formats.dump()}};
  if (!header.history.empty()) metadata["lowbit.history"] = header.history;
  return metadata;
}

json ParseMetadata(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) Fail("{}: the metadata lacks \"{}\"", file.Where(), key);
  json value = ParseJson(found->second, fmt::format("{}: {}", file.Where(), key));
  if (!value.is_object()) Fail("{}: \"{}\" of the metadata is not a JSON object", file.Where(), key);
  return value;
}

}  // namespace

BundleWriter::BundleWriter(const std::filesystem::path& path, const BundleHeader& header)
    : header_(header),
      writer_(std::make_unique<SafetensorsWriter>(path, Declare(header), Describe(header))) {}

void BundleWriter::WritePacked(const std::string& name, const PackedFormat& format, int64_t rows,
                               int64_t cols, std::span<const uint8_t> bytes, std::span<const int32_t> order) {
  const auto found = header_.packed.find(name);
  if (found == header_.packed.end()) Fail("bundle: {} was not declared as packed", name);
  const PackedEntry& entry = found->second;
  if (!(entry.format == format) || entry.rows != rows || entry.cols != cols ||
      entry.ordered == order.empty()) {
    Fail("bundle: {} is {} of {} x {}, declared was {} of {} x {}", name, NameOf(format), rows, cols,
         NameOf(entry.format), entry.rows, entry.cols);
  }
  if (InTrits(format)) {
    const std::vector<uint8_t> trits = ToTrits(format, rows, cols, bytes);
    writer_->Write(name, std::as_bytes(std::span(trits)));
  } else {
    writer_->Write(name, std::as_bytes(bytes));
  }
  if (entry.ordered) writer_->Write(name + std::string(kOrderSuffix), std::as_bytes(order));
}

void BundleWriter::Write(const std::string& name, const QuantizedMatrix& matrix) {
  WritePacked(name, matrix.format, matrix.rows, matrix.cols, Pack(matrix), matrix.order);
}

void BundleWriter::Write(const std::string& name, const Matrix& matrix) {
  const auto* format = std::get_if<PackedFormat>(&matrix.format);
  if (format == nullptr) Fail("bundle: {} is not packed", name);
  WritePacked(name, *format, matrix.rows, matrix.cols, {matrix.bytes, matrix.size}, matrix.order);
}

void BundleWriter::Write(const std::string& name, std::span<const float> values) {
  const auto found = header_.plain.find(name);
  if (found == header_.plain.end()) Fail("bundle: {} was not declared as plain", name);
  if (found->second.type == DType::kF32) {
    writer_->Write(name, std::as_bytes(values));
    return;
  }
  std::vector<uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(),
                 found->second.type == DType::kF16 ? FloatToF16 : FloatToBF16);
  writer_->Write(name, std::as_bytes(std::span(halves)));
}

void BundleWriter::Finish() {
  for (const auto& [name, text] : header_.tables) {
    writer_->Write(std::string(kTablePrefix) + name, std::as_bytes(std::span(text)));
  }
  writer_->Finish();
}

bool Bundle::Is(const SafetensorsFile& file) {
  return file.metadata().contains("lowbit.version");
}

Bundle::Bundle(std::shared_ptr<const SafetensorsFile> file) : file_(std::move(file)) {
  const std::string where = file_->Where();
  if (!Is(*file_)) Fail("{}: not a lowbit file (no lowbit.version in its metadata)", where);
  const std::string& version = file_->metadata().at("lowbit.version");
  const bool first = version == "1";
  if (version != kBundleVersion && !first)
    Fail("{}: version {} of lowbit's format; this program reads 1 and {}", where, version, kBundleVersion);
  const json networks = ParseMetadata(*file_, "lowbit.networks");
  const bool known = networks.contains("main") && networks["main"].is_object() &&
                     networks["main"].contains("builder") && networks["main"]["builder"] == "llama";
  if (!known) {
    Fail("{}: it holds no network \"main\" built by \"llama\"", where);
  }
  header_.config = ParseHfConfig(networks["main"].value("config", json()), where);
  const json formats = ParseMetadata(*file_, "lowbit.formats");
  for (const auto& [name, described] : formats.items()) {
    PackedEntry entry;
    try {
      entry.format = std::get<PackedFormat>(ParseFormat(described.at("format").get<std::string>()));
      entry.rows = described.at("shape").at(0).get<int64_t>();
      entry.cols = described.at("shape").at(1).get<int64_t>();
    } catch (const std::exception& error) {
      Fail("{}: the format of tensor {} is not understood ({}): {}", where, name, described.dump(),
           error.what());
    }
    if (first && NumbersShareByte(entry.format)) {
      Fail(
          "{}: tensor {} is {} as version 1 of lowbit's format stored it, which version {} does not read; "
          "quantize the model again",
          where, name, NameOf(entry.format), kBundleVersion);
    }
    const size_t bytes = StoredBytesOf(entry.format, entry.rows, entry.cols);
    const TensorView view = file_->Get(name);
    if (view.bytes.size() != bytes) {
      Fail("{}: tensor {} has {} bytes, {} of {} x {} needs {}", where, name, view.bytes.size(),
           NameOf(entry.format), entry.rows, entry.cols, bytes);
    }
    entry.ordered = file_->Has(name + std::string(kOrderSuffix));
    header_.packed[name] = entry;
  }
  for (const std::string& name : file_->Names()) {
    if (header_.packed.contains(name)) continue;
    const TensorView view = file_->Get(name);
    if (name.starts_with(kTablePrefix)) {
      header_.tables[name.substr(kTablePrefix.size())] =
          std::string(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
    } else if (!(name.ends_with(kOrderSuffix) &&
                 header_.packed.contains(name.substr(0, name.size() - kOrderSuffix.size())))) {
      header_.plain[name] = {std::get<DType>(view.type), view.shape};
    }
  }
  if (const auto found = file_->metadata().find("lowbit.history"); found != file_->metadata().end()) {
    header_.history = found->second;
  }
}

std::vector<std::string> Bundle::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : header_.packed) names.push_back(name);
  for (const auto& [name, entry] : header_.plain) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

bool Bundle::Has(const std::string& name) const {
  return header_.packed.contains(name) || header_.plain.contains(name);
}

std::vector<int64_t> Bundle::Shape(const std::string& name) const {
  if (const auto found = header_.packed.find(name); found != header_.packed.end()) {
    return {found->second.rows, found->second.cols};
  }
  return file_->Get(name).shape;
}

std::string Bundle::StoredAs(const std::string& name) const {
  if (const auto found = header_.packed.find(name); found != header_.packed.end()) {
    return NameOf(found->second.format) + (found->second.ordered ? " (ordered)" : "");
  }
  return std::string(NameOf(std::get<DType>(file_->Get(name).type)));
}

size_t Bundle::StoredBytes(const std::string& name) const {
  size_t bytes = file_->Get(name).bytes.size();
  if (const auto found = header_.packed.find(name); found != header_.packed.end() && found->second.ordered) {
    bytes += file_->Get(name + std::string(kOrderSuffix)).bytes.size();
  }
  return bytes;
}

Matrix Bundle::Load(const std::string& name) const {
  const auto found = header_.packed.find(name);
  if (found == header_.packed.end()) return PlainWeights(file_).Load(name);
  const PackedEntry& entry = found->second;
  const TensorView view = file_->Get(name);
  Matrix matrix{.format = entry.format, .rows = entry.rows, .cols = entry.cols};
  matrix.bytes = reinterpret_cast<const uint8_t*>(view.bytes.data());
  matrix.size = view.bytes.size();
  matrix.owner = file_;
  if (InTrits(entry.format)) {
    auto spread = std::make_shared<Buffer<uint8_t>>(Naming(fmt::format("{}: tensor {}", Where(), name), [&] {
      return FromTrits(entry.format, entry.rows, entry.cols, {matrix.bytes, matrix.size});
    }));
    matrix.bytes = spread->data();
    matrix.size = spread->size();
    matrix.owner = spread;
  } else if (reinterpret_cast<uintptr_t>(matrix.bytes) % kAlignment != 0) {
    // Re-written by a foreign tool that does not align: run from a copy.
    auto copy = std::make_shared<Buffer<uint8_t>>(matrix.size);
    std::memcpy(copy->data(), matrix.bytes, matrix.size);
    matrix.bytes = copy->data();
    matrix.owner = copy;
  }
  if (entry.ordered) {
    for (const int64_t column : ReadIntegers(*file_, name + std::string(kOrderSuffix))) {
      matrix.order.push_back(static_cast<int32_t>(column));
    }
    std::vector<bool> seen(static_cast<size_t>(entry.cols));
    for (const int32_t column : matrix.order) {
      if (column < 0 || column >= entry.cols || seen[column]) {
        Fail("{}: {}{} is not a permutation of {} columns", Where(), name, kOrderSuffix, entry.cols);
      }
      seen[column] = true;
    }
  }
  return matrix;
}

std::vector<float> Bundle::Floats(const std::string& name) const {
  if (header_.packed.contains(name)) return ToFloats(Load(name));
  return PlainWeights(file_).Floats(name);
}

std::optional<QuantizedMatrix> Codes(const Weights& weights, const std::string& name) {
  const Matrix matrix = weights.Load(name);
  const auto* format = std::get_if<PackedFormat>(&matrix.format);
  if (format == nullptr) return std::nullopt;
  QuantizedMatrix codes = Unpack(*format, matrix.rows, matrix.cols, matrix.bytes, matrix.size);
  codes.order = matrix.order;
  return codes;
}

}  // namespace lowbit
