#include "lowbit/text/decoder.h"

#include "lowbit/text/utf8.h"
#include "lowbit/text/vocabulary.h"

namespace lowbit {
namespace {

std::string ReplaceAll(std::string_view text, const TextPattern& pattern, std::string_view content) {
  std::string out;
  size_t last = 0;
  ForEachMatch(pattern, text, [&](size_t begin, size_t end) {
    out.append(text.substr(last, begin - last));
    out.append(content);
    last = end;
  });
  out.append(text.substr(last));
  return out;
}

std::string Join(const std::vector<std::string>& pieces) {
  size_t size = 0;
  for (const std::string& piece : pieces) size += piece.size();
  std::string out;
  out.reserve(size);
  for (const std::string& piece : pieces) out += piece;
  return out;
}

struct Apply {
  std::vector<std::string>& pieces;

  void operator()(const ByteLevelDecoder&) const {
    for (std::string& piece : pieces) piece = UnmapBytes(piece);
    pieces = {RepairUtf8(Join(pieces))};
  }
  void operator()(const MetaspaceDecoder& step) const {
    for (size_t i = 0; i < pieces.size(); ++i) {
      const bool drop = i == 0 && step.prepend != MetaspacePreTokenizer::Prepend::kNever;
      pieces[i] = ReplaceAll(pieces[i], step.replacement, drop ? "" : " ");
    }
  }
  void operator()(const ByteFallbackDecoder&) const {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (FirstInvalidUtf8(bytes) == std::string_view::npos) {
        out.push_back(bytes);
      } else {
        for (size_t i = 0; i < bytes.size(); ++i) out.emplace_back("\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      const int byte = PieceByte(piece);
      if (byte >= 0) {
        bytes.push_back(static_cast<char>(byte));
      } else {
        flush();
        out.push_back(std::move(piece));
      }
    }
    flush();
    pieces = std::move(out);
  }
  void operator()(const FuseDecoder&) const { pieces = {Join(pieces)}; }
  void operator()(const ReplaceDecoder& step) const {
    for (std::string& piece : pieces) piece = ReplaceAll(piece, step.pattern, step.content);
  }
  void operator()(const StripDecoder& step) const {
    if (step.content.empty()) return;
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (size_t i = 0; i < step.start && rest.starts_with(step.content); ++i)
        rest.remove_prefix(step.content.size());
      for (size_t i = 0; i < step.stop && rest.ends_with(step.content); ++i)
        rest.remove_suffix(step.content.size());
      piece = std::string(rest);
    }
  }
  void operator()(const SuffixDecoder& step) const {
    for (size_t i = 0; i < pieces.size(); ++i) {
      pieces[i] = ReplaceAll(pieces[i], step.suffix, i + 1 == pieces.size() ? "" : " ");
    }
  }
};

struct ApplyToOne {
  std::string piece;
  std::string operator()(const ByteLevelDecoder&) const { return UnmapBytes(piece); }
  std::string operator()(const MetaspaceDecoder& step) const {
    return ReplaceAll(piece, step.replacement, " ");
  }
  std::string operator()(const ByteFallbackDecoder&) const {
    const int byte = PieceByte(piece);
    return byte >= 0 ? std::string(1, static_cast<char>(byte)) : piece;
  }
  std::string operator()(const FuseDecoder&) const { return piece; }
  std::string operator()(const ReplaceDecoder& step) const {
    // A byte on its own is not UTF-8, which a pattern needs.
    if (FirstInvalidUtf8(piece) != std::string_view::npos) return piece;
    return ReplaceAll(piece, step.pattern, step.content);
  }
  std::string operator()(const StripDecoder&) const { return piece; }
  std::string operator()(const SuffixDecoder& step) const { return ReplaceAll(piece, step.suffix, " "); }
};

}  // namespace

std::string ApplyDecoder(const Decoder& decoder, std::vector<std::string> pieces) {
  for (const DecoderStep& step : decoder) std::visit(Apply{pieces}, step);
  return Join(pieces);
}

std::string DecodePiece(const Decoder& decoder, std::string_view piece) {
  std::string out(piece);
  for (const DecoderStep& step : decoder) out = std::visit(ApplyToOne{out}, step);
  return out;
}

}  // namespace lowbit
