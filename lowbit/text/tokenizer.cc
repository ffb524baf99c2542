#include "lowbit/text/tokenizer.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/text/tokenizer_pipeline.h"
#include "lowbit/text/utf8.h"

namespace lowbit {

const Vocabulary& TokenizerPipeline::vocabulary() const {
  return std::visit([](const auto& m) -> const Vocabulary& { return m.vocabulary(); }, model);
}

const AddedToken* TokenizerPipeline::Added(int32_t id) const {
  const auto it = added_by_id.find(id);
  return it == added_by_id.end() ? nullptr : &added[it->second];
}

std::string_view TokenizerPipeline::Piece(int32_t id) const {
  if (const AddedToken* token = Added(id)) return token->content;
  return vocabulary().piece(id);
}

int32_t TokenizerPipeline::Find(std::string_view piece) const {
  for (const AddedToken& token : added) {
    if (token.content == piece) return token.id;
  }
  return vocabulary().Find(piece);
}

void TokenizerPipeline::Finish() {
  vocab_size = vocabulary().size();
  std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (size_t i = 0; i < added.size(); ++i) {
    const AddedToken& token = added[i];
    if (token.id < 0 || token.id >= Vocabulary::kMaxId)
      Fail("added token '{}': id {}", token.content, token.id);
    vocab_size = std::max(vocab_size, token.id + 1);
    added_by_id.emplace(token.id, i);
    if (token.as_piece) {
      normalized_matcher.Add(token, token.content);
    } else if (token.normalized) {
      normalized_matcher.Add(token, ApplyNormalizer(normalizer, token.content, PrefixSpace::kAsTokenizer));
    } else {
      raw_matcher.Add(token, token.content);
    }
  }
  const auto check = [&](int32_t id, std::string_view what) {
    if (id < -1 || id >= vocab_size)
      Fail("tokenizer: {} {} is outside the vocabulary of {}", what, id, vocab_size);
  };
  check(bos, "bos id");
  check(unknown, "unknown id");
  for (const int32_t id : eos) check(id, "eos id");
  for (const int32_t id : prefix) check(id, "prefix id");
  for (const int32_t id : suffix) check(id, "suffix id");
}

Tokenizer::Tokenizer(std::shared_ptr<const TokenizerPipeline> pipeline) : pipeline_(std::move(pipeline)) {}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  const TokenizerPipeline& pipe = *pipeline_;
  std::string repaired;
  if (FirstInvalidUtf8(text) != std::string_view::npos) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 2);
  if (options.add_special) ids = pipe.prefix;
  const bool special = options.parse_special == ParseSpecial::kYes;
  WordCache cache;
  for (const auto& raw : pipe.raw_matcher.Match(text, special)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    const std::string normalized =
        ApplyNormalizer(pipe.normalizer, text.substr(raw.begin, raw.end - raw.begin), options.prefix_space);
    for (const auto& segment : pipe.normalized_matcher.Match(normalized, special)) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      const bool at_start = raw.begin == 0 && segment.begin == 0;
      const Words words =
          ApplyPreTokenizer(pipe.pre_tokenizer, normalized.substr(segment.begin, segment.end - segment.begin),
                            {.at_start = at_start, .prefix = options.prefix_space});
      std::visit(
          [&](const auto& model) {
            for (size_t i = 0; i < words.ranges.size(); ++i) model.Encode(words.word(i), cache, ids);
          },
          pipe.model);
    }
  }
  if (options.add_special) ids.insert(ids.end(), pipe.suffix.begin(), pipe.suffix.end());
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::vector<std::string> pieces;
  pieces.reserve(ids.size());
  for (const int32_t id : ids) {
    if (options.skip_special && is_special(id)) continue;
    const std::string_view piece = pipeline_->Piece(id);
    if (piece.empty()) continue;
    if (!pipeline_->has_decoder && !pieces.empty()) pieces.emplace_back(" ");
    pieces.emplace_back(piece);
  }
  return ApplyDecoder(pipeline_->decoder, std::move(pieces));
}

std::string Tokenizer::TokenBytes(int32_t id) const {
  if (is_special(id)) return std::string(pipeline_->Piece(id));
  return DecodePiece(pipeline_->decoder, pipeline_->Piece(id));
}

std::string Tokenizer::Piece(int32_t id) const {
  return std::string(pipeline_->Piece(id));
}

int32_t Tokenizer::Find(std::string_view piece) const {
  return pipeline_->Find(piece);
}

int32_t Tokenizer::vocab_size() const {
  return pipeline_->vocab_size;
}

int32_t Tokenizer::bos() const {
  return pipeline_->bos;
}

int32_t Tokenizer::unknown() const {
  return pipeline_->unknown;
}

std::span<const int32_t> Tokenizer::eos() const {
  return pipeline_->eos;
}

bool Tokenizer::is_eos(int32_t id) const {
  return std::ranges::find(pipeline_->eos, id) != pipeline_->eos.end();
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = pipeline_->Added(id);
  return token && token->special;
}

bool Tokenizer::add_bos() const {
  return pipeline_->bos >= 0 && !pipeline_->prefix.empty() && pipeline_->prefix.front() == pipeline_->bos;
}

bool Tokenizer::add_eos() const {
  return !pipeline_->suffix.empty() && is_eos(pipeline_->suffix.back());
}

Tokenizer Tokenizer::WithEos(std::vector<int32_t> eos) const {
  auto changed = std::make_shared<TokenizerPipeline>(*pipeline_);
  for (const int32_t id : eos) {
    if (id < 0 || id >= changed->vocab_size) {
      Fail("end token {}: the vocabulary has the ids 0 to {}", id, changed->vocab_size - 1);
    }
  }
  changed->eos = std::move(eos);
  return Tokenizer(std::move(changed));
}

}  // namespace lowbit
