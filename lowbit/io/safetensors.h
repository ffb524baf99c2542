// safetensors: an 8-byte little-endian header length, a JSON header, then the tensors' bytes without holes.
// Readers map the file and look nothing up twice; the writer streams, so that a file may exceed memory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lowbit/io/file.h"
#include "lowbit/io/sectioned_file.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

using Metadata = std::map<std::string, std::string>;

// One file. The whole header is checked on opening, and Error names the file and the tensor when: the length
// is out of range, the JSON is malformed or nests too deep, a name comes twice, a dtype is unknown, a shape
// does not give the byte count, or the ranges overlap, leave holes, or do not end where the file ends.
//
// Tensors of foreign files may start at any byte: never cast `TensorView::bytes` to a wider type without
// asking for its alignment; ReadFloats (read_tensor.h) copies.
class SafetensorsFile : public TensorSource {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  // Bytes in memory, which must outlive this object; `where` names them in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string where);

  // The `__metadata__` entry: strings only.
  const Metadata& metadata() const { return metadata_; }

  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return tensors_.contains(name); }
  TensorView Get(const std::string& name) const override;
  std::string Where() const override { return where_; }
  void Release(const std::string& name) const override;

 private:
  void Parse(std::span<const std::byte> bytes);

  std::string where_;
  std::unique_ptr<MappedFile> file_;
  Metadata metadata_;
  std::unordered_map<std::string, TensorView> tensors_;
};

// A checkpoint cut into several files.
class SafetensorsShards : public TensorSource {
 public:
  // `index` is a model.safetensors.index.json: {"weight_map": {tensor: file beside the index}}. Every tensor
  // of the map must be in its file; files may not lie outside the index's folder.
  explicit SafetensorsShards(const std::filesystem::path& index);
  // All tensors of all files; a name in two files is an error.
  explicit SafetensorsShards(const std::vector<std::filesystem::path>& files);

  // Metadata of all shards; the first shard that has a key wins.
  const Metadata& metadata() const { return metadata_; }

  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return home_.contains(name); }
  TensorView Get(const std::string& name) const override;
  std::string Where() const override { return where_; }
  std::string WhereIs(const std::string& name) const override {
    return Has(name) ? Home(name).Where() : where_;
  }
  void Release(const std::string& name) const override;

 private:
  const SafetensorsFile& Home(const std::string& name) const;

  std::string where_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string, size_t> home_;
  Metadata metadata_;
};

// A .safetensors file, an .index.json, or a folder (model.safetensors.index.json, else model.safetensors,
// else every *.safetensors in it).
std::unique_ptr<TensorSource> OpenSafetensors(const std::filesystem::path& path);

// Writes one file under its final name only when Finish() has run. Tensors are declared first, then filled in
// any order, in one call or in pieces; memory holds nothing but the header.
//
// Layout: data and every tensor start at multiples of `alignment`. As the format allows no holes, tensors
// whose size is a multiple of it come first, in declared order; the others follow, and a U8 tensor named
// "__padding__.<n>" fills the gap after each but the last. A caller who pads its sections gets no padding
// tensor.
class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
  };
  struct Options {
    size_t alignment = 64;  // power of two from 1; 1 packs tightly, wide types first, as other writers do
  };

  SafetensorsWriter(const std::filesystem::path& path, std::vector<Tensor> tensors, const Metadata& metadata)
      : SafetensorsWriter(path, std::move(tensors), metadata, Options()) {}
  SafetensorsWriter(const std::filesystem::path& path, std::vector<Tensor> tensors, const Metadata& metadata,
                    const Options& options);

  // Appends to the tensor. Throws when the name was not declared or the tensor would overflow.
  void Write(const std::string& name, std::span<const std::byte> bytes) { file_.Write(name, bytes); }
  // Throws when a tensor is incomplete; flushes and renames.
  void Finish() { file_.Finish(); }

  // Size of the finished file.
  size_t file_bytes() const { return file_.file_bytes(); }

 private:
  SectionedFile file_;
};

// Writes all (plain) tensors of a source.
void WriteSafetensors(const std::filesystem::path& path, const TensorSource& source,
                      const Metadata& metadata = {}, const SafetensorsWriter::Options& options = {});

// Tensors whose names start with this are filler and are left out by Names().
inline constexpr std::string_view kPaddingPrefix = "__padding__.";

}  // namespace lowbit
