// tokenizer.json written from a pipeline, whatever it was read from.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/text/base64.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/tokenizer_pipeline.h"

namespace lowbit {
namespace {

using Json = nlohmann::ordered_json;

Json PatternJson(const TextPattern& pattern) {
  if (const auto* regex = std::get_if<Regex>(&pattern)) return {{"Regex", regex->pattern()}};
  return {{"String", std::get<std::string>(pattern)}};
}

const char* BehaviorName(SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return "Removed";
    case SplitBehavior::kIsolated:
      return "Isolated";
    case SplitBehavior::kMergedWithPrevious:
      return "MergedWithPrevious";
    case SplitBehavior::kMergedWithNext:
      return "MergedWithNext";
    case SplitBehavior::kContiguous:
      return "Contiguous";
  }
  return "Isolated";
}

const char* PrependName(MetaspacePreTokenizer::Prepend prepend) {
  using P = MetaspacePreTokenizer::Prepend;
  return prepend == P::kAlways ? "always" : prepend == P::kFirst ? "first" : "never";
}

Json ByteLevelJson(const ByteLevelPreTokenizer& level) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", level.add_prefix_space},
          {"trim_offsets", level.trim_offsets},
          {"use_regex", level.use_regex}};
}

Json MetaspaceJson(const std::string& replacement, MetaspacePreTokenizer::Prepend prepend, bool split) {
  return {{"type", "Metaspace"},
          {"replacement", replacement},
          {"prepend_scheme", PrependName(prepend)},
          {"split", split}};
}

Json ReplaceJson(const TextPattern& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", PatternJson(pattern)}, {"content", content}};
}

// Every component appends its JSON form; some need two.
struct Write {
  Json& out;

  void operator()(const UnicodeNormalizer& step) const {
    constexpr const char* kNames[] = {"NFC", "NFD", "NFKC", "NFKD"};
    out.push_back({{"type", kNames[static_cast<int>(step.form)]}});
  }
  void operator()(const LowercaseNormalizer&) const { out.push_back({{"type", "Lowercase"}}); }
  void operator()(const StripNormalizer& step) const {
    out.push_back({{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}});
  }
  void operator()(const StripAccentsNormalizer&) const { out.push_back({{"type", "StripAccents"}}); }
  void operator()(const PrependNormalizer& step) const {
    out.push_back({{"type", "Prepend"}, {"prepend", step.prepend}});
  }
  void operator()(const ReplaceNormalizer& step) const {
    out.push_back(ReplaceJson(step.pattern, step.content));
  }
  void operator()(const PrecompiledNormalizer& step) const {
    out.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", EncodeBase64(step.charsmap)}});
  }
  void operator()(const CollapseSpacesNormalizer&) const {
    out.push_back(ReplaceJson(Regex("\\A +|(?: |\xE2\x96\x81)+\\z"), ""));
    out.push_back(ReplaceJson(Regex(" {2,}"), " "));
  }

  void operator()(const SplitPreTokenizer& step) const {
    out.push_back({{"type", "Split"},
                   {"pattern", PatternJson(step.pattern)},
                   {"behavior", BehaviorName(step.behavior)},
                   {"invert", step.invert}});
  }
  void operator()(const DigitsPreTokenizer& step) const {
    out.push_back({{"type", "Digits"}, {"individual_digits", step.individual}});
  }
  void operator()(const ByteLevelPreTokenizer& step) const { out.push_back(ByteLevelJson(step)); }
  void operator()(const MetaspacePreTokenizer& step) const {
    out.push_back(MetaspaceJson(step.replacement, step.prepend, step.split));
  }
  void operator()(const WhitespacePreTokenizer&) const { out.push_back({{"type", "Whitespace"}}); }
  void operator()(const WhitespaceSplitPreTokenizer&) const { out.push_back({{"type", "WhitespaceSplit"}}); }
  void operator()(const PunctuationPreTokenizer& step) const {
    out.push_back({{"type", "Punctuation"}, {"behavior", BehaviorName(step.behavior)}});
  }
  void operator()(const BertPreTokenizer&) const { out.push_back({{"type", "BertPreTokenizer"}}); }

  void operator()(const ByteLevelDecoder&) const { out.push_back(ByteLevelJson({})); }
  void operator()(const MetaspaceDecoder& step) const {
    out.push_back(MetaspaceJson(step.replacement, step.prepend, true));
  }
  void operator()(const ByteFallbackDecoder&) const { out.push_back({{"type", "ByteFallback"}}); }
  void operator()(const FuseDecoder&) const { out.push_back({{"type", "Fuse"}}); }
  void operator()(const ReplaceDecoder& step) const {
    out.push_back(ReplaceJson(step.pattern, step.content));
  }
  void operator()(const StripDecoder& step) const {
    out.push_back({{"type", "Strip"}, {"content", step.content}, {"start", step.start}, {"stop", step.stop}});
  }
  void operator()(const SuffixDecoder& step) const {
    out.push_back({{"type", "BPEDecoder"}, {"suffix", step.suffix}});
  }
};

template <typename Steps>
Json StepsJson(const Steps& steps, const char* sequence_key) {
  Json list = Json::array();
  for (const auto& step : steps) std::visit(Write{list}, step);
  if (list.empty()) return nullptr;
  if (list.size() == 1) return list[0];
  return {{"type", "Sequence"}, {sequence_key, std::move(list)}};
}

// All ways to make each piece from two others, best piece first: the merges that a scored BPE amounts to.
std::vector<Bpe::Merge> MergesFromScores(const Bpe& bpe) {
  const Vocabulary& vocabulary = bpe.vocabulary();
  std::vector<int32_t> order(static_cast<size_t>(vocabulary.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return bpe.scores()[static_cast<size_t>(a)] > bpe.scores()[static_cast<size_t>(b)];
  });
  std::vector<Bpe::Merge> merges;
  for (const int32_t id : order) {
    const std::string_view piece = vocabulary.piece(id);
    if (!bpe.mergeable()[static_cast<size_t>(id)]) continue;
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const int32_t left = vocabulary.Find(piece.substr(0, cut)), right = vocabulary.Find(piece.substr(cut));
      if (left >= 0 && right >= 0) merges.emplace_back(left, right);
    }
  }
  return merges;
}

Json ModelJson(const Bpe& bpe) {
  const Vocabulary& vocabulary = bpe.vocabulary();
  const BpeOptions& options = bpe.options();
  const auto text = [](const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); };
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", text(std::string(vocabulary.piece(options.unknown)))},
                {"continuing_subword_prefix", text(options.continuing_prefix)},
                {"end_of_word_suffix", text(options.end_suffix)},
                {"fuse_unk", options.fuse_unknown},
                {"byte_fallback", options.byte_fallback},
                {"ignore_merges", options.ignore_merges}};
  Json vocab = Json::object();
  // Appended, not looked up: an ordered object searches linearly.
  auto& members = vocab.get_ref<Json::object_t&>();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view piece = vocabulary.piece(id);
    if (!piece.empty() && vocabulary.Find(piece) == id) members.emplace_back(std::string(piece), id);
  }
  model["vocab"] = std::move(vocab);
  Json merges = Json::array();
  for (const auto& [left, right] : bpe.scored() ? MergesFromScores(bpe) : bpe.merges()) {
    merges.push_back(Json::array({vocabulary.piece(left), vocabulary.piece(right)}));
  }
  model["merges"] = std::move(merges);
  return model;
}

Json ModelJson(const Unigram& unigram) {
  Json vocab = Json::array();
  for (int32_t id = 0; id < unigram.vocabulary().size(); ++id) {
    vocab.push_back(Json::array({unigram.vocabulary().piece(id), unigram.scores()[static_cast<size_t>(id)]}));
  }
  const int32_t unknown = unigram.options().unknown;
  return {{"type", "Unigram"},
          {"unk_id", unknown < 0 ? Json(nullptr) : Json(unknown)},
          {"vocab", std::move(vocab)},
          {"byte_fallback", unigram.options().byte_fallback}};
}

Json PostProcessorJson(const TokenizerPipeline& pipe) {
  if (pipe.prefix.empty() && pipe.suffix.empty()) return nullptr;
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  const auto put = [&](Json& out, const std::vector<int32_t>& ids, int type_id) {
    for (const int32_t id : ids) {
      const std::string piece(pipe.Piece(id));
      out.push_back({{"SpecialToken", {{"id", piece}, {"type_id", type_id}}}});
      specials[piece] = {{"id", piece}, {"ids", Json::array({id})}, {"tokens", Json::array({piece})}};
    }
  };
  put(single, pipe.prefix, 0);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(single, pipe.suffix, 0);
  pair = single;
  put(pair, pipe.prefix, 1);
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  put(pair, pipe.suffix, 1);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

// What the formats have no place for.
Json OwnJson(const TokenizerPipeline& pipe) {
  Json own = Json::object();
  own["eos"] = pipe.eos;
  for (const AddedToken& token : pipe.added) {
    if (token.as_piece) own["as_pieces"].push_back(token.id);
  }
  for (const NormalizerStep& step : pipe.normalizer) {
    const auto* precompiled = std::get_if<PrecompiledNormalizer>(&step);
    if (precompiled && !precompiled->keep.empty()) own["keep"] = precompiled->keep;
  }
  const auto* bpe = std::get_if<Bpe>(&pipe.model);
  if (bpe && bpe->scored()) {
    Json scores = Json::array();
    for (size_t id = 0; id < bpe->scores().size(); ++id) {
      scores.push_back(bpe->mergeable()[id] ? Json(bpe->scores()[id]) : Json(nullptr));
    }
    own["scores"] = std::move(scores);
  }
  return own;
}

}  // namespace

HuggingFaceTokenizer Tokenizer::ToHuggingFace() const {
  const TokenizerPipeline& pipe = *pipeline_;
  Json added = Json::array();
  for (const AddedToken& token : pipe.added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json root = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", std::move(added)},
               {"normalizer", StepsJson(pipe.normalizer, "normalizers")},
               {"pre_tokenizer", StepsJson(pipe.pre_tokenizer, "pretokenizers")},
               {"post_processor", PostProcessorJson(pipe)},
               {"decoder", pipe.has_decoder ? StepsJson(pipe.decoder, "decoders") : Json(nullptr)},
               {"model", std::visit([](const auto& model) { return ModelJson(model); }, pipe.model)}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, int32_t id) {
    if (id >= 0) config[key] = std::string(pipe.Piece(id));
  };
  name("bos_token", pipe.bos);
  name("eos_token", pipe.eos.empty() ? -1 : pipe.eos[0]);
  name("unk_token", pipe.unknown);
  config["lowbit"] = OwnJson(pipe);
  return {root.dump(1, ' '), {config.dump(1, ' '), ""}};
}

}  // namespace lowbit
