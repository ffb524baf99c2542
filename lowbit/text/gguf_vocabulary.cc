#include "lowbit/text/gguf_vocabulary.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/text/metaspace_pipeline.h"
#include "lowbit/text/pre_tokenizer_names.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/tokenizer_pipeline.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

using Type = GgufVocabulary::TokenType;

void Check(const GgufVocabulary& vocabulary) {
  const size_t size = vocabulary.tokens.size();
  if (size == 0) Fail("tokenizer.ggml.tokens: the list is missing or empty");
  if (size > static_cast<size_t>(Vocabulary::kMaxId)) Fail("tokenizer.ggml.tokens: {} tokens", size);
  if (!vocabulary.types.empty() && vocabulary.types.size() < size) {
    Fail("tokenizer.ggml.token_type: {} types for {} tokens", vocabulary.types.size(), size);
  }
  const auto id = [&](int32_t value, const char* key) {
    if (value >= static_cast<int32_t>(size))
      Fail("tokenizer.ggml.{}: {} but there are {} tokens", key, value, size);
  };
  id(vocabulary.bos, "bos_token_id");
  id(vocabulary.eos, "eos_token_id");
  id(vocabulary.eot, "eot_token_id");
  id(vocabulary.eom, "eom_token_id");
  id(vocabulary.unknown, "unknown_token_id");
  for (size_t i = 0; i < size; ++i) {
    if (FirstInvalidUtf8(vocabulary.tokens[i]) != std::string_view::npos) {
      Fail("tokenizer.ggml.tokens: token {} is not UTF-8", i);
    }
  }
}

int32_t TypeOf(const GgufVocabulary& vocabulary, size_t id) {
  return vocabulary.types.empty() ? Type::kNormal : vocabulary.types[id];
}

// A chat model ends its turns with another token than its texts; GGUF has keys for two of them, names tell
// the rest.
std::vector<int32_t> EndTokens(const GgufVocabulary& vocabulary) {
  std::vector<int32_t> out;
  const auto add = [&](int32_t id) {
    if (id >= 0 && std::ranges::find(out, id) == out.end()) out.push_back(id);
  };
  add(vocabulary.eos);
  add(vocabulary.eot);
  add(vocabulary.eom);
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (TypeOf(vocabulary, id) != Type::kControl) continue;
    for (const char* name : {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
                             "<|endoftext|>", "<|end_of_text|>"}) {
      if (vocabulary.tokens[id] == name) add(static_cast<int32_t>(id));
    }
  }
  return out;
}

Tokenizer FromLlamaModel(const GgufVocabulary& vocabulary) {
  const size_t size = vocabulary.tokens.size();
  if (vocabulary.scores.size() < size) {
    Fail("tokenizer.ggml.scores: {} scores for {} tokens", vocabulary.scores.size(), size);
  }
  MetaspaceModel model;
  model.pieces = vocabulary.tokens;
  model.scores.assign(vocabulary.scores.begin(), vocabulary.scores.begin() + static_cast<ptrdiff_t>(size));
  for (size_t id = 0; id < size; ++id) {
    switch (TypeOf(vocabulary, id)) {
      case Type::kUnknown:
        model.kinds.push_back(PieceKind::kUnknown);
        break;
      case Type::kControl:
        model.kinds.push_back(PieceKind::kControl);
        break;
      case Type::kUserDefined:
        model.kinds.push_back(PieceKind::kUserDefined);
        break;
      case Type::kUnused:
        model.kinds.push_back(PieceKind::kUnused);
        break;
      default:
        model.kinds.push_back(PieceByte(vocabulary.tokens[id]) >= 0 ? PieceKind::kByte : PieceKind::kNormal);
    }
  }
  const auto fallback = [&](int32_t id, int32_t usual) {
    return id >= 0 || usual >= static_cast<int32_t>(size) ? id : usual;
  };
  model.unknown = fallback(vocabulary.unknown, 0);  // llama.cpp's defaults for this model
  model.bos = fallback(vocabulary.bos, 1);
  model.eos = EndTokens(vocabulary);
  if (model.eos.empty() && size > 2) model.eos = {2};
  model.add_bos = vocabulary.add_bos.value_or(true);
  model.add_eos = vocabulary.add_eos.value_or(false);
  model.add_prefix_space = vocabulary.add_space_prefix.value_or(true);
  return MakeMetaspaceTokenizer(std::move(model));
}

Tokenizer FromGpt2Model(const GgufVocabulary& vocabulary) {
  NamedPreTokenizer pre = FindPreTokenizer(vocabulary.pre);
  Vocabulary pieces(vocabulary.tokens);
  std::vector<Bpe::Merge> merges;
  merges.reserve(vocabulary.merges.size());
  for (const std::string& merge : vocabulary.merges) {
    const size_t space = merge.find(' ', 1);
    if (merge.empty() || space == std::string::npos) {
      Fail("tokenizer.ggml.merges: merge {} '{}' should be two pieces with a space between", merges.size(),
           merge);
    }
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    const int32_t a = pieces.Find(left), b = pieces.Find(right);
    // Some files list merges whose pieces were cut from the vocabulary; they can never apply.
    if (a >= 0 && b >= 0 && pieces.Find(left + right) >= 0) merges.emplace_back(a, b);
  }
  BpeOptions options;
  options.ignore_merges = pre.ignore_merges;
  auto pipe =
      std::make_shared<TokenizerPipeline>(Bpe(std::move(pieces), std::move(merges), std::move(options)));
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const int32_t type = TypeOf(vocabulary, id);
    if (type != Type::kControl && type != Type::kUserDefined && type != Type::kUnknown) continue;
    AddedToken token;
    token.id = static_cast<int32_t>(id);
    token.content = vocabulary.tokens[id];
    token.special = type != Type::kUserDefined;
    pipe->added.push_back(std::move(token));
  }
  if (pre.nfc) pipe->normalizer.push_back(UnicodeNormalizer{NormalForm::kNfc});
  pipe->pre_tokenizer = std::move(pre.steps);
  pipe->decoder = {ByteLevelDecoder{}};
  pipe->bos = vocabulary.bos;
  pipe->unknown = vocabulary.unknown;
  pipe->eos = EndTokens(vocabulary);
  if (vocabulary.add_bos.value_or(pre.add_bos) && pipe->bos >= 0) pipe->prefix = {pipe->bos};
  if (vocabulary.add_eos.value_or(false) && vocabulary.eos >= 0) pipe->suffix = {vocabulary.eos};
  pipe->Finish();
  return Tokenizer(std::move(pipe));
}

bool IsMetaspaceText(const TokenizerPipeline& pipe, bool& prefix) {
  bool spaces = false;
  prefix = false;
  for (const NormalizerStep& step : pipe.normalizer) {
    if (const auto* prepend = std::get_if<PrependNormalizer>(&step)) {
      if (prepend->prepend != kMetaspace) return false;
      prefix = true;
    } else if (const auto* replace = std::get_if<ReplaceNormalizer>(&step)) {
      const auto* text = std::get_if<std::string>(&replace->pattern);
      if (!text || *text != " " || replace->content != kMetaspace) return false;
      spaces = true;
    } else {
      return false;
    }
  }
  for (const PreTokenizerStep& step : pipe.pre_tokenizer) {
    if (const auto* metaspace = std::get_if<MetaspacePreTokenizer>(&step)) {
      if (metaspace->replacement != kMetaspace) return false;
      prefix = prefix || metaspace->prepend != MetaspacePreTokenizer::Prepend::kNever;
      spaces = true;
    } else {
      // Gemma splits at spaces after they have become U+2581: nothing is left to split.
      const auto* split = std::get_if<SplitPreTokenizer>(&step);
      const auto* text = split ? std::get_if<std::string>(&split->pattern) : nullptr;
      if (!text || *text != " " || !spaces) return false;
    }
  }
  return spaces;
}

// Minus the rank of the first merge that makes each piece: the order of the merges as scores.
std::vector<float> ScoresFromMerges(const Bpe& bpe) {
  std::vector<float> scores(static_cast<size_t>(bpe.vocabulary().size()), -1e6f);
  for (size_t rank = bpe.merges().size(); rank-- > 0;) {
    const auto [left, right] = bpe.merges()[rank];
    const int32_t id = bpe.vocabulary().Find(std::string(bpe.vocabulary().piece(left)) +
                                             std::string(bpe.vocabulary().piece(right)));
    if (id >= 0) scores[static_cast<size_t>(id)] = -static_cast<float>(rank);
  }
  return scores;
}

void FillTokens(const TokenizerPipeline& pipe, const std::vector<float>& scores, GgufVocabulary& out) {
  for (int32_t id = 0; id < pipe.vocab_size; ++id) {
    const AddedToken* added = pipe.Added(id);
    std::string piece(pipe.Piece(id));
    Type type = Type::kNormal;
    if (piece.empty()) {
      piece = fmt::format("[PAD{}]", id);
      type = Type::kUnused;
    } else if (id == pipe.unknown) {
      type = Type::kUnknown;
    } else if (added) {
      type = added->special ? Type::kControl : Type::kUserDefined;
    } else if (out.model == "llama" && PieceByte(piece) >= 0) {
      type = Type::kByte;
    }
    out.tokens.push_back(std::move(piece));
    out.types.push_back(type);
    if (out.model == "llama") {
      const auto index = static_cast<size_t>(id);
      out.scores.push_back(index < scores.size() ? scores[index] : -1e6f);
    }
  }
}

}  // namespace

Tokenizer Tokenizer::FromGguf(const GgufVocabulary& vocabulary) {
  Check(vocabulary);
  if (vocabulary.model == "llama") return FromLlamaModel(vocabulary);
  if (vocabulary.model == "gpt2") return FromGpt2Model(vocabulary);
  Fail("tokenizer.ggml.model: '{}' is not supported; known: llama, gpt2", vocabulary.model);
}

GgufVocabulary Tokenizer::ToGguf() const {
  const TokenizerPipeline& pipe = *pipeline_;
  GgufVocabulary out;
  const auto* bpe = std::get_if<Bpe>(&pipe.model);
  if (!bpe) Fail("GGUF export: a unigram tokenizer has no place in the 'llama' and 'gpt2' models of GGUF");
  bool prefix = false;
  if (IsMetaspaceText(pipe, prefix)) {
    out.model = "llama";
    out.pre = "default";
    FillTokens(pipe, bpe->scored() ? bpe->scores() : ScoresFromMerges(*bpe), out);
    out.add_space_prefix = prefix;
  } else {
    out.model = "gpt2";
    out.pre = NameOfPreTokenizer(pipe.pre_tokenizer, bpe->options().ignore_merges);
    if (out.pre.empty() || bpe->scored())
      Fail("GGUF export: llama.cpp has no name for this tokenizer's pre-tokenizer");
    FillTokens(pipe, {}, out);
    out.merges.reserve(bpe->merges().size());
    for (const auto& [left, right] : bpe->merges()) {
      out.merges.push_back(
          fmt::format("{} {}", bpe->vocabulary().piece(left), bpe->vocabulary().piece(right)));
    }
  }
  out.bos = pipe.bos;
  out.unknown = pipe.unknown;
  if (!pipe.eos.empty()) out.eos = pipe.eos[0];
  if (pipe.eos.size() > 1) out.eot = pipe.eos[1];
  out.add_bos = add_bos();
  out.add_eos = add_eos();
  return out;
}

}  // namespace lowbit
