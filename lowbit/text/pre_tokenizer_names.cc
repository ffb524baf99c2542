#include "lowbit/text/pre_tokenizer_names.h"

#include <algorithm>
#include <vector>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// Patterns are those of the families' tokenizer.json files.
constexpr const char* kGpt2 = "@gpt2";      // the pattern inside ByteLevel
constexpr const char* kDigits = "@digits";  // every digit alone
constexpr const char* kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen35 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
    "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kTekken =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kGpt4o =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kDeepSeek3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kBloom =
    " ?[^(\\s|.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94"
    "\xD8\x8C)]+";
constexpr const char* kBailing =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|"
    "\\s+(?!\\S)|\\s+";
constexpr const char* kSeedCoder =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct Row {
  std::vector<const char*> names;  // the first is the one written
  std::vector<const char*> steps;
  bool ignore_merges = false, add_bos = false, nfc = false;
};

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {{"default"}, {"[\\p{P}\\$\\+<=>\\^~\\|]+", "@gpt2split", "\\p{N}+", "[0-9][0-9][0-9]"}},
      {{"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
        "modern-bert", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"},
       {kGpt2}},
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
       {kDigits, kGpt2}},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano"},
       {kLlama3},
       true,
       true},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {kLlama3}},
      {{"glm4", "glm5"}, {kLlama3}, true},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"}, {kQwen2}, false, false, true},
      {{"stablelm2", "hunyuan", "solar-open", "grok-2"}, {kQwen2}},
      {{"qwen35"}, {kQwen35}, false, false, true},
      {{"tekken"}, {kTekken}, true, true},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {kGpt4o}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
       {"\\p{N}{1,3}", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
        kDeepSeek3}},
      {{"deepseek-coder"},
       {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
        "[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+", "\\p{N}"}},
      {{"falcon"}, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", "@gpt2split", "[0-9][0-9][0-9]"}},
      {{"bloom", "poro-chat", "gpt3-finnish"}, {kBloom}},
      {{"viking"}, {kBloom, "\\p{N}"}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"}, {kBailing}},
      {{"seed-coder"}, {kSeedCoder}},
  };
  return rows;
}

PreTokenizer Steps(const Row& row) {
  PreTokenizer out;
  bool gpt2 = false;
  for (const std::string_view step : row.steps) {
    if (step == "@gpt2") {
      gpt2 = true;
    } else if (step == "@digits") {
      out.push_back(DigitsPreTokenizer{true});
    } else if (step == "@gpt2split") {
      out.push_back(SplitPreTokenizer{Regex(std::string(Gpt2Pattern()))});
    } else {
      out.push_back(SplitPreTokenizer{Regex(std::string(step))});
    }
  }
  out.push_back(ByteLevelPreTokenizer{false, true, gpt2});
  return out;
}

// Equal texts mean equal behaviour; offsets (trim_offsets) do not matter here.
std::string Describe(const PreTokenizer& steps) {
  std::string out;
  for (const PreTokenizerStep& step : steps) {
    if (const auto* split = std::get_if<SplitPreTokenizer>(&step)) {
      const auto* regex = std::get_if<Regex>(&split->pattern);
      // With a pattern that matches everything, keeping the matches or the gaps alone is the same.
      const bool isolated = split->behavior == SplitBehavior::kIsolated ||
                            (split->behavior == SplitBehavior::kRemoved && split->invert);
      if (!regex || !isolated) return "?";
      out += fmt::format("split {}\n", regex->pattern());
    } else if (const auto* digits = std::get_if<DigitsPreTokenizer>(&step); digits && digits->individual) {
      out += "digits\n";
    } else if (const auto* level = std::get_if<ByteLevelPreTokenizer>(&step);
               level && !level->add_prefix_space) {
      out += level->use_regex ? "bytes gpt2\n" : "bytes\n";
    } else {
      return "?";
    }
  }
  return out;
}

}  // namespace

NamedPreTokenizer FindPreTokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  std::string known;
  for (const Row& row : Rows()) {
    for (const std::string_view candidate : row.names) {
      if (candidate == name) return {Steps(row), row.ignore_merges, row.add_bos, row.nfc};
      known += known.empty() ? "" : ", ";
      known += candidate;
    }
  }
  Fail("tokenizer.ggml.pre: the pre-tokenizer '{}' is not known; known: {}", name, known);
}

std::string NameOfPreTokenizer(const PreTokenizer& steps, bool ignore_merges) {
  const std::string wanted = Describe(steps);
  for (const Row& row : Rows()) {
    if (row.ignore_merges == ignore_merges && Describe(Steps(row)) == wanted) return row.names.front();
  }
  return {};
}

}  // namespace lowbit
