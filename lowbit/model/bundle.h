// lowbit's own file: one safetensors file, so that any safetensors reader opens it (docs/file-format.md).
//
//   __metadata__  lowbit.version   "2"
//                 lowbit.networks  {"main": {"builder": "llama", "config": {config.json}}}
//                 lowbit.formats   {"<tensor>": {"format": "int4-g64", "shape": [out, in]}}
//                 lowbit.history   how the file was made
//   tensors       plain tensors under canonical names; a packed matrix is one U8 tensor, the sections of
//   PackedLayout,
//                 every one 64-byte aligned, run straight from the mapping (ternary codes lie five a byte
//                 and are spread when they are loaded, stored_form.h); "<tensor>.order" (I32) where columns
//                 were permuted; "tables/<name>" (U8) for tokenizer.json, chat_template and
//                 generation_config.json
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lowbit/io/safetensors.h"
#include "lowbit/model/weights.h"
#include "lowbit/network/llama.h"

namespace lowbit {

// Version 1 is read too, but for q2_k, whose sub-scales and sub-minima had a byte each there.
inline constexpr std::string_view kBundleVersion = "2";

struct PackedEntry {
  PackedFormat format;
  int64_t rows = 0, cols = 0;
  bool ordered = false;  // "<tensor>.order" is stored
};

struct PlainEntry {
  DType type = DType::kF32;  // F32, F16 or BF16
  std::vector<int64_t> shape;
};

// What a bundle holds beside the bytes of its tensors. All sizes are known before the first matrix is solved,
// so the file can be streamed.
struct BundleHeader {
  LlamaConfig config;
  std::map<std::string, PackedEntry> packed;
  std::map<std::string, PlainEntry> plain;
  std::map<std::string, std::string> tables;
  std::string history;  // JSON
};

class BundleWriter {
 public:
  BundleWriter(const std::filesystem::path& path, const BundleHeader& header);

  // `matrix.order` must be empty unless the entry is ordered. Throws when format or shape are not those
  // declared.
  void Write(const std::string& name, const QuantizedMatrix& matrix);
  // The bytes of an already packed matrix.
  void Write(const std::string& name, const Matrix& matrix);
  // Values are rounded to the declared type.
  void Write(const std::string& name, std::span<const float> values);
  // Writes the tables, checks that nothing is missing, gives the file its name.
  void Finish();
  size_t file_bytes() const { return writer_->file_bytes(); }

 private:
  void WritePacked(const std::string& name, const PackedFormat& format, int64_t rows, int64_t cols,
                   std::span<const uint8_t> bytes, std::span<const int32_t> order);

  BundleHeader header_;
  std::unique_ptr<SafetensorsWriter> writer_;
};

class Bundle : public Weights {
 public:
  explicit Bundle(std::shared_ptr<const SafetensorsFile> file);
  static bool Is(const SafetensorsFile& file);  // has the metadata

  const BundleHeader& header() const { return header_; }

  std::string Where() const override { return file_->Where(); }
  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override;
  std::vector<int64_t> Shape(const std::string& name) const override;
  std::string StoredAs(const std::string& name) const override;
  size_t StoredBytes(const std::string& name) const override;
  Matrix Load(const std::string& name) const override;
  std::vector<float> Floats(const std::string& name) const override;
  void Release(const std::string& name) const override { file_->Release(name); }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  BundleHeader header_;
};

// The codes of a packed matrix of any Weights, or nothing when it is stored in floats.
std::optional<QuantizedMatrix> Codes(const Weights& weights, const std::string& name);

}  // namespace lowbit
