#include <cstring>
#include <set>
#include <type_traits>

#include "lowbit/base/error.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/gguf.h"

namespace lowbit {
namespace {

// Collects the head of the file, which is written at once.
class Head {
 public:
  template <typename T>
  void Put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void PutType(GgufType type) { Put(static_cast<uint32_t>(type)); }
  void PutString(std::string_view text) {
    Put(static_cast<uint64_t>(text.size()));
    text_.append(text);
  }
  void PutBytes(std::span<const std::byte> bytes) {
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void PadTo(size_t multiple) { text_.resize((text_.size() + multiple - 1) / multiple * multiple, '\0'); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

template <typename T>
constexpr GgufType TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::kI64;
  if constexpr (std::is_same_v<T, float>) return GgufType::kF32;
  if constexpr (std::is_same_v<T, double>) return GgufType::kF64;
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  return GgufType::kString;
}

class PutValue {
 public:
  explicit PutValue(Head& head) : head_(head) {}

  template <typename T>
  void operator()(const T& value) const {
    head_.PutType(TypeOf<T>());
    PutPlain(value);
  }
  template <typename T>
  void operator()(const std::vector<T>& values) const {
    head_.PutType(GgufType::kArray);
    head_.PutType(TypeOf<T>());
    head_.Put(static_cast<uint64_t>(values.size()));
    for (const T& value : values) PutPlain(value);
  }
  void operator()(const GgufField& field) const {
    head_.PutType(field.type);
    if (field.type == GgufType::kArray) {
      head_.PutType(field.item);
      head_.Put(field.count);
    }
    head_.PutBytes(field.bytes);
  }

 private:
  template <typename T>
  void PutPlain(const T& value) const {
    if constexpr (std::is_same_v<T, std::string>) {
      head_.PutString(value);
    } else if constexpr (std::is_same_v<T, bool>) {
      head_.Put(static_cast<uint8_t>(value));
    } else {
      head_.Put(value);
    }
  }

  Head& head_;
};

size_t AlignmentOf(const GgufMetadata& metadata, const std::string& where) {
  for (const auto& [key, value] : metadata) {
    if (key != "general.alignment") continue;
    const auto* alignment = std::get_if<uint32_t>(&value);
    if (alignment == nullptr || *alignment < 8 || (*alignment & (*alignment - 1)) != 0) {
      Fail("{}: general.alignment must be a u32, a power of two from 8", where);
    }
    return *alignment;
  }
  return 32;
}

}  // namespace

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       const std::vector<Tensor>& tensors)
    : file_(path) {
  const std::string& where = file_.where();
  const size_t alignment = AlignmentOf(metadata, where);
  Head head;
  head.PutBytes(std::as_bytes(std::span("GGUF", 4)));
  head.Put(uint32_t{3});
  head.Put(static_cast<uint64_t>(tensors.size()));
  head.Put(static_cast<uint64_t>(metadata.size()));
  std::set<std::string_view> keys;
  for (const auto& [key, value] : metadata) {
    if (!keys.insert(key).second) Fail("{}: metadata key {} is given twice", where, key);
    head.PutString(key);
    std::visit(PutValue(head), value);
  }
  size_t offset = 0;
  for (const Tensor& t : tensors) {
    const auto number = GgufNumberOf(t.type);
    const auto size = StoredBytes(t.type, t.shape);
    if (!number) Fail("{}: tensor {} has type {}, which GGUF does not know", where, t.name, NameOf(t.type));
    if (!size) {
      Fail("{}: tensor {} of type {} has an impossible shape ({}), rows must be whole blocks of {}", where,
           t.name, NameOf(t.type), fmt::join(t.shape, " x "), BlockSizeOf(t.type).elements);
    }
    if (t.shape.size() > 4)
      Fail("{}: tensor {} has {} dimensions, GGUF has 4", where, t.name, t.shape.size());
    if (t.name.size() > 63)
      Fail("{}: the tensor name {} exceeds the 63 bytes of GGUF readers", where, t.name);
    file_.Declare(t.name, offset, *size);
    head.PutString(t.name);
    head.Put(static_cast<uint32_t>(t.shape.size()));
    for (size_t d = t.shape.size(); d-- > 0;) head.Put(static_cast<uint64_t>(t.shape[d]));
    head.Put(*number);
    head.Put(static_cast<uint64_t>(offset));
    offset += (*size + alignment - 1) / alignment * alignment;  // the last is padded too, as readers expect
  }
  head.PadTo(alignment);
  file_.WriteHead(head.text(), offset);
}

}  // namespace lowbit
