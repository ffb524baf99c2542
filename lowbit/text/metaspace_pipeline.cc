#include "lowbit/text/metaspace_pipeline.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/text/tokenizer_pipeline.h"

namespace lowbit {
namespace {

// A piece spelled as text has spaces again: user-defined pieces are looked for before spaces are replaced.
std::string WithSpaces(std::string_view piece) {
  std::string out(piece);
  for (size_t at = out.find(kMetaspace); at != std::string::npos; at = out.find(kMetaspace, at)) {
    out.replace(at, kMetaspace.size(), " ");
  }
  return out;
}

}  // namespace

Tokenizer MakeMetaspaceTokenizer(MetaspaceModel model) {
  const size_t size = model.pieces.size();
  if (model.scores.size() != size || model.kinds.size() != size) {
    Fail("tokenizer: {} pieces, {} scores and {} kinds; the counts should be equal", size,
         model.scores.size(), model.kinds.size());
  }
  std::vector<bool> matchable(size);
  bool bytes = false;
  std::vector<AddedToken> added;
  for (size_t i = 0; i < size; ++i) {
    const PieceKind kind = model.kinds[i];
    matchable[i] = kind == PieceKind::kNormal || kind == PieceKind::kUserDefined;
    bytes = bytes || kind == PieceKind::kByte;
    if (model.pieces[i].empty()) continue;
    if (kind == PieceKind::kControl || kind == PieceKind::kUnknown || kind == PieceKind::kUserDefined) {
      AddedToken token;
      token.id = static_cast<int32_t>(i);
      const bool escaped = kind == PieceKind::kUserDefined && model.escaped_user_defined;
      token.content = escaped ? WithSpaces(model.pieces[i]) : model.pieces[i];
      token.special = kind != PieceKind::kUserDefined;
      added.push_back(std::move(token));
    }
  }
  const auto token_model = [&]() -> TokenModel {
    if (model.algorithm == MetaspaceModel::Algorithm::kUnigram) {
      return Unigram(Vocabulary(std::move(model.pieces)),
                     std::vector<double>(model.scores.begin(), model.scores.end()), std::move(matchable),
                     {.unknown = model.unknown, .byte_fallback = bytes});
    }
    BpeOptions options;
    options.unknown = model.unknown;
    options.fuse_unknown = true;
    options.byte_fallback = bytes;
    return Bpe(Vocabulary(std::move(model.pieces)), std::move(model.scores), std::move(matchable),
               std::move(options));
  };
  auto pipe = std::make_shared<TokenizerPipeline>(token_model());
  pipe->added = std::move(added);
  if (!model.charsmap.empty()) {
    CheckCharsmap(model.charsmap);
    pipe->normalizer.push_back(PrecompiledNormalizer{std::move(model.charsmap)});
  }
  if (model.collapse_spaces) pipe->normalizer.push_back(CollapseSpacesNormalizer{});
  if (model.add_prefix_space) pipe->normalizer.push_back(PrependNormalizer{std::string(kMetaspace)});
  pipe->normalizer.push_back(ReplaceNormalizer{std::string(" "), std::string(kMetaspace)});
  pipe->decoder = {ReplaceDecoder{std::string(kMetaspace), " "}, ByteFallbackDecoder{}, FuseDecoder{}};
  if (model.add_prefix_space) pipe->decoder.push_back(StripDecoder{" ", 1, 0});
  pipe->unknown = model.unknown;
  pipe->bos = model.bos;
  pipe->eos = std::move(model.eos);
  if (model.add_bos && pipe->bos >= 0) pipe->prefix = {pipe->bos};
  if (model.add_eos && !pipe->eos.empty()) pipe->suffix = {pipe->eos[0]};
  pipe->Finish();
  return Tokenizer(std::move(pipe));
}

}  // namespace lowbit
