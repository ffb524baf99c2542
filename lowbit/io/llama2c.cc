#include "lowbit/io/llama2c.h"

#include <array>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/rotary_rows.h"

namespace lowbit {
namespace {

constexpr uint32_t kMagic = 0x616b3432;  // "ak42", most significant letter first
constexpr size_t kVersion1Header = 256;

}  // namespace

Llama2cFile::Llama2cFile(const std::filesystem::path& path)
    : where_(path.string()), file_(std::make_unique<MappedFile>(path)) {
  Parse(file_->bytes());
}

Llama2cFile::Llama2cFile(std::span<const std::byte> bytes, std::string where) : where_(std::move(where)) {
  Parse(bytes);
}

void Llama2cFile::Parse(std::span<const std::byte> bytes) {
  size_t at = 0;
  const auto take = [&](size_t size, std::string_view what) {
    if (size > bytes.size() - at) {
      Fail("{}: {} needs {} bytes at byte {}, the file has {}: truncated or not a llama2.c checkpoint",
           where_, what, size, at, bytes.size());
    }
    const auto taken = bytes.subspan(at, size);
    at += size;
    return taken;
  };
  const auto read = [&](auto& value) {
    std::memcpy(&value, take(sizeof(value), "the header").data(), sizeof(value));
  };

  uint32_t magic = 0;
  read(magic);
  Llama2cHeader& h = header_;
  if (magic == kMagic) {
    int32_t version = 0;
    read(version);
    if (version != 1) {
      Fail("{}: llama2.c version {}{}; legacy files and version 1 are read", where_, version,
           version == 2 ? " (int8 groups)" : "");
    }
    h.version = version;
  } else {
    at = 0;
  }
  std::array<int32_t, 7> numbers{};
  read(numbers);
  uint8_t tied = numbers[5] > 0 ? 1 : 0;
  if (h.version == 1) {
    read(tied);
    if (tied > 1) Fail("{}: the flag of a tied head is {}", where_, tied);
    at = 0;
    take(kVersion1Header, "the header");
  }
  constexpr std::array<std::string_view, 7> kNames = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                                      "n_kv_heads", "vocab_size", "seq_len"};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const bool sign_is_flag = i == 5 && h.version == 0;
    const int64_t value = sign_is_flag ? std::abs(static_cast<int64_t>(numbers[i])) : numbers[i];
    if (value < 1) Fail("{}: {} is {}: not a llama2.c checkpoint", where_, kNames[i], numbers[i]);
  }
  h.dim = numbers[0];
  h.hidden_dim = numbers[1];
  h.layers = numbers[2];
  h.heads = numbers[3];
  h.kv_heads = numbers[4];
  h.vocab = std::abs(static_cast<int64_t>(numbers[5]));
  h.seq_len = numbers[6];
  h.tied = tied != 0;
  if (h.dim % h.heads != 0 || h.head_size() % 2 != 0 || h.heads % h.kv_heads != 0) {
    Fail("{}: width {} with {} heads and {} key/value heads does not divide: not a llama2.c checkpoint",
         where_, h.dim, h.heads, h.kv_heads);
  }

  // One tensor for all layers, or one without a layer number; sizes are checked before any name is made.
  const auto place = [&](const std::string& name, std::vector<int64_t> shape, int64_t heads) {
    const auto size = StoredBytes(DType::kF32, shape);
    if (!size) Fail("{}: {} has an impossible shape ({})", where_, name, fmt::join(shape, " x "));
    tensors_[name] = {{DType::kF32, std::move(shape), take(*size, name)}, heads};
  };
  const auto place_layers = [&](const std::string& name, std::vector<int64_t> shape, int64_t heads = 0) {
    std::vector<int64_t> all = shape;
    all.insert(all.begin(), h.layers);
    const auto size = StoredBytes(DType::kF32, all);
    if (!size) Fail("{}: {} has an impossible shape ({})", where_, name, fmt::join(all, " x "));
    const auto layers = take(*size, name);
    const size_t each = *size / static_cast<size_t>(h.layers);
    for (int64_t n = 0; n < h.layers; ++n) {
      tensors_[fmt::format("model.layers.{}.{}.weight", n, name)] = {
          {DType::kF32, shape, layers.subspan(static_cast<size_t>(n) * each, each)}, heads};
    }
  };
  const int64_t kv_dim = h.kv_heads * h.head_size();
  const auto place_embedding = [&] { place("model.embed_tokens.weight", {h.vocab, h.dim}, 0); };
  const auto place_attention_norms = [&] { place_layers("input_layernorm", {h.dim}); };
  const auto place_attention = [&] {
    place_layers("self_attn.q_proj", {h.dim, h.dim}, h.heads);
    place_layers("self_attn.k_proj", {kv_dim, h.dim}, h.kv_heads);
    place_layers("self_attn.v_proj", {kv_dim, h.dim});
    place_layers("self_attn.o_proj", {h.dim, h.dim});
  };
  const auto place_feed_forward_norms = [&] { place_layers("post_attention_layernorm", {h.dim}); };
  const auto place_feed_forward = [&] {
    place_layers("mlp.gate_proj", {h.hidden_dim, h.dim});
    place_layers("mlp.down_proj", {h.dim, h.hidden_dim});
    place_layers("mlp.up_proj", {h.hidden_dim, h.dim});
  };
  const auto place_norm = [&] { place("model.norm.weight", {h.dim}, 0); };
  if (h.version == 0) {
    place_embedding();
    place_attention_norms();
    place_attention();
    place_feed_forward_norms();
    place_feed_forward();
    place_norm();
    const auto tables = StoredBytes(DType::kF32, std::array<int64_t, 2>{h.seq_len, h.head_size()});
    if (!tables) Fail("{}: {} positions are impossible", where_, h.seq_len);
    take(*tables, "the rotary tables");
  } else {
    place_attention_norms();
    place_feed_forward_norms();
    place_norm();
    place_embedding();
    place_attention();
    place_feed_forward();
  }
  if (!h.tied) place("lm_head.weight", {h.vocab, h.dim}, 0);
  if (at != bytes.size()) {
    Fail("{}: the header promises {} bytes, the file has {}: not a llama2.c checkpoint", where_, at,
         bytes.size());
  }
}

std::vector<std::string> Llama2cFile::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, held] : tensors_) names.push_back(name);
  return names;
}

TensorView Llama2cFile::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) Fail("{}: no tensor named {}", where_, name);
  TensorView view = found->second.view;
  if (found->second.heads > 0) {
    const std::lock_guard lock(mutex_);
    std::vector<std::byte>& copy = reordered_[name];
    if (copy.empty()) copy = NeighboursToHalves(view.bytes, found->second.heads, header_.head_size());
    view.bytes = copy;
  }
  return view;
}

void Llama2cFile::Release(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end() && file_) file_->Release(found->second.view.bytes);
}

}  // namespace lowbit
