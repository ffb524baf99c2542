#include "lowbit/text/metaspace_pipeline.h"

#include <algorithm>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/text/tokenizer_pipeline.h"

namespace lowbit {
namespace {

// sentencepiece's Unigram puts user-defined pieces beside the others, with a score of their own:
// characters times the best score of a learnt piece, less 0.1.
void ScoreUserDefined(MetaspaceModel& model) {
  float best = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    if (model.kinds[i] == PieceKind::kNormal) best = std::max(best, model.scores[i]);
  }
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    if (model.kinds[i] != PieceKind::kUserDefined) continue;
    const std::string& piece = model.pieces[i];
    const auto begins = [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; };
    model.scores[i] = static_cast<float>(std::count_if(piece.begin(), piece.end(), begins)) * best - 0.1f;
    model.kinds[i] = PieceKind::kNormal;
  }
}

}  // namespace

Tokenizer MakeMetaspaceTokenizer(MetaspaceModel model) {
  const size_t size = model.pieces.size();
  if (model.scores.size() != size || model.kinds.size() != size) {
    Fail("tokenizer: {} pieces, {} scores and {} kinds; the counts should be equal", size,
         model.scores.size(), model.kinds.size());
  }
  PrecompiledNormalizer charsmap{std::move(model.charsmap), {}};
  for (size_t i = 0; i < size && model.user_defined_as_pieces; ++i) {
    if (model.kinds[i] == PieceKind::kUserDefined) charsmap.keep.push_back(model.pieces[i]);
  }
  if (model.user_defined_as_pieces && model.algorithm == MetaspaceModel::Algorithm::kUnigram)
    ScoreUserDefined(model);
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
      token.content = model.pieces[i];
      token.special = kind != PieceKind::kUserDefined;
      token.as_piece = kind == PieceKind::kUserDefined && model.user_defined_as_pieces;
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
  if (!charsmap.charsmap.empty()) {
    CheckCharsmap(charsmap.charsmap);
    pipe->normalizer.push_back(std::move(charsmap));
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
