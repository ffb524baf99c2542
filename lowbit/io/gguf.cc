#include "lowbit/io/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/io/byte_cursor.h"
#include "lowbit/io/ggml_type.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDimensions = 4;
// Arrays of arrays are legal and unknown in the wild; the limit keeps the walk off the call stack's end.
constexpr int kMaxNesting = 4;
constexpr uint64_t kDefaultAlignment = 32;

constexpr std::array<std::string_view, 13> kTypeNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::array<uint8_t, 13> kTypeSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// Numbers that other programs know and this one does not read.
std::string_view ForeignTypeName(uint32_t number) {
  switch (number) {
    case 4:
      return "Q4_2, withdrawn";
    case 5:
      return "Q4_3, withdrawn";
    case 9:
      return "Q8_1";
    case 15:
      return "Q8_K";
    case 31:
      return "Q4_0_4_4, withdrawn";
    case 32:
      return "Q4_0_4_8, withdrawn";
    case 33:
      return "Q4_0_8_8, withdrawn";
    case 36:
      return "IQ4_NL_4_4, withdrawn";
    case 37:
      return "IQ4_NL_4_8, withdrawn";
    case 38:
      return "IQ4_NL_8_8, withdrawn";
    case 40:
      return "NVFP4";
    case 41:
      return "Q1_0";
    default:
      return "unknown";
  }
}

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

std::string ReadString(ByteCursor& cursor, std::string_view what) {
  return cursor.ReadText(cursor.Read<uint64_t>(what), what);
}

// Reads values of one file; `key` is for messages.
class ValueReader {
 public:
  ValueReader(ByteCursor& cursor, std::span<const std::byte> bytes, const std::string& where,
              const std::string& key)
      : cursor_(cursor), bytes_(bytes), where_(where), key_(key) {}

  GgufField Read() {
    const GgufType type = ReadType();
    if (type != GgufType::kArray) {
      const size_t begin = cursor_.at();
      Skip(type);
      return {type, type, 1, bytes_.subspan(begin, cursor_.at() - begin)};
    }
    const GgufType item = ReadType();
    const auto count = cursor_.Read<uint64_t>(key_);
    const size_t begin = cursor_.at();
    SkipItems(item, count, 1);
    return {type, item, count, bytes_.subspan(begin, cursor_.at() - begin)};
  }

 private:
  GgufType ReadType() {
    const auto number = cursor_.Read<uint32_t>(key_);
    if (number >= kTypeNames.size()) Fail("{}: key {} has the unknown value type {}", where_, key_, number);
    return static_cast<GgufType>(number);
  }

  void Skip(GgufType type) {
    if (type == GgufType::kString) {
      cursor_.Take(cursor_.Read<uint64_t>(key_), key_);
    } else {
      const auto value = cursor_.Take(kTypeSizes[static_cast<size_t>(type)], key_);
      if (type == GgufType::kBool && static_cast<uint8_t>(value[0]) > 1) {
        Fail("{}: key {} is a bool with value {}", where_, key_, static_cast<int>(value[0]));
      }
    }
  }

  void SkipItems(GgufType item, uint64_t count, int nesting) {
    if (item == GgufType::kArray) {
      if (nesting == kMaxNesting) Fail("{}: key {} nests arrays deeper than {}", where_, key_, kMaxNesting);
      for (uint64_t i = 0; i < count; ++i) {
        const GgufType inner = ReadType();
        const auto inner_count = cursor_.Read<uint64_t>(key_);
        SkipItems(inner, inner_count, nesting + 1);
      }
    } else if (item == GgufType::kString) {
      for (uint64_t i = 0; i < count; ++i) Skip(item);
    } else {
      const uint64_t size = kTypeSizes[static_cast<size_t>(item)];
      uint64_t total = 0;
      if (__builtin_mul_overflow(count, size, &total))
        Fail("{}: key {} has {} elements", where_, key_, count);
      cursor_.Take(total, key_);
    }
  }

  ByteCursor& cursor_;
  std::span<const std::byte> bytes_;
  const std::string& where_;
  const std::string& key_;
};

bool IsInteger(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64:
      return true;
    default:
      return false;
  }
}

bool IsNumber(GgufType type) {
  return IsInteger(type) || type == GgufType::kF32 || type == GgufType::kF64;
}

int64_t IntegerAt(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return Load<uint8_t>(at);
    case GgufType::kI8:
      return Load<int8_t>(at);
    case GgufType::kU16:
      return Load<uint16_t>(at);
    case GgufType::kI16:
      return Load<int16_t>(at);
    case GgufType::kU32:
      return Load<uint32_t>(at);
    case GgufType::kI32:
      return Load<int32_t>(at);
    default:
      return Load<int64_t>(at);
  }
}

double NumberAt(GgufType type, const std::byte* at) {
  if (type == GgufType::kF32) return static_cast<double>(Load<float>(at));
  if (type == GgufType::kF64) return Load<double>(at);
  if (type == GgufType::kU64) return static_cast<double>(Load<uint64_t>(at));
  return static_cast<double>(IntegerAt(type, at));
}

std::string StringAt(const std::byte* at) {
  return {reinterpret_cast<const char*>(at) + sizeof(uint64_t), Load<uint64_t>(at)};
}

// "name-00002-of-00005.gguf" without its last 20 characters; nothing for other names.
std::optional<std::string> SplitPrefix(const std::string& file_name, int64_t part, int64_t count) {
  const std::string suffix = fmt::format("-{:05}-of-{:05}.gguf", part + 1, count);
  if (!file_name.ends_with(suffix)) return std::nullopt;
  return file_name.substr(0, file_name.size() - suffix.size());
}

}  // namespace

std::string_view NameOf(GgufType type) {
  return kTypeNames[static_cast<size_t>(type)];
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string where) : where_(std::move(where)) {
  ParsePart(bytes, where_);
}

GgufFile::GgufFile(const fs::path& path) : where_(path.string()) {
  files_.push_back(std::make_unique<MappedFile>(path));
  ParsePart(files_.front()->bytes(), where_);
  if (FindInteger("split.count").value_or(1) > 1) OpenParts(path);
}

void GgufFile::OpenParts(const fs::path& path) {
  const int64_t count = GetInteger("split.count"), own = GetInteger("split.no");
  const int64_t total = FindInteger("split.tensors.count").value_or(-1);
  const auto prefix = SplitPrefix(path.filename().string(), own, count);
  if (!prefix) {
    Fail("{}: says it is part {} of {}, and its name does not end in -{:05}-of-{:05}.gguf", where_, own + 1,
         count, own + 1, count);
  }
  files_.clear();
  keys_.clear();
  fields_.clear();
  tensors_.clear();
  parts_ = 0;
  std::vector<std::string> first_keys;
  std::unordered_map<std::string, GgufField> first_fields;
  for (int64_t part = 0; part < count; ++part) {
    const fs::path file =
        path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", *prefix, part + 1, count);
    keys_.clear();
    fields_.clear();
    if (!fs::exists(file)) {
      Fail("{}: part {} of {} is missing; {} needs all of them", file.string(), part + 1, count, where_);
    }
    files_.push_back(std::make_unique<MappedFile>(file));
    ParsePart(files_.back()->bytes(), file.string());
    if (FindInteger("split.count") != count || FindInteger("split.no") != part) {
      Fail("{}: does not say that it is part {} of {}", file.string(), part + 1, count);
    }
    if (part == 0) {
      first_keys = std::move(keys_);
      first_fields = std::move(fields_);
    }
  }
  keys_ = std::move(first_keys);
  fields_ = std::move(first_fields);
  if (total >= 0 && tensors_.size() != static_cast<size_t>(total)) {
    Fail("{}: the {} parts hold {} tensors, split.tensors.count says {}", where_, count, tensors_.size(),
         total);
  }
}

void GgufFile::ParsePart(std::span<const std::byte> bytes, const std::string& where) {
  ByteCursor cursor(bytes, where);
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    Fail("{}: does not start with GGUF: not a GGUF file", where);
  }
  cursor.Take(4, "the magic");
  const auto version = cursor.Read<uint32_t>("the version");
  if ((version & 0xffff) == 0) Fail("{}: a big-endian GGUF file; little-endian ones are read", where);
  if (version != 2 && version != 3) Fail("{}: GGUF version {}; versions 2 and 3 are read", where, version);
  const auto tensor_count = cursor.Read<uint64_t>("the tensor count");
  const auto key_count = cursor.Read<uint64_t>("the key count");

  for (uint64_t i = 0; i < key_count; ++i) {
    std::string key = ReadString(cursor, fmt::format("key {}", i));
    const GgufField field = ValueReader(cursor, bytes, where, key).Read();
    if (!fields_.emplace(key, field).second) Fail("{}: key {} comes twice", where, key);
    keys_.push_back(std::move(key));
  }
  uint64_t alignment = kDefaultAlignment;
  if (const auto found = fields_.find("general.alignment"); found != fields_.end()) {
    if (found->second.type != GgufType::kU32) {
      Fail("{}: general.alignment is {}, u32 is needed", where, NameOf(found->second.type));
    }
    alignment = Load<uint32_t>(found->second.bytes.data());
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
      Fail("{}: general.alignment is {}, a power of two is needed", where, alignment);
    }
  }

  struct Described {
    std::string name;
    StoredType type;
    std::vector<int64_t> shape;
    uint64_t offset;
    size_t size;
  };
  std::vector<Described> described;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    Described t;
    t.name = ReadString(cursor, fmt::format("the name of tensor {}", i));
    const auto dimensions = cursor.Read<uint32_t>(t.name);
    if (dimensions > kMaxDimensions) {
      Fail("{}: tensor {} has {} dimensions, at most {} are possible", where, t.name, dimensions,
           kMaxDimensions);
    }
    t.shape.resize(dimensions);
    for (size_t d = dimensions; d-- > 0;) {
      const auto extent = cursor.Read<uint64_t>(t.name);
      if (extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        Fail("{}: tensor {} has a dimension of {}", where, t.name, extent);
      }
      t.shape[d] = static_cast<int64_t>(extent);
    }
    const auto number = cursor.Read<uint32_t>(t.name);
    const auto type = StoredTypeFromGguf(number);
    if (!type) {
      Fail("{}: tensor {} has ggml type {} ({}), which is not supported", where, t.name, number,
           ForeignTypeName(number));
    }
    t.type = *type;
    t.offset = cursor.Read<uint64_t>(t.name);
    const auto size = StoredBytes(t.type, t.shape);
    if (!size) {
      Fail(
          "{}: tensor {} of type {} has an impossible shape ({}): too large, or rows that are not whole "
          "blocks of {}",
          where, t.name, NameOf(t.type), fmt::join(t.shape, " x "), BlockSizeOf(t.type).elements);
    }
    t.size = *size;
    described.push_back(std::move(t));
  }

  // A file without tensors (a vocabulary) may end before the padding.
  const uint64_t data_begin =
      std::min<uint64_t>((cursor.at() + alignment - 1) / alignment * alignment, bytes.size());
  const std::span<const std::byte> data = bytes.subspan(data_begin);
  std::stable_sort(described.begin(), described.end(),
                   [](const Described& a, const Described& b) { return a.offset < b.offset; });
  uint64_t reached = 0;
  std::string_view before;
  for (const Described& t : described) {
    if (t.offset % alignment != 0) {
      Fail("{}: tensor {} starts at byte {} of the data, a multiple of {} is needed", where, t.name, t.offset,
           alignment);
    }
    if (t.offset > data.size() || t.size > data.size() - t.offset) {
      Fail("{}: tensor {} has {} bytes at {}, the file has {} bytes of data: truncated or wrong", where,
           t.name, t.size, t.offset, data.size());
    }
    if (t.size > 0) {
      if (t.offset < reached) Fail("{}: tensor {} overlaps {}", where, t.name, before);
      // Padding is shorter than the alignment; a wider gap means that a size or an offset lies.
      if (t.offset - reached >= alignment) {
        Fail("{}: {} bytes between {} and tensor {} belong to none", where, t.offset - reached,
             before.empty() ? "the start of the data" : before, t.name);
      }
      reached = t.offset + t.size;
      before = t.name;
    }
    if (!tensors_.try_emplace(t.name, Held{{t.type, t.shape, data.subspan(t.offset, t.size)}, parts_})
             .second) {
      Fail("{}: tensor {} comes twice", where, t.name);
    }
  }
  ++parts_;
}

std::vector<std::string> GgufFile::Names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, held] : tensors_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

TensorView GgufFile::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) Fail("{}: no tensor named {}", where_, name);
  return found->second.view;
}

std::string GgufFile::WhereIs(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() || files_.empty() ? where_ : files_[found->second.part]->path().string();
}

std::vector<fs::path> GgufFile::Files() const {
  std::vector<fs::path> paths;
  for (const auto& file : files_) paths.push_back(file->path());
  return paths;
}

void GgufFile::Release(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end() && !files_.empty())
    files_[found->second.part]->Release(found->second.view.bytes);
}

const GgufField* GgufFile::FindField(const std::string& key) const {
  const auto found = fields_.find(key);
  return found == fields_.end() ? nullptr : &found->second;
}

const GgufField& GgufFile::Field(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) FailAbsent(key);
  return *field;
}

void GgufFile::FailAbsent(const std::string& key) const {
  Fail("{}: the metadata lacks {}", where_, key);
}

void GgufFile::FailType(const std::string& key, std::string_view needed) const {
  const GgufField& field = Field(key);
  if (field.type == GgufType::kArray) {
    Fail("{}: metadata {} is an array of {}, {} is needed", where_, key, NameOf(field.item), needed);
  }
  Fail("{}: metadata {} is {}, {} is needed", where_, key, NameOf(field.type), needed);
}

std::optional<int64_t> GgufFile::FindInteger(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (!IsInteger(field->type)) FailType(key, "an integer");
  const int64_t value = IntegerAt(field->type, field->bytes.data());
  if (field->type == GgufType::kU64 && value < 0) FailType(key, "an integer below 2^63");
  return value;
}

std::optional<double> GgufFile::FindNumber(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (!IsNumber(field->type)) FailType(key, "a number");
  return NumberAt(field->type, field->bytes.data());
}

std::optional<bool> GgufFile::FindBool(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (field->type != GgufType::kBool) FailType(key, "a bool");
  return field->bytes[0] != std::byte{0};
}

std::optional<std::string> GgufFile::FindString(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (field->type != GgufType::kString) FailType(key, "a string");
  return StringAt(field->bytes.data());
}

std::optional<std::vector<int64_t>> GgufFile::FindIntegers(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (field->type != GgufType::kArray || (!IsInteger(field->item) && field->item != GgufType::kBool)) {
    FailType(key, "an array of integers");
  }
  const size_t size = kTypeSizes[static_cast<size_t>(field->item)];
  std::vector<int64_t> values(field->count);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = IntegerAt(field->item, field->bytes.data() + i * size);
    if (field->item == GgufType::kU64 && values[i] < 0) FailType(key, "an array of integers below 2^63");
  }
  return values;
}

std::optional<std::vector<double>> GgufFile::FindNumbers(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (field->type != GgufType::kArray || !IsNumber(field->item)) FailType(key, "an array of numbers");
  const size_t size = kTypeSizes[static_cast<size_t>(field->item)];
  std::vector<double> values(field->count);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = NumberAt(field->item, field->bytes.data() + i * size);
  return values;
}

std::optional<std::vector<std::string>> GgufFile::FindStrings(const std::string& key) const {
  const GgufField* field = FindField(key);
  if (field == nullptr) return std::nullopt;
  if (field->type != GgufType::kArray || field->item != GgufType::kString)
    FailType(key, "an array of strings");
  std::vector<std::string> values;
  values.reserve(field->count);
  const std::byte* at = field->bytes.data();
  for (uint64_t i = 0; i < field->count; ++i) {
    values.push_back(StringAt(at));
    at += sizeof(uint64_t) + values.back().size();
  }
  return values;
}

}  // namespace lowbit
