// tokenizer.json of Hugging Face's `tokenizers` package, read component by component.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "lowbit/base/error.h"
#include "lowbit/io/json.h"
#include "lowbit/text/base64.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/tokenizer_pipeline.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

using Json = nlohmann::json;

const Json* Member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string Text(const Json& object, const char* key, std::string fallback) {
  const Json* value = Member(object, key);
  if (!value) return fallback;
  if (!value->is_string()) Fail("tokenizer.json: '{}' should be a string", key);
  return value->get<std::string>();
}

bool Flag(const Json& object, const char* key, bool fallback) {
  const Json* value = Member(object, key);
  if (!value) return fallback;
  if (!value->is_boolean()) Fail("tokenizer.json: '{}' should be true or false", key);
  return value->get<bool>();
}

int64_t Integer(const Json& object, const char* key, int64_t fallback) {
  const Json* value = Member(object, key);
  if (!value) return fallback;
  if (!value->is_number_integer()) Fail("tokenizer.json: '{}' should be an integer", key);
  return value->get<int64_t>();
}

const Json& Array(const Json& object, const char* key) {
  const Json* value = Member(object, key);
  if (!value || !value->is_array()) Fail("tokenizer.json: the list '{}' is missing", key);
  return *value;
}

int32_t TokenId(const Json& value, std::string_view what) {
  if (!value.is_number_integer()) Fail("tokenizer.json: the id of {} should be an integer", what);
  const auto id = value.get<int64_t>();
  if (id < 0 || id >= Vocabulary::kMaxId) Fail("tokenizer.json: the id {} of {} is out of range", id, what);
  return static_cast<int32_t>(id);
}

TextPattern Pattern(const Json& step) {
  const Json* pattern = Member(step, "pattern");
  if (pattern && pattern->is_string()) return pattern->get<std::string>();
  if (pattern && pattern->contains("String")) return Text(*pattern, "String", "");
  if (pattern && pattern->contains("Regex")) return Regex(Text(*pattern, "Regex", ""));
  Fail("tokenizer.json: a pattern should be {{\"String\": …}} or {{\"Regex\": …}}");
}

SplitBehavior Behavior(const Json& step, SplitBehavior fallback) {
  const std::string name = Text(step, "behavior", "");
  if (name.empty()) return fallback;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  Fail(
      "tokenizer.json: split behavior '{}'; known: Removed, Isolated, MergedWithPrevious, MergedWithNext, "
      "Contiguous",
      name);
}

MetaspacePreTokenizer::Prepend Prepend(const Json& step) {
  using P = MetaspacePreTokenizer::Prepend;
  const std::string name = Text(step, "prepend_scheme", "");
  if (name.empty()) return Flag(step, "add_prefix_space", true) ? P::kAlways : P::kNever;
  if (name == "always") return P::kAlways;
  if (name == "first") return P::kFirst;
  if (name == "never") return P::kNever;
  Fail("tokenizer.json: prepend_scheme '{}'; known: always, first, never", name);
}

// Sequences are flattened: calls read(step) for each component in order.
template <typename Read>
void ForEachStep(const Json* component, const char* sequence_key, int depth, const Read& read) {
  if (!component || component->is_null()) return;
  if (depth > 16) Fail("tokenizer.json: sequences nested more than 16 deep");
  if (Text(*component, "type", "") != "Sequence") return read(*component, Text(*component, "type", ""));
  for (const Json& step : Array(*component, sequence_key)) ForEachStep(&step, sequence_key, depth + 1, read);
}

void ReadNormalizer(const Json& step, const std::string& type, Normalizer& out) {
  if (type == "NFC") {
    out.push_back(UnicodeNormalizer{NormalForm::kNfc});
  } else if (type == "NFD") {
    out.push_back(UnicodeNormalizer{NormalForm::kNfd});
  } else if (type == "NFKC") {
    out.push_back(UnicodeNormalizer{NormalForm::kNfkc});
  } else if (type == "NFKD") {
    out.push_back(UnicodeNormalizer{NormalForm::kNfkd});
  } else if (type == "Lowercase") {
    out.push_back(LowercaseNormalizer{});
  } else if (type == "Strip") {
    out.push_back(StripNormalizer{Flag(step, "strip_left", true), Flag(step, "strip_right", true)});
  } else if (type == "StripAccents") {
    out.push_back(StripAccentsNormalizer{});
  } else if (type == "Prepend") {
    out.push_back(PrependNormalizer{Text(step, "prepend", "")});
  } else if (type == "Replace") {
    out.push_back(ReplaceNormalizer{Pattern(step), Text(step, "content", "")});
  } else if (type == "Precompiled") {
    PrecompiledNormalizer normalizer{DecodeBase64(Text(step, "precompiled_charsmap", ""))};
    CheckCharsmap(normalizer.charsmap);
    out.push_back(std::move(normalizer));
  } else {
    Fail(
        "tokenizer.json: normalizer '{}' is not supported; known: NFC, NFD, NFKC, NFKD, Lowercase, Strip, "
        "StripAccents, Prepend, Replace, Precompiled, Sequence",
        type);
  }
}

void ReadPreTokenizer(const Json& step, const std::string& type, PreTokenizer& out) {
  if (type == "Split") {
    out.push_back(SplitPreTokenizer{Pattern(step), Behavior(step, SplitBehavior::kIsolated),
                                    Flag(step, "invert", false)});
  } else if (type == "Digits") {
    out.push_back(DigitsPreTokenizer{Flag(step, "individual_digits", false)});
  } else if (type == "ByteLevel") {
    out.push_back(ByteLevelPreTokenizer{Flag(step, "add_prefix_space", true),
                                        Flag(step, "trim_offsets", true), Flag(step, "use_regex", true)});
  } else if (type == "Metaspace") {
    out.push_back(MetaspacePreTokenizer{Text(step, "replacement", "\xE2\x96\x81"), Prepend(step),
                                        Flag(step, "split", true)});
  } else if (type == "Whitespace") {
    out.push_back(WhitespacePreTokenizer{});
  } else if (type == "WhitespaceSplit") {
    out.push_back(WhitespaceSplitPreTokenizer{});
  } else if (type == "Punctuation") {
    out.push_back(PunctuationPreTokenizer{Behavior(step, SplitBehavior::kIsolated)});
  } else if (type == "BertPreTokenizer") {
    out.push_back(BertPreTokenizer{});
  } else {
    Fail(
        "tokenizer.json: pre-tokenizer '{}' is not supported; known: Split, Digits, ByteLevel, Metaspace, "
        "Whitespace, "
        "WhitespaceSplit, Punctuation, BertPreTokenizer, Sequence",
        type);
  }
}

size_t Count(const Json& step, const char* key) {
  const int64_t count = Integer(step, key, 0);
  if (count < 0) Fail("tokenizer.json: '{}' is negative", key);
  return static_cast<size_t>(count);
}

void ReadDecoder(const Json& step, const std::string& type, Decoder& out) {
  if (type == "ByteLevel") {
    out.push_back(ByteLevelDecoder{});
  } else if (type == "Metaspace") {
    out.push_back(MetaspaceDecoder{Text(step, "replacement", "\xE2\x96\x81"), Prepend(step)});
  } else if (type == "ByteFallback") {
    out.push_back(ByteFallbackDecoder{});
  } else if (type == "Fuse") {
    out.push_back(FuseDecoder{});
  } else if (type == "Replace") {
    out.push_back(ReplaceDecoder{Pattern(step), Text(step, "content", "")});
  } else if (type == "Strip") {
    out.push_back(StripDecoder{Text(step, "content", " "), Count(step, "start"), Count(step, "stop")});
  } else if (type == "BPEDecoder") {
    out.push_back(SuffixDecoder{Text(step, "suffix", "</w>")});
  } else {
    Fail(
        "tokenizer.json: decoder '{}' is not supported; known: ByteLevel, Metaspace, ByteFallback, Fuse, "
        "Replace, "
        "Strip, BPEDecoder, Sequence",
        type);
  }
}

Vocabulary ReadVocabulary(const Json& vocab) {
  if (!vocab.is_object()) Fail("tokenizer.json: model.vocab should map pieces to ids");
  int32_t size = 0;
  for (const auto& [piece, id] : vocab.items()) size = std::max(size, TokenId(id, "a piece") + 1);
  // A single absurd id must not allocate for all below it.
  if (static_cast<size_t>(size) > 16 * vocab.size() + 65536) {
    Fail("tokenizer.json: {} pieces but ids up to {}", vocab.size(), size - 1);
  }
  std::vector<std::string> pieces(static_cast<size_t>(size));
  for (const auto& [piece, id] : vocab.items()) pieces[static_cast<size_t>(id.get<int64_t>())] = piece;
  if (pieces.empty()) Fail("tokenizer.json: model.vocab is empty");
  return Vocabulary(std::move(pieces));
}

Bpe ReadBpe(const Json& model, const Json* extra) {
  if (const Json* dropout = Member(model, "dropout");
      dropout && dropout->is_number() && dropout->get<double>() != 0) {
    Fail("tokenizer.json: BPE dropout {} makes random tokens; set it to null", dropout->get<double>());
  }
  const Json* vocab = Member(model, "vocab");
  Vocabulary vocabulary = ReadVocabulary(vocab ? *vocab : Json());
  BpeOptions options;
  options.continuing_prefix = Text(model, "continuing_subword_prefix", "");
  options.end_suffix = Text(model, "end_of_word_suffix", "");
  options.fuse_unknown = Flag(model, "fuse_unk", false);
  options.byte_fallback = Flag(model, "byte_fallback", false);
  options.ignore_merges = Flag(model, "ignore_merges", false);
  if (const std::string name = Text(model, "unk_token", ""); !name.empty())
    options.unknown = vocabulary.Find(name);
  if (const Json* scores = extra ? Member(*extra, "scores") : nullptr) {
    const auto size = static_cast<size_t>(vocabulary.size());
    if (!scores->is_array() || scores->size() != size)
      Fail("tokenizer.json: lowbit.scores should have {} numbers", size);
    std::vector<float> values(size, 0);
    std::vector<bool> mergeable(size, false);  // null: no merge may make the piece
    for (size_t i = 0; i < size; ++i) {
      if (!(*scores)[i].is_number()) continue;
      values[i] = (*scores)[i].get<float>();
      mergeable[i] = true;
    }
    return Bpe(std::move(vocabulary), std::move(values), std::move(mergeable), std::move(options));
  }
  std::vector<Bpe::Merge> merges;
  const Json& list = Array(model, "merges");
  merges.reserve(list.size());
  for (const Json& merge : list) {
    std::string left, right;
    if (merge.is_string()) {  // "left right"; neither contains a space in this older form
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos) Fail("tokenizer.json: merge {} '{}' has no space", merges.size(), text);
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      Fail("tokenizer.json: merge {} should be \"left right\" or [\"left\", \"right\"]", merges.size());
    }
    const int32_t a = vocabulary.Find(left), b = vocabulary.Find(right);
    if (a < 0 || b < 0) {
      Fail("tokenizer.json: merge {} uses '{}', which is not in the vocabulary", merges.size(),
           a < 0 ? left : right);
    }
    merges.emplace_back(a, b);
  }
  return Bpe(std::move(vocabulary), std::move(merges), std::move(options));
}

Unigram ReadUnigram(const Json& model) {
  std::vector<std::string> pieces;
  std::vector<double> scores;
  std::vector<bool> usable;
  for (const Json& entry : Array(model, "vocab")) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      Fail("tokenizer.json: entry {} of the unigram vocabulary should be [piece, score]", pieces.size());
    }
    pieces.push_back(entry[0].get<std::string>());
    scores.push_back(entry[1].get<double>());
    usable.push_back(true);
  }
  UnigramOptions options;
  const int64_t unknown = Integer(model, "unk_id", -1);
  if (unknown < -1 || unknown >= static_cast<int64_t>(pieces.size()))
    Fail("tokenizer.json: unk_id {}", unknown);
  options.unknown = static_cast<int32_t>(unknown);
  options.byte_fallback = Flag(model, "byte_fallback", false);
  return Unigram(Vocabulary(std::move(pieces)), std::move(scores), std::move(usable), options);
}

TokenModel ReadModel(const Json& root, const Json& config) {
  const Json* model = Member(root, "model");
  if (!model) Fail("tokenizer.json: 'model' is missing");
  std::string type = Text(*model, "type", "");
  if (type.empty()) type = model->contains("merges") ? "BPE" : "Unigram";  // files older than the field
  if (type == "BPE") return ReadBpe(*model, Member(config, "lowbit"));
  if (type == "Unigram") return ReadUnigram(*model);
  Fail("tokenizer.json: model '{}' is not supported; known: BPE, Unigram", type);
}

// Reads the tokens around a single text; the ids that belong to a pair of texts are of no use here.
void ReadPostProcessor(const Json& step, const std::string& type, TokenizerPipeline& pipe) {
  if (type == "ByteLevel") return;  // changes offsets only
  if (type == "TemplateProcessing") {
    const Json* specials = Member(step, "special_tokens");
    std::vector<int32_t> before, after;
    bool seen = false;
    for (const Json& item : Array(step, "single")) {
      if (item.contains("Sequence")) {
        if (seen) Fail("tokenizer.json: a template that repeats its text is not supported");
        seen = true;
        continue;
      }
      const Json* token = Member(item, "SpecialToken");
      if (!token) Fail("tokenizer.json: a template holds SpecialToken and Sequence items");
      const std::string name = Text(*token, "id", "");
      const Json* special = specials ? Member(*specials, name.c_str()) : nullptr;
      if (!special) Fail("tokenizer.json: the template's token '{}' is not in its special_tokens", name);
      for (const Json& id : Array(*special, "ids")) (seen ? after : before).push_back(TokenId(id, name));
    }
    if (!seen) Fail("tokenizer.json: a template without its text");
    // Later steps of a sequence wrap the earlier ones.
    pipe.prefix.insert(pipe.prefix.begin(), before.begin(), before.end());
    pipe.suffix.insert(pipe.suffix.end(), after.begin(), after.end());
    return;
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    for (const char* key : {"cls", "sep"}) {
      const Json& pair = Array(step, key);
      if (pair.size() != 2) Fail("tokenizer.json: '{}' should be [token, id]", key);
      const int32_t id = TokenId(pair[1], key);
      if (key[0] == 'c') {
        pipe.prefix.insert(pipe.prefix.begin(), id);
      } else {
        pipe.suffix.push_back(id);
      }
    }
    return;
  }
  Fail(
      "tokenizer.json: post-processor '{}' is not supported; known: TemplateProcessing, ByteLevel, "
      "BertProcessing, "
      "RobertaProcessing, Sequence",
      type);
}

void ReadAddedTokens(const Json& root, TokenizerPipeline& pipe) {
  const Json* list = Member(root, "added_tokens");
  if (!list) return;
  if (!list->is_array()) Fail("tokenizer.json: 'added_tokens' should be a list");
  for (const Json& item : *list) {
    AddedToken token;
    token.content = Text(item, "content", "");
    if (token.content.empty()) continue;
    const Json* id = Member(item, "id");
    if (!id) Fail("tokenizer.json: added token '{}' has no id", token.content);
    token.id = TokenId(*id, token.content);
    token.special = Flag(item, "special", false);
    token.single_word = Flag(item, "single_word", false);
    token.lstrip = Flag(item, "lstrip", false);
    token.rstrip = Flag(item, "rstrip", false);
    token.normalized = Flag(item, "normalized", !token.special);
    pipe.added.push_back(std::move(token));
  }
}

// The id of the special token that a configuration names: "</s>" or {"content": "</s>", …}.
int32_t NamedToken(const TokenizerPipeline& pipe, const Json& config, const char* key) {
  const Json* value = Member(config, key);
  if (value && value->is_object()) value = Member(*value, "content");
  return value && value->is_string() ? pipe.Find(value->get_ref<const std::string&>()) : -1;
}

// What tokenizer.json has no place for (see the writer).
void ReadOwn(const Json& own, TokenizerPipeline& pipe) {
  const auto ids = [&](const char* key) {
    std::vector<int32_t> list;
    const Json* values = Member(own, key);
    if (values && values->is_array()) {
      for (const Json& id : *values) list.push_back(TokenId(id, key));
    }
    return list;
  };
  pipe.eos = ids("eos");
  const std::vector<int32_t> as_pieces = ids("as_pieces");
  const std::unordered_set<int32_t> marked(as_pieces.begin(), as_pieces.end());
  for (AddedToken& token : pipe.added) token.as_piece = marked.contains(token.id);
  const Json* keep = Member(own, "keep");
  for (NormalizerStep& step : pipe.normalizer) {
    auto* precompiled = std::get_if<PrecompiledNormalizer>(&step);
    if (!precompiled || !keep || !keep->is_array()) continue;
    for (const Json& piece : *keep) {
      if (piece.is_string()) precompiled->keep.push_back(piece.get<std::string>());
    }
  }
}

void ReadSpecialIds(const Json& config, const Json& map, TokenizerPipeline& pipe) {
  if (const Json* own = Member(config, "lowbit")) ReadOwn(*own, pipe);
  for (const Json* source : {&config, &map}) {
    if (pipe.bos < 0) pipe.bos = NamedToken(pipe, *source, "bos_token");
    if (pipe.unknown < 0) pipe.unknown = NamedToken(pipe, *source, "unk_token");
    if (const int32_t id = NamedToken(pipe, *source, "eos_token"); id >= 0 && pipe.eos.empty())
      pipe.eos = {id};
  }
  // The Llama and Gemma tokenizer classes build the post-processor from these two, whatever tokenizer.json
  // says.
  const std::string name = Text(config, "tokenizer_class", "");
  if (name.starts_with("Llama") || name.starts_with("CodeLlama") || name.starts_with("Gemma")) {
    const auto set = [](std::vector<int32_t>& around, const Json* wanted, int32_t id) {
      if (!wanted || !wanted->is_boolean() || id < 0) return;
      const bool has = !around.empty();
      if (wanted->get<bool>() && !has) around = {id};
      if (!wanted->get<bool>() && has) around.clear();
    };
    set(pipe.prefix, Member(config, "add_bos_token"), pipe.bos);
    set(pipe.suffix, Member(config, "add_eos_token"), pipe.eos.empty() ? -1 : pipe.eos[0]);
  }
  // Without a configuration the post-processor and the usual names tell.
  if (pipe.bos < 0 && config.is_null() && !pipe.prefix.empty()) pipe.bos = pipe.prefix.front();
  if (pipe.eos.empty() && !pipe.suffix.empty()) pipe.eos = {pipe.suffix.back()};
  if (pipe.eos.empty()) {
    for (const char* usual :
         {"</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<eos>"}) {
      const int32_t id = pipe.Find(usual);
      if (id >= 0 && pipe.eos.empty()) pipe.eos = {id};
    }
  }
}

}  // namespace

Tokenizer Tokenizer::FromHuggingFace(std::string_view tokenizer_json, const HuggingFaceTexts& beside) {
  const Json root = ParseJson(tokenizer_json, "tokenizer.json");
  if (!root.is_object()) Fail("tokenizer.json: not an object");
  Json config, map;
  if (!beside.tokenizer_config.empty()) config = ParseJson(beside.tokenizer_config, "tokenizer_config.json");
  if (!beside.special_tokens_map.empty())
    map = ParseJson(beside.special_tokens_map, "special_tokens_map.json");
  auto pipe = std::make_shared<TokenizerPipeline>(ReadModel(root, config));
  ReadAddedTokens(root, *pipe);
  ForEachStep(Member(root, "normalizer"), "normalizers", 0, [&](const Json& step, const std::string& type) {
    ReadNormalizer(step, type, pipe->normalizer);
  });
  ForEachStep(
      Member(root, "pre_tokenizer"), "pretokenizers", 0,
      [&](const Json& step, const std::string& type) { ReadPreTokenizer(step, type, pipe->pre_tokenizer); });
  ForEachStep(Member(root, "decoder"), "decoders", 0,
              [&](const Json& step, const std::string& type) { ReadDecoder(step, type, pipe->decoder); });
  ForEachStep(Member(root, "post_processor"), "processors", 0,
              [&](const Json& step, const std::string& type) { ReadPostProcessor(step, type, *pipe); });
  pipe->has_decoder = Member(root, "decoder") != nullptr;
  if (const auto* bpe = std::get_if<Bpe>(&pipe->model)) pipe->unknown = bpe->options().unknown;
  if (const auto* unigram = std::get_if<Unigram>(&pipe->model)) pipe->unknown = unigram->options().unknown;
  ReadSpecialIds(config, map, *pipe);
  pipe->Finish();
  return Tokenizer(std::move(pipe));
}

}  // namespace lowbit
