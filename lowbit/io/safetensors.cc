#include "lowbit/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/json.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// As the reference implementation; a header for a million tensors is about as long.
constexpr uint64_t kHeaderLimit = 100'000'000;

struct Declared {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<int64_t>> shape;
  std::optional<std::vector<int64_t>> offsets;
};

// Reads the header as events: nesting is bounded by construction (tensor, field, list of numbers) and
// repeated names are seen, which a parsed tree would hide.
class HeaderReader : public json::json_sax_t {
 public:
  HeaderReader(const std::string& where, Metadata& metadata) : where_(where), metadata_(metadata) {}

  std::vector<Declared> tensors;

  bool start_object(std::size_t) override {
    if (++depth_ > 2 || in_list_) Unexpected("an object");
    return true;
  }
  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_) CheckComplete(tensors.back());
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      in_metadata_ = key == "__metadata__";
      if (!names_.insert(key).second) Fail("{}: tensor {} is declared twice", where_, key);
      if (!in_metadata_) tensors.push_back({key, {}, {}, {}});
      entry_ = key;
    }
    key_ = key;
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ != 2 || in_list_) Unexpected("a string");
    if (in_metadata_) {
      if (!metadata_.emplace(key_, value).second) Fail("{}: __metadata__ has {} twice", where_, key_);
    } else if (key_ == "dtype") {
      Once(tensors.back().dtype) = value;
    } else {
      Unexpected("a string");
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_list_ || in_metadata_) Unexpected("a list");
    in_list_ = true;
    List().emplace();
    return true;
  }
  bool end_array() override {
    in_list_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_list_ || value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      Unexpected("a number");
    std::vector<int64_t>& list = key_ == "shape" ? *tensors.back().shape : *tensors.back().offsets;
    list.push_back(static_cast<int64_t>(value));
    return true;
  }
  bool number_integer(number_integer_t) override { Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { Unexpected("a fraction"); }
  bool boolean(bool) override { Unexpected("a boolean"); }
  bool null() override { Unexpected("null"); }
  bool binary(binary_t&) override { Unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    Fail("{}: the header is not JSON at byte {}: {}", where_, position, JsonReason(error));
  }

 private:
  template <typename T>
  T& Once(std::optional<T>& field) {
    if (field) Fail("{}: tensor {} has {} twice", where_, entry_, key_);
    return field.emplace();
  }
  std::optional<std::vector<int64_t>>& List() {
    auto& field = key_ == "shape" ? tensors.back().shape : tensors.back().offsets;
    if (key_ != "shape" && key_ != "data_offsets") Unexpected("a list");
    if (field) Fail("{}: tensor {} has {} twice", where_, entry_, key_);
    return field;
  }
  void CheckComplete(const Declared& t) {
    if (!t.dtype || !t.shape || !t.offsets) {
      Fail("{}: tensor {} lacks {}", where_, t.name,
           !t.dtype   ? "dtype"
           : !t.shape ? "shape"
                      : "data_offsets");
    }
    if (t.offsets->size() != 2) {
      Fail("{}: tensor {} has {} data_offsets, two are needed", where_, t.name, t.offsets->size());
    }
  }
  [[noreturn]] void Unexpected(std::string_view what) const {
    if (depth_ == 0) Fail("{}: the header is not a JSON object", where_);
    if (in_metadata_) Fail("{}: __metadata__ has {} at {}: it may hold strings only", where_, what, key_);
    Fail("{}: tensor {} has {} out of place at {} (a tensor has dtype, shape and data_offsets)", where_,
         entry_, what, key_);
  }

  const std::string& where_;
  Metadata& metadata_;
  std::set<std::string> names_;
  std::string entry_, key_;
  int depth_ = 0;
  bool in_list_ = false, in_metadata_ = false;
};

bool IsPadding(std::string_view name) {
  return name.starts_with(kPaddingPrefix);
}

template <typename Map>
std::vector<std::string> SortedNames(const Map& map) {
  std::vector<std::string> names;
  names.reserve(map.size());
  for (const auto& [name, value] : map) {
    if (!IsPadding(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path)
    : where_(path.string()), file_(std::make_unique<MappedFile>(path)) {
  Parse(file_->bytes());
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string where)
    : where_(std::move(where)) {
  Parse(bytes);
}

void SafetensorsFile::Parse(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    Fail("{}: {} bytes is too short for a safetensors file (8 bytes of header length)", where_, bytes.size());
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kHeaderLimit) {
    Fail("{}: header length {} exceeds {}: not a safetensors file", where_, length, kHeaderLimit);
  }
  if (length > bytes.size() - sizeof(length)) {
    Fail("{}: header of {} bytes does not fit the file of {}: truncated", where_, length, bytes.size());
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data() + sizeof(length));
  if (length == 0 || text[0] != '{')
    Fail("{}: the header does not start with '{{': not a safetensors file", where_);
  HeaderReader header(where_, metadata_);
  json::sax_parse(text, text + length, &header);

  const std::span<const std::byte> data = bytes.subspan(sizeof(length) + length);
  auto& declared = header.tensors;
  std::sort(declared.begin(), declared.end(), [](const Declared& a, const Declared& b) {
    return std::tie(*a.offsets, a.name) < std::tie(*b.offsets, b.name);
  });
  int64_t reached = 0;
  std::string_view before = "the header";
  for (const Declared& t : declared) {
    const auto type = DTypeFromName(*t.dtype);
    if (!type) Fail("{}: tensor {} has the unknown dtype {}", where_, t.name, *t.dtype);
    const auto size = StoredBytes(*type, *t.shape);
    if (!size) Fail("{}: tensor {} has a shape too large to address", where_, t.name);
    const int64_t begin = (*t.offsets)[0], end = (*t.offsets)[1];
    if (end < begin || static_cast<uint64_t>(end) > data.size()) {
      Fail("{}: tensor {} lies at bytes {} to {}, the file has {} bytes of data: truncated or wrong", where_,
           t.name, begin, end, data.size());
    }
    if (static_cast<size_t>(end - begin) != *size) {
      Fail("{}: tensor {} has {} bytes, its dtype and shape need {}", where_, t.name, end - begin, *size);
    }
    if (begin < reached) Fail("{}: tensor {} overlaps {}", where_, t.name, before);
    if (begin > reached)
      Fail("{}: {} bytes between {} and tensor {} belong to none", where_, begin - reached, before, t.name);
    reached = end;
    before = t.name;
    tensors_[t.name] = {*type, *t.shape, data.subspan(static_cast<size_t>(begin), *size)};
  }
  if (static_cast<size_t>(reached) != data.size()) {
    Fail("{}: {} bytes after the last tensor {} belong to none", where_,
         data.size() - static_cast<size_t>(reached), before);
  }
}

std::vector<std::string> SafetensorsFile::Names() const {
  return SortedNames(tensors_);
}

TensorView SafetensorsFile::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) Fail("{}: no tensor named {}", where_, name);
  return found->second;
}

void SafetensorsFile::Release(const std::string& name) const {
  if (file_) file_->Release(Get(name).bytes);
}

SafetensorsShards::SafetensorsShards(const fs::path& index) : where_(index.string()) {
  const json parsed = ParseJson(ReadFile(index), where_);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) {
    Fail("{}: not a safetensors index (a JSON object with weight_map)", where_);
  }
  std::map<std::string, size_t> opened;
  for (const auto& [name, file] : parsed["weight_map"].items()) {
    if (!file.is_string()) Fail("{}: the file of tensor {} is not a string", where_, name);
    const fs::path file_name = file.get<std::string>();
    if (file_name.empty() || file_name != file_name.filename() || file_name == "." || file_name == "..") {
      Fail("{}: tensor {} is in {}: a file beside the index is needed", where_, name, file_name.string());
    }
    const auto [at, fresh] = opened.try_emplace(file_name.string(), files_.size());
    if (fresh) {
      const fs::path shard = index.parent_path() / file_name;
      if (!fs::exists(shard)) {
        Fail("{}: tensor {} should be in {}, which is missing", where_, name, shard.string());
      }
      files_.push_back(std::make_unique<SafetensorsFile>(shard));
      metadata_.insert(files_.back()->metadata().begin(), files_.back()->metadata().end());
    }
    if (!files_[at->second]->Has(name)) {
      Fail("{}: tensor {} should be in {} and is not", where_, name, files_[at->second]->Where());
    }
    home_[name] = at->second;
  }
}

SafetensorsShards::SafetensorsShards(const std::vector<fs::path>& files) {
  if (files.empty()) Fail("no safetensors file given");
  where_ = files.front().parent_path().string();
  for (const fs::path& path : files) {
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    metadata_.insert(files_.back()->metadata().begin(), files_.back()->metadata().end());
    for (const std::string& name : files_.back()->Names()) {
      const auto [at, fresh] = home_.try_emplace(name, files_.size() - 1);
      if (!fresh) Fail("{}: tensor {} is also in {}", path.string(), name, files_[at->second]->Where());
    }
  }
}

const SafetensorsFile& SafetensorsShards::Home(const std::string& name) const {
  const auto found = home_.find(name);
  if (found == home_.end()) Fail("{}: no tensor named {}", where_, name);
  return *files_[found->second];
}

std::vector<std::string> SafetensorsShards::Names() const {
  return SortedNames(home_);
}
TensorView SafetensorsShards::Get(const std::string& name) const {
  return Home(name).Get(name);
}
void SafetensorsShards::Release(const std::string& name) const {
  Home(name).Release(name);
}

std::unique_ptr<TensorSource> OpenSafetensors(const fs::path& path) {
  if (!fs::is_directory(path)) {
    if (path.extension() == ".json") return std::make_unique<SafetensorsShards>(path);
    return std::make_unique<SafetensorsFile>(path);
  }
  if (const auto index = path / "model.safetensors.index.json"; fs::exists(index)) {
    return std::make_unique<SafetensorsShards>(index);
  }
  if (const auto file = path / "model.safetensors"; fs::exists(file))
    return std::make_unique<SafetensorsFile>(file);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  if (files.empty()) Fail("{}: the folder holds no .safetensors file", path.string());
  std::sort(files.begin(), files.end());
  if (files.size() == 1) return std::make_unique<SafetensorsFile>(files.front());
  return std::make_unique<SafetensorsShards>(files);
}

SafetensorsWriter::SafetensorsWriter(const fs::path& path, std::vector<Tensor> tensors,
                                     const Metadata& metadata, const Options& options)
    : file_(path) {
  const std::string& where = file_.where();
  const size_t alignment = options.alignment;
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    Fail("{}: alignment {} is not a power of two", where, alignment);
  }
  std::vector<std::pair<Tensor, size_t>> sized;
  for (Tensor& t : tensors) {
    const auto size = StoredBytes(t.type, t.shape);
    if (!size) Fail("{}: tensor {} has an impossible shape", where, t.name);
    if (t.name == "__metadata__" || IsPadding(t.name))
      Fail("{}: the tensor name {} is reserved", where, t.name);
    sized.emplace_back(std::move(t), *size);
  }
  std::stable_sort(sized.begin(), sized.end(), [&](const auto& a, const auto& b) {
    if (alignment == 1) return SizeOf(a.first.type) > SizeOf(b.first.type);
    return (a.second % alignment == 0) > (b.second % alignment == 0);
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  int paddings = 0;
  const auto declare = [&](const Tensor& t, size_t size) {
    header[t.name] = {
        {"dtype", NameOf(t.type)}, {"shape", t.shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  };
  for (const auto& [t, size] : sized) {
    if (const size_t gap = (alignment - offset % alignment) % alignment; gap != 0 && size != 0) {
      declare({fmt::format("{}{}", kPaddingPrefix, paddings++), DType::kU8, {static_cast<int64_t>(gap)}},
              gap);
    }
    file_.Declare(t.name, offset, size);
    declare(t, size);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception& error) {
    Fail("{}: a name or metadata value is not UTF-8: {}", where, error.what());
  }
  const size_t header_alignment = std::max(alignment, size_t{8});
  const size_t data_begin =
      (sizeof(uint64_t) + text.size() + header_alignment - 1) / header_alignment * header_alignment;
  text.resize(data_begin - sizeof(uint64_t), ' ');
  if (text.size() > kHeaderLimit) Fail("{}: a header of {} bytes is too long", where, text.size());
  const uint64_t length = text.size();
  std::string head(reinterpret_cast<const char*>(&length), sizeof(length));
  file_.WriteHead(head + text, offset);
}

void WriteSafetensors(const fs::path& path, const TensorSource& source, const Metadata& metadata,
                      const SafetensorsWriter::Options& options) {
  std::vector<SafetensorsWriter::Tensor> tensors;
  const std::vector<std::string> names = source.Names();
  for (const std::string& name : names) {
    TensorView view = source.Get(name);
    const auto* type = std::get_if<DType>(&view.type);
    if (type == nullptr)
      Fail("{}: tensor {} has the blocked type {}, which safetensors does not know", source.Where(), name,
           NameOf(view.type));
    tensors.push_back({name, *type, std::move(view.shape)});
  }
  SafetensorsWriter writer(path, std::move(tensors), metadata, options);
  for (const std::string& name : names) {
    writer.Write(name, source.Get(name).bytes);
    source.Release(name);
  }
  writer.Finish();
}

}  // namespace lowbit
