#include "lowbit/io/imatrix_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/io/byte_cursor.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/read_tensor.h"

namespace lowbit {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::string_view kType = "imatrix";

// An entry as far as it can be judged without the model.
void CheckEntry(const std::string& where, const std::string& name, const ImatrixEntry& entry) {
  if (!std::isfinite(entry.tokens) || entry.tokens < 0) {
    Fail("{}: entry {} was made from {} tokens: a count is needed", where, name, entry.tokens);
  }
  for (size_t c = 0; c < entry.sum.size(); ++c) {
    if (!std::isfinite(entry.sum[c]) || entry.sum[c] < 0) {
      Fail("{}: entry {}, column {}: a sum of squares cannot be {}", where, name, c, entry.sum[c]);
    }
  }
}

[[noreturn]] void FailExperts(const std::string& where, const std::string& name, const std::string& why) {
  Fail("{}: entry {} {}: it belongs to a mixture of experts, which lowbit does not know", where, name, why);
}

void RefuseExpertName(const std::string& where, const std::string& name) {
  if (name.find("_exps.") != std::string::npos) FailExperts(where, name, "is named after stacked experts");
}

std::vector<float> FloatsOf(const GgufFile& file, const std::string& name) {
  const TensorView view = file.Get(name);
  if (view.type != StoredType(DType::kF32)) Fail("{}: tensor {} must be F32", file.Where(), name);
  return ReadFloats(file, name);
}

Imatrix FromGguf(const GgufFile& file) {
  const std::string& where = file.Where();
  const std::string type = file.FindString("general.type").value_or("absent");
  if (type != kType) {
    Fail("{}: not an importance matrix: general.type is {}, \"{}\" is needed", where, type, kType);
  }
  Imatrix imatrix;
  imatrix.datasets = file.FindStrings("imatrix.datasets").value_or(std::vector<std::string>());
  imatrix.chunk_size = file.FindInteger("imatrix.chunk_size").value_or(Imatrix::kDefaultChunk);
  if (imatrix.chunk_size < 1 || imatrix.chunk_size > std::numeric_limits<int32_t>::max())
    Fail("{}: imatrix.chunk_size is {}, it must be positive", where, imatrix.chunk_size);
  for (const std::string& tensor : file.Names()) {
    if (tensor.ends_with(kCounts)) {
      const std::string name = tensor.substr(0, tensor.size() - kCounts.size());
      if (!file.Has(name + std::string(kSums))) Fail("{}: entry {} has counts without sums", where, name);
    }
    if (!tensor.ends_with(kSums)) continue;
    const std::string name = tensor.substr(0, tensor.size() - kSums.size());
    RefuseExpertName(where, name);
    if (!file.Has(name + std::string(kCounts))) Fail("{}: entry {} has sums without counts", where, name);
    const std::vector<float> counts = FloatsOf(file, name + std::string(kCounts));
    const std::vector<float> sums = FloatsOf(file, tensor);
    if (counts.size() != 1) FailExperts(where, name, fmt::format("holds {} matrices", counts.size()));
    if (sums.empty()) Fail("{}: entry {} has no columns", where, name);
    const auto [entry, fresh] =
        imatrix.entries.try_emplace(name, ImatrixEntry{{sums.begin(), sums.end()}, counts[0]});
    CheckEntry(where, name, entry->second);
  }
  if (imatrix.entries.empty()) Fail("{}: the importance matrix has no entries", where);
  return imatrix;
}

Imatrix FromLegacy(std::span<const std::byte> bytes, const std::string& where) {
  constexpr size_t kLeastEntry = 4 * sizeof(int32_t);  // no name, one column
  constexpr int32_t kLongestName = 1024;
  ByteCursor cursor(bytes, where);
  const int64_t count = bytes.size() < sizeof(int32_t) ? 0 : cursor.Read<int32_t>("the number of entries");
  if (count < 1 || static_cast<size_t>(count) > bytes.size() / kLeastEntry) {
    Fail("{}: not an importance matrix: neither GGUF nor the legacy form of llama.cpp", where);
  }
  Imatrix imatrix;
  for (int64_t i = 0; i < count; ++i) {
    const std::string which = fmt::format("entry {} of {}", i + 1, count);
    const auto length = cursor.Read<int32_t>(which);
    if (length < 1 || length > kLongestName) {
      Fail("{}: {} has a name of {} bytes: damaged, or not an importance matrix", where, which, length);
    }
    const std::string name = cursor.ReadText(static_cast<uint64_t>(length), "the name of " + which);
    const auto calls = cursor.Read<int32_t>(name), columns = cursor.Read<int32_t>(name);
    if (columns < 1 || calls < 0)
      Fail("{}: entry {} has {} columns and {} calls: damaged", where, name, columns, calls);
    RefuseExpertName(where, name);
    const auto values = cursor.Take(static_cast<uint64_t>(columns) * sizeof(float), "entry " + name);
    ImatrixEntry entry;
    // Where no call was counted the values are the means themselves.
    entry.tokens = static_cast<double>(std::max(calls, 1)) * Imatrix::kDefaultChunk;
    for (int32_t c = 0; c < columns; ++c) {
      float value;
      std::memcpy(&value, values.data() + static_cast<size_t>(c) * sizeof(float), sizeof(float));
      entry.sum.push_back(static_cast<double>(value) * Imatrix::kDefaultChunk);
    }
    CheckEntry(where, name, entry);
    if (!imatrix.entries.emplace(name, std::move(entry)).second)
      Fail("{}: entry {} comes twice", where, name);
  }
  if (cursor.left() > 0) cursor.Read<int32_t>("the number of calls");
  if (cursor.left() > 0) {
    const auto length = cursor.Read<int32_t>("the name of the text");
    if (length < 0) Fail("{}: the name of the text has {} bytes: damaged", where, length);
    const std::string dataset = cursor.ReadText(static_cast<uint64_t>(length), "the name of the text");
    if (!dataset.empty()) imatrix.datasets.push_back(dataset);
  }
  if (cursor.left() > 0) Fail("{}: {} bytes follow the last entry: damaged", where, cursor.left());
  return imatrix;
}

bool IsGguf(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
}

void WriteGgufForm(const std::filesystem::path& path, const Imatrix& imatrix) {
  std::vector<GgufWriter::Tensor> tensors;
  for (const auto& [name, entry] : imatrix.entries) {
    tensors.push_back({name + std::string(kSums), DType::kF32, {1, static_cast<int64_t>(entry.sum.size())}});
    tensors.push_back({name + std::string(kCounts), DType::kF32, {1, 1}});
  }
  GgufWriter writer(path,
                    {{"general.type", std::string(kType)},
                     {"imatrix.datasets", imatrix.datasets},
                     {"imatrix.chunk_count", static_cast<uint32_t>(imatrix.chunks())},
                     {"imatrix.chunk_size", static_cast<uint32_t>(imatrix.chunk_size)}},
                    tensors);
  for (const auto& [name, entry] : imatrix.entries) {
    const std::vector<float> sums(entry.sum.begin(), entry.sum.end());
    const auto count = static_cast<float>(entry.tokens);
    writer.Write(name + std::string(kSums), std::as_bytes(std::span(sums)));
    writer.Write(name + std::string(kCounts), std::as_bytes(std::span(&count, 1)));
  }
  writer.Finish();
}

void WriteLegacyForm(const std::filesystem::path& path, const Imatrix& imatrix) {
  AtomicFile file(path);
  const auto put = [&](size_t number) {
    const auto value = static_cast<int32_t>(number);
    file.Write(std::as_bytes(std::span(&value, 1)));
  };
  const auto seen = [](const auto& item) { return item.second.tokens > 0; };
  put(static_cast<size_t>(std::count_if(imatrix.entries.begin(), imatrix.entries.end(), seen)));
  for (const auto& item : imatrix.entries) {
    if (!seen(item)) continue;
    const auto& [name, entry] = item;
    const double calls = std::ceil(entry.tokens / static_cast<double>(imatrix.chunk_size));
    put(name.size());
    file.Write(name);
    put(static_cast<size_t>(calls));
    put(entry.sum.size());
    std::vector<float> values;
    for (const double sum : entry.sum) values.push_back(static_cast<float>(sum * (calls / entry.tokens)));
    file.Write(std::as_bytes(std::span(values)));
  }
  put(static_cast<size_t>(imatrix.chunks()));
  const std::string dataset = imatrix.datasets.empty() ? "" : imatrix.datasets.back();
  put(dataset.size());
  file.Write(dataset);
  file.Commit();
}

}  // namespace

std::vector<float> ImatrixEntry::Mean() const {
  if (!(tokens > 0)) Fail("the importance matrix saw no token of it");
  std::vector<float> mean;
  for (const double s : sum) mean.push_back(static_cast<float>(s / tokens));
  return mean;
}

int64_t Imatrix::chunks() const {
  double most = 0;
  for (const auto& [name, entry] : entries) most = std::max(most, entry.tokens);
  // A count from a file may be any float.
  return static_cast<int64_t>(std::min(most / static_cast<double>(chunk_size), 2147483647.0));
}

void Imatrix::Add(const Imatrix& other, const std::string& where) {
  for (const auto& [name, entry] : other.entries) {
    const auto [found, fresh] = entries.try_emplace(name, entry);
    if (fresh) continue;
    ImatrixEntry& mine = found->second;
    if (mine.sum.size() != entry.sum.size()) {
      Fail("{}: entry {} has {} columns, {} before: these are importance matrices of different models", where,
           name, entry.sum.size(), mine.sum.size());
    }
    for (size_t c = 0; c < mine.sum.size(); ++c) mine.sum[c] += entry.sum[c];
    mine.tokens += entry.tokens;
  }
  datasets.insert(datasets.end(), other.datasets.begin(), other.datasets.end());
}

Imatrix ReadImatrix(const std::filesystem::path& path) {
  const MappedFile file(path);
  return ParseImatrix(file.bytes(), path.string());
}

Imatrix ParseImatrix(std::span<const std::byte> bytes, const std::string& where) {
  if (IsGguf(bytes)) return FromGguf(GgufFile(bytes, where));
  return FromLegacy(bytes, where);
}

void WriteImatrix(const std::filesystem::path& path, const Imatrix& imatrix, ImatrixForm form) {
  if (form == ImatrixForm::kGguf) return WriteGgufForm(path, imatrix);
  WriteLegacyForm(path, imatrix);
}

}  // namespace lowbit
