// tokenizer.bin of llama2.c: i32 longest piece in bytes, then for each token f32 score, i32 length, the
// bytes.
//
// The program that reads it merges by score, adds a leading space, falls back to bytes at id + 3, and knows
// token 1 as the beginning and token 2 as the end of a text.
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/text/metaspace_pipeline.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/utf8.h"
#include "lowbit/text/vocabulary.h"

namespace lowbit {

Tokenizer Tokenizer::FromLlama2c(std::string_view tokenizer_bin) {
  size_t at = 0;
  const auto read = [&](void* value) {
    if (tokenizer_bin.size() - at < 4) Fail("tokenizer.bin: the file is cut at byte {}", at);
    std::memcpy(value, tokenizer_bin.data() + at, 4);
    at += 4;
  };
  int32_t longest = 0;
  read(&longest);
  MetaspaceModel model;
  while (at < tokenizer_bin.size()) {
    float score = 0;
    int32_t length = 0;
    read(&score);
    read(&length);
    if (length < 0 || length > longest || static_cast<size_t>(length) > tokenizer_bin.size() - at) {
      Fail("tokenizer.bin: token {} has a length of {} bytes; the longest is {} and {} are left",
           model.pieces.size(), length, longest, tokenizer_bin.size() - at);
    }
    const std::string_view bytes = tokenizer_bin.substr(at, static_cast<size_t>(length));
    at += static_cast<size_t>(length);
    const int byte = PieceByte(bytes);
    std::string piece;
    for (const char c : bytes) {
      if (c == ' ') {
        piece += kMetaspace;
      } else {
        piece += c;
      }
    }
    model.pieces.push_back(RepairUtf8(piece));
    model.scores.push_back(score);
    model.kinds.push_back(byte >= 0 ? PieceKind::kByte : PieceKind::kNormal);
  }
  if (model.pieces.size() < 3)
    Fail("tokenizer.bin: {} tokens; at least <unk>, <s> and </s> are needed", model.pieces.size());
  // The writer of these files surrounds <s> and </s> by newlines.
  for (size_t id = 0; id < 3; ++id) {
    std::string& piece = model.pieces[id];
    while (piece.starts_with('\n')) piece.erase(0, 1);
    while (piece.ends_with('\n')) piece.pop_back();
    model.kinds[id] = id == 0 ? PieceKind::kUnknown : PieceKind::kControl;
  }
  model.unknown = 0;
  model.bos = 1;
  model.eos = {2};
  model.add_bos = true;
  model.add_prefix_space = true;
  return MakeMetaspaceTokenizer(std::move(model));
}

}  // namespace lowbit
