// The pipeline that sentencepiece models, "llama" GGUF files and llama2.c share: spaces are U+2581, one is
// put before the text, the whole text is one word, and pieces have scores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/text/tokenizer.h"

namespace lowbit {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581

enum class PieceKind : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct MetaspaceModel {
  enum class Algorithm : uint8_t { kBpe, kUnigram } algorithm = Algorithm::kBpe;
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<PieceKind> kinds;
  int32_t unknown = -1, bos = -1;
  std::vector<int32_t> eos;
  bool add_bos = false, add_eos = false;
  bool add_prefix_space = true;  // sentencepiece: add_dummy_prefix
  bool collapse_spaces = false;  // sentencepiece: remove_extra_whitespaces
  // sentencepiece: user-defined pieces are looked for once the text has its leading space and its spaces are
  // U+2581. Otherwise (GGUF, llama2.c) they cut the text first, and each part is normalized alone.
  bool user_defined_as_pieces = false;
  std::string charsmap;  // sentencepiece: precompiled_charsmap, empty for none
};

// Control and user-defined pieces become added tokens. Throws Error when the lists differ in length.
Tokenizer MakeMetaspaceTokenizer(MetaspaceModel model);

}  // namespace lowbit
