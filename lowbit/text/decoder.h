// Decoders of tokenizer.json: how the pieces of tokens become text again.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lowbit/text/pre_tokenizer.h"

namespace lowbit {

struct ByteLevelDecoder {};  // undoes MapBytes over all pieces together, ill-formed UTF-8 becomes U+FFFD
struct MetaspaceDecoder {    // `replacement` is a space; dropped from the first piece if one was prepended
  std::string replacement = "\xE2\x96\x81";
  MetaspacePreTokenizer::Prepend prepend = MetaspacePreTokenizer::Prepend::kAlways;
};
struct ByteFallbackDecoder {};  // runs of <0xNN> are bytes of UTF-8; of an ill-formed run each byte is U+FFFD
struct FuseDecoder {};          // joins all pieces into one
struct ReplaceDecoder {
  TextPattern pattern;
  std::string content;
};
struct StripDecoder {  // up to `start` times `content` from the front of each piece, up to `stop` from its
                       // back
  std::string content = " ";
  size_t start = 0, stop = 0;
};
struct SuffixDecoder {  // BPE with an end-of-word suffix: a space for it, nothing at the end of the text
  std::string suffix = "</w>";
};

using DecoderStep = std::variant<ByteLevelDecoder, MetaspaceDecoder, ByteFallbackDecoder, FuseDecoder,
                                 ReplaceDecoder, StripDecoder, SuffixDecoder>;
using Decoder = std::vector<DecoderStep>;  // applied in order, then everything is joined

std::string ApplyDecoder(const Decoder& decoder, std::vector<std::string> pieces);

// The bytes that one piece stands for in the middle of a text: byte pieces as their byte, spaces restored,
// nothing stripped. Well-formed UTF-8 only when joined with its neighbours.
std::string DecodePiece(const Decoder& decoder, std::string_view piece);

}  // namespace lowbit
