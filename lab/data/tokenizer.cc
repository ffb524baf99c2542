#include "lab/data/tokenizer.h"

#include <dlfcn.h>

#include <algorithm>
#include <functional>

#include "lab/sentencepiece/module.h"
#include "lowbit/base/error.h"
#include "lowbit/io/protobuf.h"

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

// Lines are trained as they stand inside a text, where a newline and no space comes before them; the finished
// model puts one space before a whole text, as Llama's does.
void SetDummyPrefix(std::string& model) {
  constexpr uint64_t kNormalizerSpec = 3, kAddDummyPrefix = 3;
  constexpr std::string_view kWhere = "the trained tokenizer";
  for (ProtobufReader fields(model, kWhere); fields.Next();) {
    if (!fields.Is(kNormalizerSpec, WireType::kBytes)) continue;
    for (ProtobufReader inner(fields.bytes(), kWhere); inner.Next();) {
      if (!inner.Is(kAddDummyPrefix, WireType::kVarint)) continue;
      model[static_cast<size_t>(inner.rest().data() - model.data()) - 1] = 1;  // a bool is one byte
      return;
    }
  }
  Fail("{}: no normalizer with add_dummy_prefix", kWhere);
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

}  // namespace lowbit::lab
