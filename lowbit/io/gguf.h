// GGUF: the file of the ggml family. Little-endian, versions 2 and 3:
//   "GGUF", u32 version, u64 tensor count, u64 key count, keys and values, tensor descriptions, data.
// Metadata stays in the mapping and is decoded when asked for: a vocabulary of 100 000 strings costs nothing
// until then. GGUF lists dimensions innermost first; here shapes are outermost first, as everywhere in
// lowbit.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "lowbit/io/file.h"
#include "lowbit/io/sectioned_file.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

// Types of metadata values, by their numbers in the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// "u32", "string", ...
std::string_view NameOf(GgufType type);

// A value as it lies in the file. For arrays `item` and `count` describe the elements and `bytes` holds them
// without the array's own 12-byte head; for scalars and strings count = 1 and `bytes` is the encoded value.
struct GgufField {
  GgufType type;
  GgufType item;
  uint64_t count;
  std::span<const std::byte> bytes;
};

// One file or all parts of a split one. Opening walks every length and offset; Error names the file, the key
// or the tensor when anything lies outside, overlaps, comes twice, or has a type that lowbit does not know
// (named with its number). Big-endian files and version 1 are refused by name.
class GgufFile : public TensorSource {
 public:
  // Any part of a split file ("...-00001-of-00003.gguf", metadata split.count > 1) opens the whole.
  explicit GgufFile(const std::filesystem::path& path);
  // One file in memory, which must outlive this object; parts of a split file are not looked for.
  GgufFile(std::span<const std::byte> bytes, std::string where);

  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return tensors_.contains(name); }
  TensorView Get(const std::string& name) const override;
  std::string Where() const override { return where_; }
  std::string WhereIs(const std::string& name) const override;
  // The file, or all parts of a split one; empty for bytes in memory.
  std::vector<std::filesystem::path> Files() const;
  void Release(const std::string& name) const override;

  // Metadata of the first part. Keys in the file's order.
  const std::vector<std::string>& Keys() const { return keys_; }
  bool HasKey(const std::string& key) const { return fields_.contains(key); }
  // Throws when absent.
  const GgufField& Field(const std::string& key) const;

  // Find...: nothing when the key is absent. Get...: absence is an error. Either throws when the key is there
  // with another type. Integers of any width are integers; a number is an integer or a float.
  std::optional<int64_t> FindInteger(const std::string& key) const;
  std::optional<double> FindNumber(const std::string& key) const;
  std::optional<bool> FindBool(const std::string& key) const;
  std::optional<std::string> FindString(const std::string& key) const;
  std::optional<std::vector<int64_t>> FindIntegers(const std::string& key) const;  // arrays; of bool too
  std::optional<std::vector<double>> FindNumbers(const std::string& key) const;
  std::optional<std::vector<std::string>> FindStrings(const std::string& key) const;
  int64_t GetInteger(const std::string& key) const { return Need(FindInteger(key), key); }
  double GetNumber(const std::string& key) const { return Need(FindNumber(key), key); }
  bool GetBool(const std::string& key) const { return Need(FindBool(key), key); }
  std::string GetString(const std::string& key) const { return Need(FindString(key), key); }
  std::vector<int64_t> GetIntegers(const std::string& key) const { return Need(FindIntegers(key), key); }
  std::vector<double> GetNumbers(const std::string& key) const { return Need(FindNumbers(key), key); }
  std::vector<std::string> GetStrings(const std::string& key) const { return Need(FindStrings(key), key); }

 private:
  struct Held {
    TensorView view;
    size_t part;
  };

  void ParsePart(std::span<const std::byte> bytes, const std::string& where);
  void OpenParts(const std::filesystem::path& path);
  const GgufField* FindField(const std::string& key) const;
  [[noreturn]] void FailAbsent(const std::string& key) const;
  [[noreturn]] void FailType(const std::string& key, std::string_view needed) const;
  template <typename T>
  T Need(std::optional<T> value, const std::string& key) const {
    if (!value) FailAbsent(key);
    return *std::move(value);
  }

  std::string where_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  size_t parts_ = 0;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, GgufField> fields_;
  std::unordered_map<std::string, Held> tensors_;
};

// A metadata value to write. GgufField copies a value of another file verbatim (it must still be open).
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                               float, double, bool, std::string, std::vector<uint8_t>, std::vector<int8_t>,
                               std::vector<uint16_t>, std::vector<int16_t>, std::vector<uint32_t>,
                               std::vector<int32_t>, std::vector<uint64_t>, std::vector<int64_t>,
                               std::vector<float>, std::vector<double>, std::vector<std::string>, GgufField>;
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

// Writes a version-3 file under its final name only when Finish() has run. Tensors lie in declared order,
// each at a multiple of `general.alignment` (32 unless the metadata has that key as u32), and are filled in
// any order, in one call or in pieces. Readers allow 4 dimensions and names of 63 bytes: more is refused
// here.
class GgufWriter {
 public:
  struct Tensor {
    std::string name;
    StoredType type;
    std::vector<int64_t> shape;  // outermost first
  };

  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
             const std::vector<Tensor>& tensors);

  // Appends to the tensor. Throws when the name was not declared or the tensor would overflow.
  void Write(const std::string& name, std::span<const std::byte> bytes) { file_.Write(name, bytes); }
  // Throws when a tensor is incomplete; flushes and renames.
  void Finish() { file_.Finish(); }

  // Size of the finished file.
  size_t file_bytes() const { return file_.file_bytes(); }

 private:
  SectionedFile file_;
};

}  // namespace lowbit
