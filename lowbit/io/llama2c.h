// llama2.c checkpoints (f32): a header of seven int32, then every weight of all layers together.
//   legacy     int32 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: lm_head follows),
//              seq_len; embedding, attention norms, wq, wk, wv, wo, feed-forward norms, w1, w2, w3, final
//              norm, two tables of rotary angles [seq_len, head_size / 2] (unused), lm_head
//   version 1  "ak42" as u32, version, the seven numbers, u8 tied, zeros to byte 256; attention norms,
//   feed-forward
//              norms, final norm, embedding, wq, wk, wv, wo, w1, w2, w3, lm_head
// Version 2 (int8 groups) is named and refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "lowbit/io/file.h"
#include "lowbit/io/tensor_source.h"

namespace lowbit {

struct Llama2cHeader {
  int version;  // 0: legacy
  int64_t dim, hidden_dim, layers, heads, kv_heads, vocab, seq_len;
  bool tied;  // the embedding is also the head
  int64_t head_size() const { return dim / heads; }
};

// The tensors under their Hugging Face names: model.embed_tokens.weight,
// model.layers.<n>.self_attn.q_proj.weight,
// ..., model.norm.weight, and lm_head.weight unless tied. Query and key rows come in half order as in Hugging
// Face files (rotary_rows.h): they are copied on first use and stay in memory as long as the source; all else
// is a view of the file. Error when a number is out of range or the file's length is not what the header
// promises.
class Llama2cFile : public TensorSource {
 public:
  explicit Llama2cFile(const std::filesystem::path& path);
  // Bytes in memory, which must outlive this object.
  Llama2cFile(std::span<const std::byte> bytes, std::string where);

  const Llama2cHeader& header() const { return header_; }

  std::vector<std::string> Names() const override;
  bool Has(const std::string& name) const override { return tensors_.contains(name); }
  TensorView Get(const std::string& name) const override;
  std::string Where() const override { return where_; }
  void Release(const std::string& name) const override;

 private:
  struct Held {
    TensorView view;
    int64_t heads;  // of a query or key matrix, otherwise 0
  };

  void Parse(std::span<const std::byte> bytes);

  std::string where_;
  std::unique_ptr<MappedFile> file_;
  Llama2cHeader header_{};
  std::map<std::string, Held> tensors_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<std::byte>> reordered_;
};

}  // namespace lowbit
