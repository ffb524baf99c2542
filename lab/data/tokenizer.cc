#include "lab/data/tokenizer.h"

#include <dlfcn.h>

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "lab/sentencepiece/module.h"
#include "lowbit/base/error.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit::lab {
namespace {

// The module lies next to the library that holds this function.
const SentencePiece& Library() {
  static const SentencePiece* library = [] {
    Dl_info here{};
    dladdr(reinterpret_cast<const void*>(&Library), &here);
    const auto path = std::filesystem::path(here.dli_fname).parent_path() / "liblowbit_sentencepiece.so";
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifndef __SANITIZE_ADDRESS__
    flags |= RTLD_DEEPBIND;  // its own protocol buffers before libtorch's
#endif
    void* module = dlopen(path.c_str(), flags);
    if (module == nullptr) Fail("training a tokenizer needs {}: {}", path.string(), dlerror());
    const auto open = reinterpret_cast<const SentencePiece* (*)()>(dlsym(module, "lowbit_sentencepiece"));
    if (open == nullptr) Fail("{}: not lowbit's sentencepiece module", path.string());
    return open();
  }();
  return *library;
}

// Walks the lines of all documents.
std::function<bool(std::string&)> Lines(const std::vector<Document>& documents) {
  return [&documents, document = size_t{0}, at = size_t{0}](std::string& line) mutable {
    for (; document < documents.size(); ++document, at = 0) {
      const std::string& text = documents[document].text;
      while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        line.assign(text, at, end - at);
        at = end + 1;
        if (!line.empty()) return true;
      }
    }
    return false;
  };
}

// Protocol-buffer fields, as far as the model file needs them: varints and length-delimited parts.
class Fields {
 public:
  Fields(const std::string& bytes, size_t first, size_t last) : bytes_(bytes), at_(first), end_(last) {}
  // Moves to the next field; false at the end.
  bool Next() {
    if (at_ >= end_) return false;
    const uint64_t key = Varint();
    number = static_cast<int>(key >> 3);
    begin = at_;
    switch (key & 7) {
      case 0:
        Varint();
        break;
      case 1:
        at_ += 8;
        break;
      case 2: {
        const uint64_t size = Varint();
        begin = at_;
        at_ += size;
        break;
      }
      case 5:
        at_ += 4;
        break;
      default:
        Fail("tokenizer model: unknown wire type");
    }
    if (at_ > end_) Fail("tokenizer model: a field runs past the end");
    end = at_;
    return true;
  }
  int number = 0;
  size_t begin = 0, end = 0;  // of the payload

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; at_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << (shift & 63);
      if (byte < 0x80) break;
    }
    return value;
  }
  const std::string& bytes_;
  size_t at_, end_;
};

// Lines are trained as they stand inside a text, where a newline and no space comes before them; the finished
// model puts one space before a whole text, as Llama's does.
void SetDummyPrefix(std::string& model) {
  constexpr int kNormalizerSpec = 3, kAddDummyPrefix = 3;
  for (Fields fields(model, 0, model.size()); fields.Next();) {
    if (fields.number != kNormalizerSpec) continue;
    for (Fields inner(model, fields.begin, fields.end); inner.Next();) {
      if (inner.number == kAddDummyPrefix) {
        model[inner.begin] = 1;
        return;
      }
    }
  }
  Fail("tokenizer model: no normalizer with add_dummy_prefix");
}

}  // namespace

std::string TrainTokenizer(const std::vector<Document>& documents, const TokenizerOptions& options) {
  std::string model;
  const std::string failure =
      Library().train({{"model_type", "bpe"},
                       {"vocab_size", std::to_string(options.vocab)},
                       {"byte_fallback", "true"},
                       {"split_digits", "true"},
                       {"character_coverage", fmt::format("{}", options.character_coverage)},
                       {"normalization_rule_name", "identity"},
                       {"remove_extra_whitespaces", "false"},
                       {"allow_whitespace_only_pieces", "true"},
                       {"add_dummy_prefix", "false"},
                       {"max_sentence_length", "65536"},
                       {"num_threads", "1"},
                       {"minloglevel", "2"}},
                      Lines(documents), model);
  if (!failure.empty()) Fail("training the tokenizer: {}", failure);
  SetDummyPrefix(model);
  return model;
}

std::vector<std::vector<int32_t>> Tokenize(const std::string& model, const std::vector<Document>& documents) {
  const Tokenizer tokenizer = Tokenizer::FromSentencePiece(model);
  EncodeOptions options;
  options.add_special = false;
  options.parse_special = ParseSpecial::kNo;
  std::vector<std::vector<int32_t>> ids;
  for (const Document& document : documents) ids.push_back(tokenizer.Encode(document.text, options));
  return ids;
}

}  // namespace lowbit::lab
